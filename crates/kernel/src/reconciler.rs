//! Level-triggered work: closes the gap between what should be and what is, again and again.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Event, Key, Result, Store, lease::Fence};

/// When to look at a resource again, changes of it aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// When it changes, or at the spread-out resync.
    Idle,
    /// After this long, too.
    After(Duration),
}

/// One domain's level-triggered work.
///
/// Takes no input but the store: `key` says where to look, never what happened. Idempotent, safe to
/// run twice and to kill at any point. The driver ([`crate::Driver`]) never runs one key of one
/// reconciler twice at the same time. After an error it runs it again with back-off, which what a
/// person does cuts short, and what the platform itself does (events whose actor is `system:...`)
/// does not: two that fail because of each other would keep each other busy. To wait for another
/// resource is no error: answer [`Next::Idle`], and let [`Reconciler::concerns`] name what to look at
/// when the other one's events come.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// Its name in logs, metrics and events: `delivery`.
    fn name(&self) -> &'static str;

    /// The kind that it reconciles: at start and at each resync all of this kind are looked at.
    fn kind(&self) -> &'static str;

    /// Which resources to look at because of `event`. By default the event's subject, where it is
    /// of [`Reconciler::kind`].
    fn concerns(&self, event: &Event) -> Vec<Key> {
        event
            .subject_key()
            .filter(|key| key.kind == self.kind())
            .into_iter()
            .collect()
    }

    /// How many keys may be worked on at once.
    fn concurrency(&self) -> usize {
        8
    }

    /// Closes the gap for `key`, which may no longer exist.
    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next>;
}

/// What a reconciler works with.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub store: Store,
    /// Goes into every [`crate::Change`] of a reconciler (`change.fenced(context.fence.clone())`),
    /// so that a replica that has lost the lease cannot write.
    pub fence: Fence,
    /// Ends when the lease is lost or the platform stops: long work selects on it.
    pub stop: tokio_util::sync::CancellationToken,
    /// Wakes other reconcilers.
    pub nudges: Nudges,
}

impl Context {
    /// Has every reconciler of `key`'s kind look at it soon: for what hangs together without the
    /// one's events being about the other. Only ever a hint: a nudge that is lost with the process
    /// is made good by the listing at the next start.
    pub fn nudge(&self, key: Key) {
        self.nudges.nudge(key);
    }
}

/// Wakes reconcilers of this process; cheap to clone. See [`Context::nudge`].
#[derive(Debug, Clone)]
pub struct Nudges(tokio::sync::mpsc::UnboundedSender<Key>);

impl Nudges {
    /// Nudges, and where they arrive. Unbounded, because the receiver only ever marks a key in a
    /// set: what waits there is bounded by the number of resources.
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Key>) {
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        (Self(send), receive)
    }

    /// As [`Context::nudge`]; does nothing once the driver has stopped.
    pub fn nudge(&self, key: Key) {
        // A driver that has stopped has nothing left to wake.
        let _ = self.0.send(key);
    }
}
