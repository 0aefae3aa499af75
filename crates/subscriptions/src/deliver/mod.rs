//! Passing events on: each to whoever subscribed to it, in order, at least once.
//!
//! ```text
//!              one reader of the log            a lane for each subscription
//! log ──► match once for each event ──► places in the log that wait ──► request ──► cursor
//!                               (64 at the most; those who have more are behind: `behind` reads for them)
//! ```
//!
//! One replica does this at a time, under a lease of its own. A lane sends one event after the other, so
//! that each receiver gets them in order; lanes go on beside each other, so that one that waits for its
//! receiver holds up nobody. What is kept in memory is bounded: the newest events once for all, and
//! of the rest their places in the log.
//!
//! Cursors are moved after the fact, many at once: killed in between, an event is sent again. Receivers
//! tell by its id.
//!
//! What policy cannot decide holds up the lanes that it is about, and nobody else: `undecided`.

mod asked;
mod behind;
mod bury;
mod hub;
mod kept;
mod lane;
mod note;
mod roster;
mod turns;
mod undecided;
mod wanting;

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use kernel::{Event, EventFilter, Kind, Result, Store, term::Tenure, term::Term};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    hub::Hub,
    lane::{Lane, Pending},
    roster::Roster,
};
use crate::{Subscriptions, model::Subscription, service::send::Message};

/// The lease of the one replica that passes events on.
pub const LEASE: &str = "subscriptions";

/// Events that are read at once.
const EVENTS: usize = 500;
/// The wait before the store is asked again after it did not answer.
const STORE_AWAY: Duration = Duration::from_secs(1);

/// Passes events on to those who subscribe, while this replica holds the lease [`LEASE`].
pub struct Deliveries {
    service: Arc<Subscriptions>,
    tenure: Tenure,
}

impl Deliveries {
    /// `holder` names this replica, for people.
    pub fn new(service: Arc<Subscriptions>, holder: &str) -> Self {
        let tenure = Tenure::new(service.store().clone(), LEASE, holder);
        Self { service, tenure }
    }

    /// Another time to live of the lease than the platform's.
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.tenure = self.tenure.lease_ttl(ttl);
        self
    }

    /// Passes events on until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let service = self.service;
        let begin = move |term: Term| pass_on(service.clone(), term);
        self.tenure.run(stop, begin).await;
    }
}

/// One term.
async fn pass_on(service: Arc<Subscriptions>, term: Term) {
    let store = service.store().clone();
    let hub = Arc::new(Hub::new(service, term.fence, term.stop.clone()));
    let mut lanes = JoinSet::new();
    let reading = async {
        let mut head = store.subscribe();
        loop {
            head.borrow_and_update();
            match read_on(&hub, &store, &mut lanes).await {
                Ok(true) => {}
                Ok(false) => {
                    if !is_longer(&mut head, &mut lanes).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = error.chain(), "events could not be passed on");
                    sleep(STORE_AWAY).await;
                }
            }
        }
    };
    let noting = async {
        let mut tick = interval(hub.service.settings().note_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            note::all(&hub).await;
        }
    };
    tokio::select! {
        () = term.stop.cancelled() => {}
        () = reading => {}
        () = noting => {}
        () = behind::read(&hub) => {}
    }
    lanes.shutdown().await;
    note::cursors(&hub).await;
}

/// Waits for the log to be longer, and for lanes to end meanwhile; false where the store is closed.
async fn is_longer(head: &mut watch::Receiver<i64>, lanes: &mut JoinSet<()>) -> bool {
    loop {
        tokio::select! {
            changed = head.changed() => return changed.is_ok(),
            Some(ended) = lanes.join_next() => said(ended),
        }
    }
}

fn said(ended: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery did not end well");
    }
}

/// Reads the log on, and hands what it finds to the lanes. Says whether there may be more.
async fn read_on(hub: &Arc<Hub>, store: &Store, lanes: &mut JoinSet<()>) -> Result<bool> {
    if hub.roster().is_none() {
        let roster = Roster::load(hub, store).await?;
        let behind = roster.behind();
        hub.begin_at(roster.begin);
        *hub.roster() = Some(roster);
        for lane in behind {
            tokio::task::consume_budget().await;
            wake(hub, lane, lanes);
        }
    }
    let after = hub.read_to();
    let events = store.events(&EventFilter::default(), after, EVENTS).await?;
    let full = events.len() == EVENTS;
    // Whose these are is known up to the last of them.
    hub.service.customers().current().await?;
    for event in events {
        while let Some(ended) = lanes.try_join_next() {
            said(ended);
        }
        // A long log lets others run in between.
        tokio::task::consume_budget().await;
        if let Some(key) = event
            .subject_key()
            .filter(|key| key.kind == Subscription::KIND)
        {
            let found = store.get::<Subscription>(&key.scope, &key.name).await?;
            if let Some(found) = found {
                if let Some(lane) = Roster::take_in(hub, store, found).await? {
                    wake(hub, lane, lanes);
                }
            } else {
                Roster::take_out(hub, store, &key).await?;
            }
        }
        dispatch(hub, &event, lanes).await?;
    }
    Ok(full)
}

/// Hands an event to the lanes of those who want it and may see it.
async fn dispatch(hub: &Arc<Hub>, event: &Event, lanes: &mut JoinSet<()>) -> Result<()> {
    hub.reading(event.seq);
    let wanted = match hub.roster().as_ref() {
        Some(roster) => roster.wanting.lanes(hub, event),
        None => vec![],
    };
    if !wanted.is_empty() {
        hub.newest.put(Message::new(event)?);
    }
    for wants in wanted {
        tokio::task::consume_budget().await;
        let pending = Pending::of(event, wants.is_undecided);
        if wants.lane.push(pending) {
            wake(hub, wants.lane, lanes);
        }
    }
    hub.has_read(event.seq);
    Ok(())
}

fn wake(hub: &Arc<Hub>, lane: Arc<Lane>, lanes: &mut JoinSet<()>) {
    lanes.spawn(lane::run(hub.clone(), lane));
}

/// A lock whose holder never panics half-way through a change.
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
