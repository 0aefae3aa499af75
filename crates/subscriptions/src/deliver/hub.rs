//! What the lanes of one term share.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use jiff::Timestamp;
use kernel::{Error, Event, EventFilter, Result, lease::Fence};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{asked::Asked, behind::Behind, kept::Kept, locked, roster::Roster, turns::Turns};
use crate::{
    Subscriptions,
    service::send::{Keys, Message},
};

/// Readings for one lane, at once: ten thousand that wake together leave the store to the API, too.
const READING: usize = 2;

pub(super) struct Hub {
    pub(super) service: Arc<Subscriptions>,
    pub(super) fence: Fence,
    pub(super) stop: CancellationToken,
    roster: Mutex<Option<Roster>>,
    /// Team and name of the lane whose status was noted last.
    noted_last: Mutex<Option<(String, String)>>,
    /// The newest events that somebody wants.
    pub(super) newest: Kept,
    /// Those that somebody wants who is behind.
    pub(super) missed: Kept,
    pub(super) behind: Behind,
    /// What policy was asked again.
    pub(super) asked: Asked,
    /// The event that is being handed out, or was last.
    reading: AtomicI64,
    /// Everything up to here is handed out.
    read_to: AtomicI64,
    /// Requests at once to receivers that are well, and to those that failed or were slow: these may
    /// fill their own places, and nobody else's.
    pub(super) well: Turns,
    pub(super) troubled: Turns,
    /// Those who read from the store for themselves, at once.
    reading_alone: Semaphore,
}

impl Hub {
    pub(super) fn new(service: Arc<Subscriptions>, fence: Fence, stop: CancellationToken) -> Self {
        let places = service.settings().concurrency.max(1);
        Self {
            service,
            fence,
            stop,
            roster: Mutex::default(),
            noted_last: Mutex::default(),
            newest: Kept::default(),
            missed: Kept::default(),
            behind: Behind::default(),
            asked: Asked::default(),
            reading: AtomicI64::new(0),
            read_to: AtomicI64::new(0),
            well: Turns::new(places),
            troubled: Turns::new((places / 4).max(1)),
            reading_alone: Semaphore::new(READING),
        }
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Option<Roster>> {
        locked(&self.roster)
    }

    /// The lane whose status was noted last; none before the first.
    pub(super) fn noted_last(&self) -> Option<(String, String)> {
        locked(&self.noted_last).clone()
    }

    /// Has the next round of statuses begin after this lane.
    pub(super) fn note_from(&self, last: Option<(String, String)>) {
        *locked(&self.noted_last) = last;
    }

    pub(super) fn begin_at(&self, seq: i64) {
        self.reading.store(seq, SeqCst);
        self.read_to.store(seq, SeqCst);
    }

    /// Says that `seq` is about to be handed out: before the first lane is looked at.
    pub(super) fn reading(&self, seq: i64) {
        self.reading.store(seq, SeqCst);
    }

    /// Says that `seq` is handed out: after the last lane was.
    pub(super) fn has_read(&self, seq: i64) {
        self.read_to.store(seq, SeqCst);
    }

    /// How far the log is being handed out.
    pub(super) fn reads(&self) -> i64 {
        self.reading.load(SeqCst)
    }

    /// How far it is.
    pub(super) fn read_to(&self) -> i64 {
        self.read_to.load(SeqCst)
    }

    /// The event at a place in the log, as it is sent.
    pub(super) async fn message(&self, seq: i64) -> Result<Arc<Message>> {
        if let Some(kept) = self.newest.get(seq).or_else(|| self.missed.get(seq)) {
            return Ok(kept);
        }
        Message::new(&self.event(seq).await?).map(Arc::new)
    }

    /// The event at a place in the log.
    pub(super) async fn event(&self, seq: i64) -> Result<Event> {
        // Never closed.
        let _turn = self.reading_alone.acquire().await;
        let filter = EventFilter::default();
        let found = self.service.store().events(&filter, seq - 1, 1).await?;
        let event = found.into_iter().find(|event| event.seq == seq);
        event.ok_or_else(|| Error::internal("an event has gone from the log", seq.to_string()))
    }

    /// What signs for a subscription.
    pub(super) async fn keys(&self, uid: Uuid, since: Option<Timestamp>) -> Result<Keys> {
        let _turn = self.reading_alone.acquire().await;
        Keys::read(self.service.store(), uid, since, self.service.now()).await
    }
}
