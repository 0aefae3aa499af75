//! One reconciler at work, and the events that feed it, for as long as the lease is held.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{QueueStats, queue::Queue};
use crate::{
    Caller, Error, Event, EventFilter, Guard, Key, Next, Reconciler, Result,
    backoff::jitter,
    reconciler::{Context, Nudged},
};

/// All resources of a kind are looked at once in this time, spread over it.
const RESYNC: Duration = Duration::from_mins(10);
/// Nudges on their way to a queue. The queue takes them at once; this only decouples the tasks.
const NUDGES: usize = 256;
/// Events that are read at once.
const EVENTS: usize = 500;
/// The wait before the store is asked again after it did not answer.
const STORE_AWAY: Duration = Duration::from_secs(1);

/// That something concerns a key.
pub(super) struct Nudge {
    key: Key,
    person: bool,
}

/// One reconciler with its queue.
pub(super) struct Worker {
    reconciler: Arc<dyn Reconciler>,
    context: Context,
    queue: Queue,
    nudges: mpsc::Receiver<Nudge>,
    stats: Arc<Mutex<QueueStats>>,
}

type Done = (Key, Result<Next>);

impl Worker {
    pub(super) fn new(
        reconciler: Arc<dyn Reconciler>,
        context: Context,
        stats: Arc<Mutex<QueueStats>>,
    ) -> (Self, mpsc::Sender<Nudge>) {
        let (sender, nudges) = mpsc::channel(NUDGES);
        let lanes = reconciler.clone();
        let lane_of = Box::new(move |key: &Key| lanes.lane(key));
        let queue = Queue::new(reconciler.concurrency(), lane_of, jitter);
        let worker = Self {
            reconciler,
            context,
            queue,
            nudges,
            stats,
        };
        (worker, sender)
    }

    /// Works until the context stops, then until what runs has ended.
    pub(super) async fn run(mut self) {
        let mut runs: JoinSet<Done> = JoinSet::new();
        let mut resync = Instant::now();
        let mut first = true;
        let stop = self.context.stop.clone();
        while !stop.is_cancelled() {
            while let Some((key, waited)) = self.queue.take(Instant::now()) {
                self.count(|stats| {
                    stats.runs += 1;
                    stats.waited += waited;
                    stats.longest_wait = stats.longest_wait.max(waited);
                });
                runs.spawn(run_once(self.reconciler.clone(), self.context.clone(), key));
            }
            self.count(|_| ());
            let wake = self
                .queue
                .next_timer()
                .map_or(resync, |timer| timer.min(resync));
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(done) = runs.join_next() => self.ended(done),
                Some(nudge) = self.nudges.recv() => {
                    self.queue.nudge(nudge.key, nudge.person, Instant::now());
                }
                () = sleep_until(wake) => {
                    if wake == resync {
                        resync = Instant::now() + self.resync(&mut first).await;
                    }
                }
            }
        }
        while let Some(done) = runs.join_next().await {
            self.ended(done);
        }
    }

    /// Has all resources of the kind looked at: at once the first time, spread out later. Gives the
    /// time until the next resync.
    async fn resync(&mut self, first: &mut bool) -> Duration {
        let kind = self.reconciler.kind();
        match self.keys().await {
            Ok(keys) => {
                let now = Instant::now();
                for key in keys {
                    let spread = if *first {
                        0.0
                    } else {
                        rand::random_range(0.0..1.0)
                    };
                    self.queue.schedule(key, now + RESYNC.mul_f64(spread));
                }
                *first = false;
                RESYNC
            }
            Err(error) => {
                tracing::warn!(kind, error = error.chain(), "resources could not be listed");
                STORE_AWAY
            }
        }
    }

    /// All keys of the kind, once it is known in whose lanes they are.
    async fn keys(&self) -> Result<Vec<Key>> {
        self.reconciler.survey(&self.context).await?;
        let kind = self.reconciler.kind();
        self.context.store.keys(kind, None).await
    }

    fn ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let (key, outcome) = match done {
            Ok(done) => done,
            // Only with the whole driver: panics are caught within.
            Err(error) => {
                tracing::debug!(%error, "a reconciliation was aborted");
                return;
            }
        };
        let wait = self.queue.done(&key, &outcome, Instant::now());
        if let (Err(error), Some(wait)) = (outcome, wait) {
            self.count(|stats| stats.errors += 1);
            if wait.is_zero() {
                tracing::debug!(%key, error = error.chain(), "reconciliation is tried again");
            } else {
                tracing::warn!(%key, error = error.chain(), ?wait, "reconciliation failed");
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut QueueStats)) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut stats);
        stats.waiting = self.queue.waiting();
        stats.running = self.queue.running();
    }
}

/// However it ends, aborted too, its queue is gone with it: a replica that does not reconcile has none to show.
impl Drop for Worker {
    fn drop(&mut self) {
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        (stats.waiting, stats.running) = (0, 0);
    }
}

async fn run_once(reconciler: Arc<dyn Reconciler>, context: Context, key: Key) -> Done {
    let work = AssertUnwindSafe(reconciler.reconcile(&context, &key));
    let outcome = work.catch_unwind().await.unwrap_or_else(|panic| {
        Err(Error::internal(
            "a reconciler panicked",
            said(panic.as_ref()),
        ))
    });
    (key, outcome)
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it did not say why")
        .to_owned()
}

/// A reconciler, and the way to its queue.
type Told = (Arc<dyn Reconciler>, mpsc::Sender<Nudge>);

/// Passes on what reconcilers want others to look at, until `context` stops.
pub(super) async fn relay(context: Context, mut nudged: Nudged, reconcilers: Vec<Told>) {
    let relaying = async {
        loop {
            for key in nudged.take().await {
                let concerned = |(reconciler, _): &&Told| reconciler.kind() == key.kind;
                for (_, nudges) in reconcilers.iter().filter(concerned) {
                    let nudge = Nudge {
                        key: key.clone(),
                        person: false,
                    };
                    // Where its worker has ended, so does the term.
                    let _ = nudges.send(nudge).await;
                }
            }
        }
    };
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = relaying => {}
    }
}

/// Tells each reconciler of the events after `after` that concern it, until `context` stops.
pub(super) async fn feed(context: Context, mut after: i64, reconcilers: Vec<Told>) {
    let mut head = context.store.subscribe();
    let feeding = async {
        loop {
            head.borrow_and_update();
            match tell(&context, after, &reconcilers).await {
                Ok(read) if read > after => after = read,
                Ok(_) => {
                    if head.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = error.chain(), "events could not be read");
                    sleep(STORE_AWAY).await;
                }
            }
        }
    };
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = feeding => {}
    }
}

async fn tell(context: &Context, after: i64, reconcilers: &[Told]) -> Result<i64> {
    let store = &context.store;
    let events = store.events(&EventFilter::default(), after, EVENTS).await?;
    for (reconciler, nudges) in reconcilers {
        let concerned = concerned(reconciler.as_ref(), &events);
        if concerned.is_empty() {
            continue;
        }
        // What is new has its lane from the first look on. Where that cannot be read, it is looked at all the same.
        if let Err(error) = reconciler.survey(context).await {
            tracing::warn!(
                reconciler = reconciler.name(),
                error = error.chain(),
                "lanes are not up to date"
            );
        }
        for nudge in concerned {
            // Where its worker has ended, so does the term.
            let _ = nudges.send(nudge).await;
        }
    }
    Ok(events.last().map_or(after, |event| event.seq))
}

/// What a reconciler is to look at because of these events.
fn concerned(reconciler: &dyn Reconciler, events: &[Event]) -> Vec<Nudge> {
    let mut concerned = Vec::new();
    // A refusal has changed nothing, and what it names need not be there: whoever asks in vain sets nothing
    // to work.
    for event in events.iter().filter(|event| event.kind != Guard::REFUSED) {
        let person = !Caller::is_system(&event.actor);
        let keys = catch_unwind(AssertUnwindSafe(|| reconciler.concerns(event)));
        let keys = keys.unwrap_or_else(|panic| {
            let said = said(panic.as_ref());
            tracing::error!(
                reconciler = reconciler.name(),
                said,
                "a reconciler panicked"
            );
            vec![]
        });
        concerned.extend(keys.into_iter().map(|key| Nudge { key, person }));
    }
    concerned
}
