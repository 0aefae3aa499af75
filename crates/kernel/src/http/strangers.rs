//! Calls of whom nobody knows: without credentials, or with none that are good. They are counted by reason and told
//! together, so that however many tokens somebody tries, the log grows by a few events.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::correlation;
use crate::{
    Cause, Change, Error, ErrorKind, Key, Means, NewEvent, Outcome, Result, Store, Tallies,
};

/// The same again within this time is counted, and told together.
const QUIET: Duration = Duration::from_mins(10);

/// Reasons that are each told by themselves: there are fewer, but whoever authenticates words them.
const MOST_TOLD: usize = 32;

/// What is told of further ones.
const FURTHER: &str = "for further reasons";

/// Counts the calls that are answered by `Unauthenticated`, with the request of the last of each reason. Put into
/// the routes as `Extension(Strangers)`; where it is not, they leave nothing.
#[derive(Debug, Clone)]
pub struct Strangers(Arc<Tallies<String, Uuid>>);

impl Default for Strangers {
    fn default() -> Self {
        Self(Arc::new(Tallies::new(QUIET)))
    }
}

impl Strangers {
    /// The type of the event that they are kept as.
    pub const EVENT: &str = "dev.towpath.authorization.unauthenticated";

    /// Counts one that is answered by `error`, if it is one of a caller that is not known.
    pub(super) fn count(&self, error: &Error) {
        if error.kind != ErrorKind::Unauthenticated {
            return;
        }
        let is_another = |one: &String| *one != error.message && one != FURTHER;
        let why = if self.0.kinds(is_another) < MOST_TOLD {
            error.message.clone()
        } else {
            FURTHER.to_owned()
        };
        self.0.leave(why, correlation::current());
    }

    /// Writes down what is counted, the first of each reason soon, until `stop`; then the rest. One task of each
    /// replica does so.
    pub async fn keep(self, store: Store, stop: CancellationToken) {
        let tell = |why, count, last| tell(store.clone(), why, count, last);
        self.0.keep(stop, tell).await;
    }
}

async fn tell(store: Store, why: String, count: u64, correlation: Uuid) -> Result<()> {
    let mut change = Change::new();
    change.event(NewEvent {
        kind: Strangers::EVENT.into(),
        subject: Key {
            kind: "Caller".into(),
            scope: String::new(),
            name: "anonymous".into(),
        },
        team: String::new(),
        cause: Cause {
            actor: "anonymous".into(),
            means: Means::Nothing,
            reason: None,
            correlation,
        },
        outcome: Some(Outcome::Fail),
        data: json!({ "reason": why, "count": count }),
    });
    store.commit(change).await.map(drop)
}
