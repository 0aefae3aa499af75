//! Level-triggered work: closes the gap between what should be and what is, again and again.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;

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

    /// How many keys may be worked on at once. Where there are two places or more, those of one lane that is a
    /// team's have three quarters of them at the most, so that another's are begun while they go on.
    fn concurrency(&self) -> usize {
        8
    }

    /// Whose work `key` is: a team's name, or nothing for the platform's own. What waits takes turns between
    /// lanes. By default the key's scope. Asked often, so from memory.
    fn lane(&self, key: &Key) -> String {
        key.scope.clone()
    }

    /// Reads what [`Reconciler::lane`] goes by, before all keys are listed, and before those that events concern
    /// wait for their turn.
    async fn survey(&self, context: &Context) -> Result<()> {
        let _ = context;
        Ok(())
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
pub struct Nudges(Arc<Waiting>);

/// Where nudges arrive; what is nudged after it is dropped wakes nobody.
#[derive(Debug)]
pub struct Nudged(Arc<Waiting>);

/// The keys that were nudged and not taken yet: a set, so that however slow who takes them is and however
/// often one is nudged, no more wait than there are resources.
#[derive(Debug, Default)]
struct Waiting {
    /// None once nobody takes them any more.
    keys: Mutex<Option<BTreeSet<Key>>>,
    some: Notify,
}

impl Waiting {
    fn keys(&self) -> MutexGuard<'_, Option<BTreeSet<Key>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nudges {
    /// Nudges, and where they arrive.
    pub fn channel() -> (Self, Nudged) {
        let waiting = Arc::new(Waiting {
            keys: Mutex::new(Some(BTreeSet::new())),
            some: Notify::new(),
        });
        (Self(waiting.clone()), Nudged(waiting))
    }

    /// As [`Context::nudge`]; does nothing once the driver has stopped.
    pub fn nudge(&self, key: Key) {
        if let Some(keys) = self.0.keys().as_mut()
            && keys.insert(key)
        {
            self.0.some.notify_one();
        }
    }
}

impl Nudged {
    /// The keys that were nudged since the last time, each once; waits for the first.
    pub async fn take(&mut self) -> BTreeSet<Key> {
        loop {
            let keys = self.0.keys().as_mut().map(std::mem::take);
            match keys {
                Some(keys) if !keys.is_empty() => return keys,
                _ => self.0.some.notified().await,
            }
        }
    }
}

impl Drop for Nudged {
    fn drop(&mut self) {
        *self.0.keys() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key {
            kind: "Thing".into(),
            scope: String::new(),
            name: name.into(),
        }
    }

    #[tokio::test]
    async fn however_often_a_key_is_nudged_it_waits_once() {
        let (nudges, mut nudged) = Nudges::channel();
        for _ in 0..1000 {
            nudges.nudge(key("a"));
            nudges.nudge(key("b"));
        }
        assert_eq!(nudged.take().await, BTreeSet::from([key("a"), key("b")]));
        let later = nudges.clone();
        let (taken, ()) = tokio::join!(nudged.take(), async move { later.nudge(key("c")) });
        assert_eq!(taken, BTreeSet::from([key("c")]));
    }

    #[test]
    fn what_nobody_takes_is_not_kept() {
        let (nudges, nudged) = Nudges::channel();
        nudges.nudge(key("a"));
        drop(nudged);
        nudges.nudge(key("b"));
        assert!(nudges.0.keys().is_none());
    }
}
