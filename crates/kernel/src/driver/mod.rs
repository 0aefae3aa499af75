//! Runs reconcilers while this replica holds the lease.
//!
//! ```text
//! events after the head ──► concerns() ──► queue of each reconciler ──► reconcile(), a few at once
//! all keys of its kind  ──────────────────────────▲ │
//!   (at start, then spread over ten minutes)        └─ after errors and Next::After
//! ```
//!
//! The keys of a queue take turns between the teams whose they are ([`Reconciler::lane`]): however many one team
//! has waiting, another's is behind one of them.
//!
//! The head of the event log is read before the keys are listed, so that nothing falls between.
//! Losing the lease, or not being able to renew it, stops the work before the lease expires.

mod lanes;
mod queue;
mod work;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::work::{Worker, feed, relay};
use crate::{
    Error, Reconciler, Store,
    lease::{Fence, LEASE_TTL},
    reconciler::{Context, Nudges},
};

/// The lease of the one replica that reconciles.
pub const LEASE: &str = "reconcile";

/// How long work that goes on at a shutdown may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How a term of leading ended.
enum Ended {
    /// The platform stops, or the lease is another's.
    InOrder,
    /// A part of the work has ended before its time.
    Failed,
}

/// Written by a reconciler's worker, read by the handle.
type SharedStats = Arc<Mutex<QueueStats>>;

/// Runs reconcilers while this replica holds the lease [`LEASE`].
pub struct Driver {
    store: Store,
    holder: String,
    ttl: Duration,
    reconcilers: Vec<(Arc<dyn Reconciler>, SharedStats)>,
    nudger: Nudger,
    leads: watch::Sender<bool>,
}

/// One reconciler's queue, measured apart from its work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The reconciler's name.
    pub reconciler: &'static str,
    /// Keys ready to run that wait for their turn, now.
    pub waiting: usize,
    /// Keys that run now.
    pub running: usize,
    /// Runs so far.
    pub runs: u64,
    /// Runs that ended with an error.
    pub errors: u64,
    /// Time that all runs so far have waited for their turn.
    pub waited: Duration,
    /// The longest wait for a turn so far.
    pub longest_wait: Duration,
}

impl Driver {
    /// A driver without reconcilers. `holder` names this replica in the lease: a host's name, say.
    pub fn new(store: Store, holder: String) -> Self {
        Self {
            store,
            // Two processes with one name are two holders all the same.
            holder: holder + &format!("/{}", Uuid::now_v7()),
            ttl: LEASE_TTL,
            reconcilers: Vec::new(),
            nudger: Nudger::default(),
            leads: watch::channel(false).0,
        }
    }

    /// Adds a reconciler.
    #[must_use]
    pub fn with(mut self, reconciler: Arc<dyn Reconciler>) -> Self {
        let stats = QueueStats {
            reconciler: reconciler.name(),
            ..QueueStats::default()
        };
        self.reconcilers
            .push((reconciler, Arc::new(Mutex::new(stats))));
        self
    }

    /// Whether this replica reconciles, to be followed: what it does outside of its reconcilers
    /// begins and ends with it.
    pub fn leadership(&self) -> watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// Another time to live of the lease than [`LEASE_TTL`].
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Starts to try for the lease, and to work once it is held.
    pub fn start(self) -> DriverHandle {
        let stop = CancellationToken::new();
        let leader = self.leadership();
        let queues = Queues(self.reconcilers.iter().map(|(_, s)| s.clone()).collect());
        let nudger = self.nudger.clone();
        let task = tokio::spawn(self.run(stop.clone()));
        DriverHandle {
            nudger,
            stop,
            leader,
            queues,
            task: Some(task),
        }
    }

    async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let wait = match self.store.acquire(LEASE, &self.holder, self.ttl).await {
                Ok(Some(fence)) => {
                    tracing::info!(epoch = fence.epoch, "this replica reconciles");
                    self.leads.send_replace(true);
                    let ended = self.lead(&fence, asked + self.ttl, &stop).await;
                    self.leads.send_replace(false);
                    tracing::info!(epoch = fence.epoch, "this replica no longer reconciles");
                    // Expired, or given up: in both cases nothing of this term works any more.
                    if let Err(error) = self.store.release(&fence, &self.holder).await {
                        tracing::warn!(error = error.chain(), "the lease was not given up");
                    }
                    match ended {
                        Ended::InOrder => continue,
                        Ended::Failed => self.ttl / 10,
                    }
                }
                Ok(None) => self.until_free().await,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "the lease could not be asked for");
                    self.ttl / 10
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// When to try again: as the lease expires, or sooner, to see that it was given up.
    async fn until_free(&self) -> Duration {
        let look = self.ttl / 10;
        match self.store.held_for(LEASE).await {
            Ok(left) => left.min(look).max(Duration::from_millis(5)),
            Err(_) => look,
        }
    }

    /// Works until stopped, until the lease is lost or can no longer be renewed in time, or until a part of
    /// the work ends that should not: half a leader would keep the lease from whoever does the whole.
    async fn lead(&self, fence: &Fence, expires: Instant, stop: &CancellationToken) -> Ended {
        let term = CancellationToken::new();
        let (nudges, nudged) = Nudges::channel();
        self.nudger.set(nudges.clone());
        let context = Context {
            store: self.store.clone(),
            fence: fence.clone(),
            stop: term.clone(),
            nudges,
        };
        let mut tasks = JoinSet::new();
        let work = async {
            // Before the listing: what happens meanwhile is found by one or by the other.
            let head = loop {
                match self.store.head().await {
                    Ok(head) => break head,
                    Err(error) => {
                        tracing::warn!(error = error.chain(), "the event log could not be read");
                        sleep(self.ttl / 10).await;
                    }
                }
            };
            let mut told = Vec::new();
            for (reconciler, stats) in &self.reconcilers {
                let (worker, nudges) =
                    Worker::new(reconciler.clone(), context.clone(), stats.clone());
                tasks.spawn(worker.run());
                told.push((reconciler.clone(), nudges));
            }
            tasks.spawn(relay(context.clone(), nudged, told.clone()));
            tasks.spawn(feed(context.clone(), head, told));
            // They end with the term only.
            if let Some(Err(error)) = tasks.join_next().await {
                tracing::error!(%error, "a part of the work panicked");
            } else {
                tracing::error!("a part of the work has ended by itself");
            }
        };
        let (ended, deadline) = tokio::select! {
            // The lease is renewed before less than this is left of it.
            () = work => (Ended::Failed, Instant::now() + self.margin()),
            () = stop.cancelled() => (Ended::InOrder, Instant::now() + GRACE),
            expires = self.keep(fence, expires) => (Ended::InOrder, expires),
        };
        term.cancel();
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!("reconciliations that did not end in time are aborted");
            tasks.shutdown().await;
        }
        ended
    }

    /// The time by which work ends before its lease does, at the least.
    fn margin(&self) -> Duration {
        self.ttl / 5
    }

    /// Renews the lease; ends when it is lost or can no longer be renewed, and gives the time by
    /// which all work must have ended.
    async fn keep(&self, fence: &Fence, mut expires: Instant) -> Instant {
        let margin = self.margin();
        let mut wait = self.ttl / 3;
        loop {
            sleep(wait).await;
            let asked = Instant::now();
            let renewal = self.store.acquire(LEASE, &self.holder, self.ttl);
            let last = expires.checked_sub(margin).unwrap_or(asked);
            match timeout(last.saturating_duration_since(asked), renewal).await {
                Ok(Ok(Some(renewed))) if renewed == *fence => {
                    expires = asked + self.ttl;
                    wait = self.ttl / 3;
                    continue;
                }
                Ok(Ok(_)) => {
                    tracing::warn!("the lease has passed to another replica");
                    return Instant::now();
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = error.chain(), "the lease was not renewed");
                    wait = self.ttl / 10;
                }
                Err(_) => wait = Duration::ZERO,
            }
            if Instant::now() + wait >= last {
                tracing::warn!("the lease could not be renewed in time: work stops");
                return expires;
            }
        }
    }
}

/// Wakes the reconcilers of this replica while it holds the lease, and does nothing otherwise: the
/// replica that has it sees for itself. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Nudger(Arc<Mutex<Option<Nudges>>>);

impl Nudger {
    /// As [`Context::nudge`].
    pub fn nudge(&self, key: crate::Key) {
        let term = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nudges) = term.as_ref() {
            nudges.nudge(key);
        }
    }

    /// The nudges of the present term; those of an earlier one lead nowhere.
    fn set(&self, nudges: Nudges) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(nudges);
    }
}

/// The queues of a driver's reconcilers, as they are measured. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queues(Vec<SharedStats>);

impl Queues {
    /// Each reconciler's queue as it is now.
    pub fn stats(&self) -> Vec<QueueStats> {
        let copy =
            |stats: &SharedStats| stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.iter().map(copy).collect()
    }
}

/// A driver that runs. Dropping it is as if the process was killed: the lease is not given up.
#[must_use = "dropping it stops the driver"]
pub struct DriverHandle {
    stop: CancellationToken,
    leader: watch::Receiver<bool>,
    queues: Queues,
    nudger: Nudger,
    task: Option<JoinHandle<()>>,
}

impl DriverHandle {
    /// Wakes reconcilers from outside of them, for as long as this replica reconciles.
    pub fn nudger(&self) -> Nudger {
        self.nudger.clone()
    }

    /// Whether this replica reconciles now.
    pub fn is_leader(&self) -> bool {
        *self.leader.borrow()
    }

    /// As [`Driver::leadership`].
    pub fn leadership(&self) -> watch::Receiver<bool> {
        self.leader.clone()
    }

    /// Each reconciler's queue as it is now.
    pub fn stats(&self) -> Vec<QueueStats> {
        self.queues.stats()
    }

    /// The same, for those who look again and again.
    pub fn queues(&self) -> Queues {
        self.queues.clone()
    }

    /// Waits until the driver ends without having been stopped, which a fault of ours alone makes it do.
    pub async fn failed(&mut self) -> Error {
        let ended = match self.task.as_mut() {
            Some(task) => task.await,
            None => std::future::pending().await,
        };
        self.task = None;
        let why = ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        Error::internal("nothing is reconciled any more: the driver has failed", why)
    }

    /// Stops the work, waits a few seconds for what runs, and gives the lease up.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the driver did not end well");
        }
    }
}

impl Drop for DriverHandle {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
