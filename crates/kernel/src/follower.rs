//! Memory that follows the event log: what is asked at every call, and must show at once what another
//! replica has changed.

use std::time::Duration;

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{Error, ErrorKind, Event, EventFilter, Result, Store};

/// How long to wait before the store is asked again where it did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// What is kept in memory of the store.
#[async_trait]
pub trait View: Send + Sync {
    /// What it is called in the platform's own log: `the registry of teams`.
    fn called(&self) -> &'static str;

    /// The events that it has to hear of.
    fn filter(&self) -> EventFilter {
        EventFilter::default()
    }

    /// Takes in what these events, in their order, tell of. May be given the same again after an error.
    async fn hear(&self, events: &[Event]) -> Result<()>;
}

/// Keeps a [`View`] up to date.
pub struct Follower {
    store: Store,
    /// Up to where in the log the view is right.
    seen: watch::Sender<i64>,
    /// One asks at a time; what the last who asked in vain was told, and when.
    turn: Mutex<Option<Missed>>,
}

/// That the store did not answer, to whoever waited for it.
struct Missed {
    at: Instant,
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
}

impl Follower {
    /// From the log's end as it is now: a view that is read from the store after this misses nothing.
    pub async fn new(store: Store) -> Result<Self> {
        let seen = watch::Sender::new(store.head().await?);
        Ok(Self {
            store,
            seen,
            turn: Mutex::default(),
        })
    }

    /// Waits until everything is taken in that is committed when this is called, by whichever replica: on
    /// Postgres the log's head is asked for, by one query for all who call at once. Where Postgres does not
    /// answer, what this replica knows to be committed is enough, so that what goes on without the store does.
    pub async fn current(&self, view: &impl View) -> Result<()> {
        self.store.learn_head().await;
        let head = *self.store.subscribe().borrow();
        self.reach(view, head).await
    }

    /// Waits until everything up to `place` in the log is taken in: for whoever tells of the log no more than that.
    pub async fn reach(&self, view: &impl View, place: i64) -> Result<()> {
        if *self.seen.borrow() >= place {
            return Ok(());
        }
        let head = *self.store.subscribe().borrow();
        self.catch_up(view, head.max(place)).await
    }

    /// Follows the log until `stop`. Without it everything is right, and slower.
    pub async fn follow(&self, view: &impl View, stop: CancellationToken) {
        let mut head = self.store.subscribe();
        loop {
            let moved = tokio::select! {
                moved = head.changed() => moved,
                () = stop.cancelled() => return,
            };
            if moved.is_err() {
                return;
            }
            let known = *head.borrow();
            if let Err(error) = self.catch_up(view, known).await {
                tracing::warn!(
                    view = view.called(),
                    chain = error.chain(),
                    "the event log cannot be followed"
                );
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => head.mark_changed(),
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    async fn catch_up(&self, view: &impl View, head: i64) -> Result<()> {
        let since = Instant::now();
        let mut missed = self.turn.lock().await;
        // Who has waited while another asked in vain does not wait for the same once more: of many, the last
        // would wait as many times as long.
        if let Some(missed) = missed.as_ref().filter(|missed| missed.at > since) {
            let mut error = Error::new(missed.kind, missed.message.clone());
            error.remedy.clone_from(&missed.remedy);
            return Err(error);
        }
        // Apart: thousands who follow the log may wait for their turn, and only one of them reads.
        let done = Box::pin(self.read_to(head, view)).await;
        *missed = done.as_ref().err().map(|error| Missed {
            at: Instant::now(),
            kind: error.kind,
            message: error.message.clone(),
            remedy: error.remedy.clone(),
        });
        done
    }

    /// Takes in the log up to `head`, where that is not done yet.
    async fn read_to(&self, head: i64, view: &impl View) -> Result<()> {
        let filter = view.filter();
        loop {
            let seen = *self.seen.borrow();
            if seen >= head {
                return Ok(());
            }
            let events = self.store.events(&filter, seen, Store::MAX_EVENTS).await?;
            view.hear(&events).await?;
            let last = events.last().map_or(head, |event| event.seq);
            let is_all = events.len() < Store::MAX_EVENTS;
            // What the filter holds back need not be read to be passed over.
            self.seen
                .send_replace(if is_all { last.max(head) } else { last });
        }
    }
}
