//! Sealing everything by another key, while the platform runs: asked for by an operator, done by the replica
//! that reconciles, and taken up again by whichever does after a restart.

mod http;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Guard, Key, Kind, NewEvent, Next, Outcome, Reconciler, Result, Store, Target,
    anew, authorization::Action, reconciler::Context,
};
use serde_json::json;

pub(crate) use self::http::{ApiDoc, routes};
use crate::keys::{Asked, Platform};

const REKEY: Action = Action::act("platform.rekey");
const READ: Action = Action::act("platform.keys.read");

/// The name of the one [`Platform`].
const NAME: &str = Platform::NAME;

/// How long the reconciler works on end before it lets others be looked at.
const STRETCH: Duration = Duration::from_secs(5);
/// The rest after that.
const BREATH: Duration = Duration::from_millis(200);
/// How often it is looked whether this process has the key by now.
const OTHER_KEY: Duration = Duration::from_mins(1);

/// The use cases.
pub(crate) struct Rekey {
    store: Store,
    guard: Guard,
}

impl Rekey {
    pub(crate) fn new(store: Store, guard: Guard) -> Self {
        Self { store, guard }
    }

    /// By which keys the secrets are sealed.
    async fn state(&self, caller: &Caller) -> Result<kernel::SealedBy> {
        self.guard.require(caller, READ, &target()).await?;
        self.store.sealed_by().await
    }

    /// Has everything sealed by the current key. Asked twice it is done once.
    async fn ask(&self, caller: &Caller) -> Result<kernel::SealedBy> {
        self.guard.require(caller, REKEY, &target()).await?;
        let state = self.store.sealed_by().await?;
        anew(|| async {
            let mut platform = self.store.expect::<Platform>("", NAME).await?;
            let asked = Asked {
                key: state.current.to_string(),
                done: None,
            };
            if platform.status.rekey.as_ref() == Some(&asked) {
                return Ok(());
            }
            platform.status.rekey = Some(asked);
            let mut change = Change::new().by(caller);
            change.status(&platform)?;
            change.event(NewEvent::caused(
                "platform.rekey-requested",
                platform.key(),
                "",
                caller,
                None,
                json!({ "key": state.current, "remaining": state.remaining }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await?;
        Ok(state)
    }
}

fn target<'a>() -> Target<'a> {
    Target {
        kind: Platform::KIND,
        name: NAME,
        ..Target::default()
    }
}

/// Does what was asked for.
pub(crate) struct Rekeying;

#[async_trait]
impl Reconciler for Rekeying {
    fn name(&self) -> &'static str {
        "rekey"
    }

    fn kind(&self) -> &'static str {
        Platform::KIND
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let store = &context.store;
        let Some(mut platform) = store.get::<Platform>("", &key.name).await? else {
            return Ok(Next::Idle);
        };
        let Some(asked) = platform.status.rekey.as_mut().filter(|a| a.done.is_none()) else {
            return Ok(Next::Idle);
        };
        if asked.key != store.sealing_key().as_str() {
            // Asked of a replica that has another key: this one would undo what is wanted. The one that
            // reconciles after it is restarted takes it up.
            return Ok(Next::After(OTHER_KEY));
        }
        let begun = tokio::time::Instant::now();
        let mut progress = None;
        loop {
            if context.stop.is_cancelled() {
                return Ok(Next::Idle);
            }
            progress = store.reseal(progress).await?;
            if progress.is_none() {
                break;
            }
            if begun.elapsed() > STRETCH {
                // What is sealed anew is passed over the next time.
                return Ok(Next::After(BREATH));
            }
            tokio::task::yield_now().await;
        }
        asked.done = Some(Timestamp::now());
        let by = Caller::system("rekey", uuid::Uuid::now_v7());
        let mut change = Change::new().by(&by).fenced(context.fence.clone());
        let key = asked.key.clone();
        change.status(&platform)?;
        change.event(NewEvent::caused(
            "platform.rekeyed",
            platform.key(),
            "",
            &by,
            Some(Outcome::Pass),
            json!({ "key": key }),
        ));
        store.commit(change).await?;
        Ok(Next::Idle)
    }
}
