//! How many connections there may be at once that the engine passes on, and what of that one team may have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long one that was accepted waits until another closes: then it is reset, so that it is seen.
const WAIT: Duration = Duration::from_secs(10);

/// How many connections are passed on at once, each of which takes two descriptors. More wait in the system's
/// accept queue.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Of all together. Not for the servers that they lead to: a connection would wait for itself.
    pub all: Arc<Semaphore>,
    /// Of all environments of one team: however many it has, they leave the other teams room.
    pub share: usize,
    /// Of one environment to one server: one that never hangs up leaves its team's others room.
    pub each: usize,
    /// Of those teams whose workloads reach a server.
    shares: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Slots {
    /// So many in all, a quarter of them for one team, and three quarters of those from one environment to one
    /// server.
    pub fn new(all: usize) -> Self {
        let share = all / 4;
        Self::sized(all, share, share * 3 / 4)
    }

    /// So many in all, so many for one team, and so many from one environment to one server; of each at least one.
    pub fn sized(all: usize, share: usize, each: usize) -> Self {
        let possible = |slots: usize| slots.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(possible(all))),
            share: possible(share),
            each: possible(each),
            shares: Arc::default(),
        }
    }

    /// What the environments of `team` may have together.
    pub(super) fn of(&self, team: &str) -> Share {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shares.get(team).and_then(Weak::upgrade);
        let share = held.unwrap_or_else(|| {
            // Here, where one is added, those go out that reach no server any more.
            shares.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(Semaphore::new(self.share));
            shares.insert(team.to_owned(), Arc::downgrade(&share));
            share
        });
        Share {
            team: team.to_owned(),
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

/// What of the [`Slots`] one team may have.
pub(super) struct Share {
    pub(super) team: String,
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    pub(super) each: usize,
}

/// Held by a connection for as long as it is passed on.
pub(super) struct Slot {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Share {
    /// One of the team's and of all; else whose connections are all taken, and do not become free in time.
    pub(super) async fn slot(&self) -> Result<Slot, &'static str> {
        let end = Instant::now() + WAIT;
        // The team's first: who waits for that takes nothing from the others.
        Ok(Slot {
            _own: one_of(&self.own, end).await.ok_or("one team")?,
            _all: one_of(&self.all, end).await.ok_or("all teams")?,
        })
    }
}

async fn one_of(slots: &Arc<Semaphore>, end: Instant) -> Option<OwnedSemaphorePermit> {
    let slot = slots.clone().acquire_owned();
    timeout_at(end, slot).await.ok()?.ok()
}
