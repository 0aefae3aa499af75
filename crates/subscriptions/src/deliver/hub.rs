//! What the lanes of one term share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use kernel::{Error, Event, EventFilter, Result, lease::Fence};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{locked, roster::Roster};
use crate::{Subscriptions, service::send::Message};

/// Of the newest events so many are kept as they are sent.
const KEPT: usize = 1000;
/// Readings of the log beside the one that is for all, at once: the API reads, too.
const CATCHING_UP: usize = 4;

pub(super) struct Hub {
    pub(super) service: Arc<Subscriptions>,
    pub(super) fence: Fence,
    pub(super) stop: CancellationToken,
    roster: Mutex<Option<Roster>>,
    /// The newest events that somebody wants, oldest first.
    kept: Mutex<VecDeque<Arc<Message>>>,
    /// The event that is being handed out, or was last.
    reading: AtomicI64,
    /// Everything up to here is handed out.
    read_to: AtomicI64,
    /// Requests at once to receivers that are well, and to those that failed or were slow: these may
    /// fill their own places, and nobody else's.
    pub(super) well: Semaphore,
    pub(super) troubled: Semaphore,
    /// Those who read the log for themselves, at once.
    pub(super) catching_up: Semaphore,
}

impl Hub {
    pub(super) fn new(service: Arc<Subscriptions>, fence: Fence, stop: CancellationToken) -> Self {
        let places = service.settings().concurrency.max(1);
        Self {
            service,
            fence,
            stop,
            roster: Mutex::default(),
            kept: Mutex::default(),
            reading: AtomicI64::new(0),
            read_to: AtomicI64::new(0),
            well: Semaphore::new(places),
            troubled: Semaphore::new((places / 4).max(1)),
            catching_up: Semaphore::new(CATCHING_UP),
        }
    }

    pub(super) fn roster(&self) -> MutexGuard<'_, Option<Roster>> {
        locked(&self.roster)
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

    /// Keeps an event for those who are about to send it.
    pub(super) fn keep(&self, event: &Event) -> Result<()> {
        let message = Arc::new(Message::new(event)?);
        let mut kept = locked(&self.kept);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(message);
        Ok(())
    }

    /// The event at a place in the log.
    pub(super) async fn message(&self, seq: i64) -> Result<Arc<Message>> {
        {
            let kept = locked(&self.kept);
            if let Ok(at) = kept.binary_search_by_key(&seq, |message| message.seq) {
                return Ok(kept[at].clone());
            }
        }
        let filter = EventFilter::default();
        let found = self.service.store().events(&filter, seq - 1, 1).await?;
        let event = found.into_iter().find(|event| event.seq == seq);
        let event = event
            .ok_or_else(|| Error::internal("an event has gone from the log", seq.to_string()))?;
        Message::new(&event).map(Arc::new)
    }
}
