//! Sealing everything by another key, while the platform runs: asked for by an operator, done by the replica
//! that reconciles, and taken up again by whichever does after a restart.

mod http;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Guard, Key, Kind, NewEvent, Next, Outcome, Reconciler, Result, Store, Target,
    anew, authorization::Action, reconciler::Context,
};
use serde_json::json;

pub(crate) use self::http::{ApiDoc, routes};
use crate::{
    keys::{Asked, Platform},
    turning::Turning,
};

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
    turning: Arc<Turning>,
}

impl Rekey {
    pub(crate) fn new(store: Store, guard: Guard, turning: Arc<Turning>) -> Self {
        Self {
            store,
            guard,
            turning,
        }
    }

    /// By which keys the secrets are sealed.
    async fn state(&self, caller: &Caller) -> Result<kernel::SealedBy> {
        self.guard.require(caller, READ, &target()).await?;
        self.store.sealed_by().await
    }

    /// Has everything sealed by the current key, or by one that is drawn now. Asked twice before it is done it is
    /// done once.
    async fn ask(&self, caller: &Caller, new_key: bool) -> Result<kernel::SealedBy> {
        self.guard.require(caller, REKEY, &target()).await?;
        if new_key {
            self.turning.turn().await?;
        }
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

/// Does what was asked for, and what a change of the key needs that was killed, or failed, before it was asked for.
pub(crate) struct Rekeying(pub(crate) Arc<Turning>);

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
        // First: what is sealed anew by the key of before would be so for nothing.
        self.0.go_on().await?;
        let sealed_by = store.sealing_key();
        let current = sealed_by.to_string();
        let open = platform
            .status
            .rekey
            .as_ref()
            .filter(|asked| asked.done.is_none());
        if !self.0.is_under_way() {
            match open {
                None => return Ok(Next::Idle),
                // Asked of a replica that has another key: this one would undo what is wanted. The one that
                // reconciles after it is restarted takes it up.
                Some(asked) if asked.key != current => return Ok(Next::After(OTHER_KEY)),
                Some(_) => {}
            }
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
        if store.sealing_key() != sealed_by {
            return Ok(Next::After(BREATH));
        }
        let done = platform.status.rekey.as_ref();
        if done.is_none_or(|asked| asked.key != current || asked.done.is_none()) {
            platform.status.rekey = Some(Asked {
                key: current.clone(),
                done: Some(Timestamp::now()),
            });
            let by = Caller::system("rekey", uuid::Uuid::now_v7());
            let mut change = Change::new().by(&by).fenced(context.fence.clone());
            change.status(&platform)?;
            change.event(NewEvent::caused(
                "platform.rekeyed",
                platform.key(),
                "",
                &by,
                Some(Outcome::Pass),
                json!({ "key": current }),
            ));
            store.commit(change).await?;
        }
        if self.0.finish(&sealed_by).await? {
            Ok(Next::Idle)
        } else {
            Ok(Next::After(BREATH))
        }
    }
}
