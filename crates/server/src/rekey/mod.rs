//! Sealing everything by another key, while the platform runs: asked for by an operator, done by the replica
//! that reconciles, and taken up again by whichever does after a restart.

mod http;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Guard, Key, Kind, NewEvent, Next, Outcome, Reconciler, Result, SealedBy,
    Secret, Store, Target, anew,
    authorization::Action,
    reconciler::Context,
    sealer::{KeyId, PlatformKey},
    store::KeyChange,
};
use serde_json::json;
use tokio::sync::Mutex;

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
/// The rest while replicas are waited for.
const WAITING: Duration = Duration::from_secs(1);
/// How often it is looked whether this process has the key by now.
const OTHER_KEY: Duration = Duration::from_mins(1);

/// The use cases.
pub(crate) struct Rekey {
    store: Store,
    guard: Guard,
    turning: Arc<Turning>,
    /// Whoever draws a key, or announces one, is alone with that: a key that is given beside one that is drawn would
    /// seal after it, and be in no file.
    asking: Mutex<()>,
}

impl Rekey {
    pub(crate) fn new(store: Store, guard: Guard, turning: Arc<Turning>) -> Self {
        Self {
            store,
            guard,
            turning,
            asking: Mutex::default(),
        }
    }

    /// By which keys the secrets are sealed.
    async fn state(&self, caller: &Caller) -> Result<SealedBy> {
        self.guard.require(caller, READ, &target()).await?;
        self.store.sealed_by().await
    }

    /// Has everything sealed by the current key. Asked twice before it is done it is done once.
    async fn ask(&self, caller: &Caller) -> Result<SealedBy> {
        self.guard.require(caller, REKEY, &target()).await?;
        let state = self.store.sealed_by().await?;
        self.note(caller, &state.current, state.remaining, None)
            .await?;
        Ok(state)
    }

    /// Has everything sealed by another key: the `given` one, or one that is drawn now.
    async fn ask_for_new_key(&self, caller: &Caller, given: Option<Secret>) -> Result<SealedBy> {
        self.guard.require(caller, REKEY, &target()).await?;
        let _asking = self.asking.lock().await;
        let announced = self.turning.next(&self.store, given).await?;
        let Some(key) = announced else {
            let state = self.store.sealed_by().await?;
            self.note(caller, &state.current, state.remaining, None)
                .await?;
            return Ok(state);
        };
        let all = self.store.sealed_by().await?.secrets;
        self.note(caller, &key.id(), all, Some(&key)).await?;
        self.turning.nudge();
        self.store.sealed_by().await
    }

    /// Keeps that everything is to be sealed by `key`, which is to be `announced` where others have to learn of it.
    async fn note(
        &self,
        caller: &Caller,
        key: &KeyId,
        remaining: i64,
        announced: Option<&PlatformKey>,
    ) -> Result<()> {
        anew(|| async {
            let mut platform = self.store.expect::<Platform>("", NAME).await?;
            let asked = Asked {
                key: key.to_string(),
                done: None,
            };
            // What is to be announced is: that all is to be sealed by the key does not say that it was.
            if announced.is_none() && platform.status.rekey.as_ref() == Some(&asked) {
                return Ok(());
            }
            platform.status.rekey = Some(asked);
            let mut change = Change::new().by(caller);
            change.status(&platform)?;
            if let Some(announced) = announced {
                change.announce_key(announced.clone());
            }
            change.event(NewEvent::caused(
                "platform.rekey-requested",
                platform.key(),
                "",
                caller,
                None,
                json!({ "key": key, "remaining": remaining }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Ends a change that is done: the former key does not open the store any more.
    async fn forget_former(&self, caller: &Caller) -> Result<SealedBy> {
        self.guard.require(caller, REKEY, &target()).await?;
        if let Some(change) = self.store.key_change().await? {
            forget(&self.store, caller, &change).await?;
        }
        self.store.sealed_by().await
    }
}

/// Has the store forget the former key of `change`. Fails with `Conflict` where something is still sealed by it, and
/// where another was first.
pub(crate) async fn forget(store: &Store, by: &Caller, change: &KeyChange) -> Result<()> {
    let mut forgetting = Change::new().by(by);
    forgetting.forget_former_key();
    forgetting.event(NewEvent::caused(
        "platform.former-key-forgotten",
        Key::of::<Platform>("", NAME),
        "",
        by,
        Some(Outcome::Pass),
        json!({ "key": change.key, "former": change.former }),
    ));
    store.commit(forgetting).await.map(drop)
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
        let change = self.0.go_on(store).await?;
        if change.as_ref().is_some_and(|change| !change.in_use) {
            return Ok(Next::After(WAITING));
        }
        let sealed_by = store.sealing_key();
        let current = sealed_by.to_string();
        let open = platform
            .status
            .rekey
            .as_ref()
            .filter(|asked| asked.done.is_none());
        let is_together = change.is_some_and(|change| !change.done);
        if !is_together && !self.0.is_under_way() {
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

#[cfg(test)]
mod tests;
