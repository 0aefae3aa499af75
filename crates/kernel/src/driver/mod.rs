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
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::work::{Worker, feed, relay};
use crate::{
    Error, Reconciler, Store,
    reconciler::{Context, Nudges},
    term::{Tenure, Term},
};

/// The lease of the one replica that reconciles.
pub const LEASE: &str = "reconcile";

/// Written by a reconciler's worker, read by the handle.
type SharedStats = Arc<Mutex<QueueStats>>;

/// Runs reconcilers while this replica holds the lease [`LEASE`].
pub struct Driver {
    store: Store,
    tenure: Tenure,
    reconcilers: Vec<(Arc<dyn Reconciler>, SharedStats)>,
    nudger: Nudger,
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
            tenure: Tenure::new(store.clone(), LEASE, &holder),
            store,
            reconcilers: Vec::new(),
            nudger: Nudger::default(),
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
        self.tenure.held()
    }

    /// As [`Tenure::lease_ttl`].
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.tenure = self.tenure.lease_ttl(ttl);
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
        let Self {
            store,
            tenure,
            reconcilers,
            nudger,
        } = self;
        let pause = tenure.pause();
        let begin = |term| begin(&store, &reconcilers, &nudger, term, pause);
        tenure.run_parts(stop, begin).await;
    }
}

/// Begins to work, for one term.
async fn begin(
    store: &Store,
    reconcilers: &[(Arc<dyn Reconciler>, SharedStats)],
    nudger: &Nudger,
    term: Term,
    pause: Duration,
) -> JoinSet<()> {
    let (nudges, nudged) = Nudges::channel();
    nudger.set(nudges.clone());
    let context = Context {
        store: store.clone(),
        fence: term.fence,
        stop: term.stop,
        nudges,
    };
    // Before the listing: what happens meanwhile is found by one or by the other.
    let head = loop {
        match store.head().await {
            Ok(head) => break head,
            Err(error) => {
                tracing::warn!(error = error.chain(), "the event log could not be read");
                sleep(pause).await;
            }
        }
    };
    let mut tasks = JoinSet::new();
    let mut told = Vec::new();
    for (reconciler, stats) in reconcilers {
        let (worker, nudges) = Worker::new(reconciler.clone(), context.clone(), stats.clone());
        tasks.spawn(worker.run());
        told.push((reconciler.clone(), nudges));
    }
    tasks.spawn(relay(context.clone(), nudged, told.clone()));
    tasks.spawn(feed(context, head, told));
    tasks
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
