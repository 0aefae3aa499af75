//! The rotation of signing keys, what upstreams say of their people, and the end of upstreams: level-triggered,
//! idempotent, safe to run twice and to kill.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{
    Caller, Change, Error, Key, Kind as _, Next, Reconciler, Result, reconciler::Context,
};
use tokio::time::Instant;

use crate::{
    Identity,
    model::{KeyRing, Upstream},
    view::RING,
};

/// The longest time between two looks: a key that has outlived its tokens goes within the hour.
const LOOK: Duration = Duration::from_hours(1);

/// Replaces the signing key when its time has come, and forgets those whose tokens have ended.
pub struct Keys(pub Arc<Identity>);

#[async_trait]
impl Reconciler for Keys {
    fn name(&self) -> &'static str {
        "identity-keys"
    }

    fn kind(&self) -> &'static str {
        KeyRing::KIND
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        if key.name != RING {
            return Err(Error::internal("there is one key ring", key.to_string()));
        }
        let Some(mut ring) = context.store.get::<KeyRing>("", RING).await? else {
            return Ok(Next::Idle);
        };
        let (now, lifetimes) = (self.0.now(), &self.0.settings().lifetimes);
        let caller = Caller::system("identity", uuid::Uuid::now_v7());
        let wait = ring.status.until_rotation(now, lifetimes);
        let change = if wait.is_zero() {
            let (_, change) = self.0.rotated(ring, &caller, false).await?;
            change
        } else if ring.status.has_outlived(now) {
            ring.status.forget(now);
            let mut change = Change::new().by(&caller);
            change.status(&ring)?;
            change
        } else {
            return Ok(Next::After(wait.min(LOOK)));
        };
        context
            .store
            .commit(change.fenced(context.fence.clone()))
            .await?;
        Ok(Next::After(LOOK))
    }
}

/// Asks upstreams for the groups of people who are logged in, whether or not they do something.
pub struct People(pub Arc<Identity>);

#[async_trait]
impl Reconciler for People {
    fn name(&self) -> &'static str {
        "identity-people"
    }

    /// Sessions are no resources: all are looked at in turn, by the one key ring that every platform has.
    fn kind(&self) -> &'static str {
        KeyRing::KIND
    }

    async fn reconcile(&self, context: &Context, _: &Key) -> Result<Next> {
        let (fence, stop) = (&context.fence, &context.stop);
        let begun = Instant::now();
        self.0.people_ask(Some(fence), stop).await?;
        // From the beginning of this look on: one that takes its time makes none of the next later.
        let look = self.0.settings().lifetimes.upstream_look();
        Ok(Next::After(look.saturating_sub(begun.elapsed())))
    }
}

/// Has upstreams that are being removed gone: with what they said of their people.
pub struct Upstreams(pub Arc<Identity>);

#[async_trait]
impl Reconciler for Upstreams {
    fn name(&self) -> &'static str {
        "identity-upstreams"
    }

    fn kind(&self) -> &'static str {
        Upstream::KIND
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let (fence, stop) = (&context.fence, &context.stop);
        self.0.upstream_end(&key.name, Some(fence), stop).await?;
        Ok(Next::Idle)
    }
}
