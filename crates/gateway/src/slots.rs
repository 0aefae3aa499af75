//! How many forwarded connections there may be at once, and what of that one owner may have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long one that was accepted waits until another connection closes: then it is reset, so that it is seen.
const WAIT: Duration = Duration::from_secs(10);

/// How many connections are passed on at once, each of which takes two descriptors. More wait in the system's
/// accept queue.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Of all addresses together. Not for whoever passes connections on to them: such a connection would wait for
    /// itself.
    pub all: Arc<Semaphore>,
    /// Of all addresses of one owner: however many it has, they leave the others room.
    pub share: usize,
    /// Of one address: clients of one that never hang up leave its owner's others room.
    pub each: usize,
    /// Of those who have an address.
    shares: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Slots {
    /// So many in all, a quarter of them for one owner, and three quarters of those for one address.
    pub fn new(all: usize) -> Self {
        let share = all / 4;
        Self::sized(all, share, share * 3 / 4)
    }

    /// So many in all, so many for one owner, and so many for one address; of each at least one.
    pub fn sized(all: usize, share: usize, each: usize) -> Self {
        let possible = |slots: usize| slots.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(possible(all))),
            share: possible(share),
            each: possible(each),
            shares: Arc::default(),
        }
    }

    /// What the addresses of `owner` may have together: whoever asks for the same owner's shares it.
    pub fn of(&self, owner: &str) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shares.get(owner).and_then(Weak::upgrade);
        let share = held.unwrap_or_else(|| {
            // Here, where one is added, those go out whose addresses are all closed.
            shares.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(Semaphore::new(self.share));
            shares.insert(owner.to_owned(), Arc::downgrade(&share));
            share
        });
        Share {
            owner: owner.to_owned(),
            all: self.all.clone(),
            own: share,
            each: self.each,
        }
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::new(1000)
    }
}

/// What of the [`Slots`] one owner may have.
#[derive(Debug, Clone)]
pub struct Share {
    pub(crate) owner: String,
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    pub(crate) each: usize,
}

/// Held by a connection for as long as it is passed on.
pub(crate) struct Slot {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Share {
    /// One of the owner's and of all; else whose connections are all taken, and do not become free in time.
    pub(crate) async fn slot(&self) -> Result<Slot, &'static str> {
        let end = Instant::now() + WAIT;
        // The owner's first: who waits for that takes nothing from the others.
        Ok(Slot {
            _own: one_of(&self.own, end).await.ok_or("one owner's")?,
            _all: one_of(&self.all, end).await.ok_or("all")?,
        })
    }
}

async fn one_of(slots: &Arc<Semaphore>, end: Instant) -> Option<OwnedSemaphorePermit> {
    let slot = slots.clone().acquire_owned();
    timeout_at(end, slot).await.ok()?.ok()
}
