//! Supervision of one release: starts its containers in their order, probes them, starts them again
//! when they end, and tells how far the release is. The same for every engine; what differs is
//! behind [`Runtime`].

mod container;
mod state;
mod stray;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use delivery::engine::{Before, EngineError, Probe, ReleaseRef, ReleaseState};
use jiff::Timestamp;
use tokio::{
    sync::{broadcast, watch},
    task::JoinSet,
};

pub(crate) use state::View;

use crate::{probe::Prober, timing::Timing};

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It wanted more memory than it may have.
    OutOfMemory,
    /// It ended, and nobody saw how: it was adopted.
    Unseen,
    /// It never ran: the program is not there, a mount failed. Public text.
    CannotStart(String),
    /// Its liveness probe failed: why.
    NotAlive(String),
    /// The platform's own supervision of it has broken off: whether it runs is not known.
    Unsupervised,
}

impl Exit {
    /// How it ended, to follow "ended"; none where nobody saw it.
    pub(crate) fn how(&self) -> Option<String> {
        match self {
            Self::Unseen => None,
            Self::Code(_) => Some(format!("with {self}")),
            Self::Signal(_) => Some(format!("by {self}")),
            Self::NotAlive(_) => Some(format!("since its {self}")),
            Self::OutOfMemory | Self::CannotStart(_) | Self::Unsupervised => Some(self.to_string()),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Unseen => f.write_str("ended while the platform was away"),
            Self::CannotStart(why) => write!(f, "cannot start: {why}"),
            Self::NotAlive(why) => write!(f, "liveness probe failed: {why}"),
            Self::Unsupervised => f.write_str(
                "the platform no longer looks after it, by a fault of its own, which its log tells: \
                 deploy again, or start the platform again",
            ),
        }
    }
}

/// What the supervisor knows of a container that runs.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    /// Process or container id, for people.
    pub(crate) handle: String,
    /// Since when.
    pub(crate) at: Timestamp,
    /// Where the release's ports are served, where only its start decides that.
    pub(crate) endpoints: Option<BTreeMap<String, SocketAddr>>,
}

/// Why nothing listens where it should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// For a person.
    pub(crate) text: String,
    /// Where the program listens instead, as far as that is known.
    pub(crate) elsewhere: BTreeSet<u16>,
    /// The processor's time that all of the release has taken so far, children that have ended too; none where that
    /// is not known.
    pub(crate) worked: Option<Duration>,
}

/// Tells a person how far a start is.
pub(crate) type Tell<'a> = &'a (dyn Fn(String) + Send + Sync);

/// What an engine can do with the containers of one release.
#[async_trait]
pub(crate) trait Runtime: Send + Sync + 'static {
    /// A container that runs.
    type Instance: Send + Sync;

    /// The container, if it runs already: it was adopted.
    async fn find(&self, container: &str) -> Result<Option<Self::Instance>, EngineError>;
    /// Starts it. Nothing of it runs when this is called.
    async fn start(&self, container: &str, tell: Tell<'_>) -> Result<Self::Instance, EngineError>;
    /// What to show of it.
    fn started(&self, instance: &Self::Instance) -> Started;
    /// Waits for its end.
    async fn wait(&self, container: &str, instance: &mut Self::Instance) -> Exit;
    /// Ends it and all that it has started.
    async fn kill(&self, container: &str, instance: &mut Self::Instance);
    /// Clears away what it has left running, after its end.
    async fn clear(&self, container: &str);
    /// Runs `command` in the container; `Err` says why it is not a success.
    async fn exec(&self, container: &str, handle: &str, command: &[String]) -> Result<(), String>;
    /// Where the container's port is reached from here.
    async fn address(&self, port: u16) -> Result<SocketAddr, String>;
    /// At which of `answering` another's program listens, and none of this release.
    async fn strangers(&self, answering: &[(String, SocketAddr)]) -> Vec<(String, SocketAddr)>;
    /// What to tell a person when nothing listens at `missing`.
    async fn advice(&self, missing: &[(String, SocketAddr)]) -> Advice;
    /// Remembers that the container has completed and must not run again.
    async fn completed(&self, container: &str) -> Result<(), EngineError>;
    /// Whether that was remembered. Of a container that nobody waits for it is not asked, unless
    /// the release was adopted.
    async fn has_completed(&self, container: &str) -> bool;
}

/// What is supervised of a container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) liveness: Option<Probe>,
    pub(crate) readiness: Option<Probe>,
    pub(crate) before: BTreeMap<String, Before>,
}

/// What is supervised of a release.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) id: ReleaseRef,
    pub(crate) digest: String,
    pub(crate) containers: BTreeMap<String, Watched>,
    /// Where its ports are served, as far as that is known before it starts.
    pub(crate) endpoints: BTreeMap<String, SocketAddr>,
    /// Those of them that can be asked whether somebody listens.
    pub(crate) tcp: Vec<String>,
    /// Whether the runtime can start containers; it cannot while it only knows what it adopted.
    pub(crate) startable: bool,
}

impl Plan {
    /// The plan for `release`, served at `endpoints`.
    pub(crate) fn new(
        release: &delivery::engine::Release,
        endpoints: BTreeMap<String, SocketAddr>,
    ) -> Self {
        let watched = |container: &delivery::engine::Container| Watched {
            liveness: container.liveness.clone(),
            readiness: container.readiness.clone(),
            before: container.before.clone(),
        };
        Self {
            id: release.id.clone(),
            digest: release.digest.clone(),
            containers: (release.containers.iter())
                .map(|(name, container)| (name.clone(), watched(container)))
                .collect(),
            tcp: (release.ports.iter().filter(|(_, port)| !port.udp))
                .map(|(name, _)| name.clone())
                .collect(),
            endpoints,
            startable: true,
        }
    }

    /// Whether others wait for the end of `container`: it is not started again after exit code 0.
    fn completes(&self, container: &str) -> bool {
        (self.containers.get(container)).is_some_and(|watched| {
            watched
                .before
                .values()
                .any(|before| *before == Before::Complete)
        })
    }

    /// What `container` waits for.
    fn predecessors(&self, container: &str) -> Vec<(String, Before)> {
        (self.containers.iter())
            .filter_map(|(name, watched)| Some((name.clone(), *watched.before.get(container)?)))
            .collect()
    }
}

/// One release under supervision. Dropped, it lets go of the containers and leaves them running.
pub(crate) struct Supervision {
    plan: Arc<Plan>,
    view: watch::Sender<View>,
    tasks: Mutex<JoinSet<()>>,
    released: AtomicBool,
}

impl Supervision {
    /// Takes up what runs of `plan`, and starts the rest. `before` is what was last seen of it by a
    /// supervision that this one replaces.
    pub(crate) fn begin<R: Runtime>(
        plan: Plan,
        runtime: Arc<R>,
        prober: Prober,
        timing: Timing,
        changes: broadcast::Sender<ReleaseRef>,
        before: Option<View>,
    ) -> Self {
        let plan = Arc::new(plan);
        let view = before.unwrap_or_else(|| View::new(&plan));
        let (view, _) = watch::channel(view);
        let mut tasks = JoinSet::new();
        let shared = container::Shared {
            plan: Arc::clone(&plan),
            runtime,
            prober,
            timing,
            view: view.clone(),
        };
        for name in plan.containers.keys() {
            let work = container::supervise(shared.clone(), name.clone());
            tasks.spawn(container::or_broken(shared.clone(), [name.clone()], work));
        }
        let all: Vec<String> = plan.containers.keys().cloned().collect();
        let work = container::watch_ports(shared.clone());
        tasks.spawn(container::or_broken(shared, all, work));
        tasks.spawn(announce(view.subscribe(), changes, plan.id.clone()));
        Self {
            plan,
            view,
            tasks: Mutex::new(tasks),
            released: AtomicBool::new(false),
        }
    }

    pub(crate) fn digest(&self) -> &str {
        &self.plan.digest
    }

    /// Whether it starts what does not run: not so what was adopted, or let go of.
    pub(crate) fn starts(&self) -> bool {
        self.plan.startable && !self.released.load(Ordering::Relaxed)
    }

    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub(crate) fn state(&self) -> ReleaseState {
        self.view.borrow().state(&self.plan)
    }

    /// Lets go of the containers: after this nothing of it starts any more.
    pub(crate) async fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// Tells `changes` whenever the view has changed.
async fn announce(
    mut view: watch::Receiver<View>,
    changes: broadcast::Sender<ReleaseRef>,
    id: ReleaseRef,
) {
    while view.changed().await.is_ok() {
        // Without a listener there is nobody to nudge.
        let _ = changes.send(id.clone());
    }
}
