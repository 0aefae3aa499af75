//! Workloads as Docker containers on this machine.
//!
//! Each environment has a bridge network. A workload's containers share one network stack, so that
//! they talk over localhost as the Score specification expects. The engine restarts and probes
//! them itself, by the same rules as processes; Docker's own restart policy is off. What runs is
//! found again by labels.
//!
//! Endpoints are addresses in the bridge network: reachable from this machine where the daemon runs
//! on the same Linux, which it must.

mod create;
mod daemon;
mod forward;
mod logs;
mod names;
mod runtime;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bollard::Docker;
use delivery::{
    engine::{
        Engine, EngineError, LogLine, LogQuery, Objection, Port, Release, ReleaseRef, ReleaseState,
    },
    score::Workload as Score,
};
use futures::{StreamExt as _, stream::BoxStream};
use kernel::Problem;
use tokio::sync::broadcast;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use self::{
    daemon::{Daemon, failed},
    forward::Forwards,
    names::Labels,
    runtime::Containers,
};
use crate::{
    Timing,
    logs::Logs,
    probe::Prober,
    supervisor::{Plan, Supervision, Watched},
    turns::Turns,
};

/// How a [`DockerEngine`] is set up.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// Where the logs of removed containers are kept; absolute.
    pub data_dir: PathBuf,
    /// The platform whose containers these are: another platform's are left alone.
    pub platform: Uuid,
    /// How often to probe, and how long to wait before a restart.
    pub timing: Timing,
}

impl DockerConfig {
    /// The usual.
    pub fn new(data_dir: impl Into<PathBuf>, platform: Uuid) -> Self {
        Self {
            data_dir: data_dir.into(),
            platform,
            timing: Timing::default(),
        }
    }
}

/// A release that the engine looks after.
struct Looked {
    supervision: Supervision,
    containers: Arc<Containers>,
}

/// Runs workloads as Docker containers. Dropped, it leaves them running.
pub struct DockerEngine {
    daemon: Arc<Daemon>,
    config: DockerConfig,
    prober: Prober,
    logs: Logs,
    releases: Mutex<BTreeMap<ReleaseRef, Arc<Looked>>>,
    forwards: Forwards,
    turns: Turns,
    changes: broadcast::Sender<ReleaseRef>,
}

impl DockerEngine {
    /// Connects to the daemon of this machine (`DOCKER_HOST` where it is set), and takes over what
    /// of its platform runs already. Within a Tokio runtime.
    pub async fn connect(config: DockerConfig) -> Result<Self, EngineError> {
        let api =
            Docker::connect_with_defaults().map_err(|error| failed("connect to Docker", error))?;
        let api = api.negotiate_version().await;
        let api = api.map_err(|error| failed("connect to Docker", error))?;
        let engine = Self {
            daemon: Arc::new(Daemon {
                api,
                platform: config.platform,
            }),
            prober: Prober::new(config.timing.probe_timeout)?,
            logs: Logs {
                directory: config.data_dir.join("logs"),
                most_bytes: u64::MAX,
                kept: 0,
            },
            releases: Mutex::default(),
            forwards: Forwards::default(),
            turns: Turns::default(),
            changes: broadcast::channel(256).0,
            config,
        };
        let mut found: BTreeMap<ReleaseRef, Vec<Labels>> = BTreeMap::new();
        for labels in engine.labels().await? {
            found
                .entry(labels.release.clone())
                .or_default()
                .push(labels);
        }
        for (id, containers) in found {
            engine.adopt(id, &containers).await?;
        }
        Ok(engine)
    }

    /// The labels of everything that is there.
    async fn labels(&self) -> Result<Vec<Labels>, EngineError> {
        let containers = self.daemon.containers(None).await?;
        let labels = containers
            .iter()
            .filter_map(|it| Labels::read(it.labels.as_ref()?));
        Ok(labels.collect())
    }

    /// Watches a release that an earlier platform has started, until `apply` says what it is.
    async fn adopt(&self, id: ReleaseRef, found: &[Labels]) -> Result<(), EngineError> {
        let Some(first) = found.first() else {
            return Ok(());
        };
        // Labels that do not read are not of our making: then nothing is known of its ports.
        let ports: BTreeMap<String, Port> = serde_json::from_str(&first.ports).unwrap_or_default();
        let reaches: Vec<SocketAddr> = serde_json::from_str(&first.reaches).unwrap_or_default();
        if !reaches.is_empty() {
            let (_, gateway) = self.daemon.network(&id.environment).await?;
            self.forwards.open(&id, gateway, &reaches).await?;
        }
        let names: Vec<String> = found
            .iter()
            .map(|labels| labels.container.clone())
            .collect();
        let plan = Plan {
            id: id.clone(),
            digest: first.digest.clone(),
            containers: names
                .iter()
                .map(|name| (name.clone(), Watched::default()))
                .collect(),
            endpoints: BTreeMap::new(),
            tcp: (ports.iter().filter(|(_, port)| !port.udp))
                .map(|(name, _)| name.clone())
                .collect(),
            startable: false,
        };
        self.supervise(plan, names, ports, None);
        Ok(())
    }

    fn containers(&self, id: &ReleaseRef, names: Vec<String>) -> Containers {
        Containers {
            daemon: Arc::clone(&self.daemon),
            id: id.clone(),
            names,
            ports: BTreeMap::new(),
            kill_grace: self.config.timing.kill_grace,
            release: None,
        }
    }

    fn supervise(
        &self,
        plan: Plan,
        names: Vec<String>,
        ports: BTreeMap<String, Port>,
        release: Option<Release>,
    ) {
        let id = plan.id.clone();
        let containers = Containers {
            ports,
            release,
            ..self.containers(&id, names)
        };
        let containers = Arc::new(containers);
        let mut releases = self.releases.lock().expect("no holder panics");
        let before = releases.get(&id).map(|looked| looked.supervision.view());
        let supervision = Supervision::begin(
            plan,
            Arc::clone(&containers),
            self.prober.clone(),
            self.config.timing.clone(),
            self.changes.clone(),
            before,
        );
        releases.insert(
            id,
            Arc::new(Looked {
                supervision,
                containers,
            }),
        );
    }

    fn looked(&self, id: &ReleaseRef) -> Option<Arc<Looked>> {
        self.releases
            .lock()
            .expect("no holder panics")
            .get(id)
            .cloned()
    }

    async fn remove_now(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        if let Some(looked) = self.looked(id) {
            looked.supervision.release().await;
        }
        let found: Vec<Labels> = (self.labels().await?.into_iter())
            .filter(|labels| labels.release == *id)
            .collect();
        let names: BTreeSet<String> = (found.iter().map(|labels| labels.container.clone()))
            .chain(
                self.looked(id)
                    .iter()
                    .flat_map(|looked| looked.containers.names.clone()),
            )
            .collect();
        let containers = self.containers(id, names.into_iter().collect());
        containers.stop(grace).await?;
        for labels in &found {
            logs::keep(&self.daemon, &self.logs, labels).await?;
        }
        containers.remove().await?;
        if self
            .labels()
            .await?
            .iter()
            .any(|labels| labels.release == *id)
        {
            return Err(EngineError {
                message: format!("Docker still lists containers of {id}"),
                remedy: None,
                retry: true,
            });
        }
        self.forwards.close(id);
        self.releases.lock().expect("no holder panics").remove(id);
        // Without a listener there is nobody to nudge.
        let _ = self.changes.send(id.clone());
        Ok(())
    }
}

#[async_trait]
impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn check(&self, workload: &Score) -> Vec<Objection> {
        let path = |(name, container): (&String, &delivery::score::Container)| {
            container.image.starts_with('/').then(|| {
                let message = format!("{} is a program, and Docker runs images", container.image);
                let problem = Problem::new("engine/image", format!("containers.{name}.image"), message);
                Objection::Refuse(problem.remedy(
                    "give an image reference (--image REFERENCE), or deploy with the process engine",
                ))
            })
        };
        workload.containers.iter().filter_map(path).collect()
    }

    async fn machine_host(&self, environment: &str) -> Result<String, EngineError> {
        Ok(self.daemon.network(environment).await?.1.to_string())
    }

    async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        let id = &release.id;
        let _turn = self.turns.of(id).await;
        if let Some(looked) = self.looked(id) {
            if looked.supervision.digest() != release.digest {
                self.remove_now(id, self.config.timing.kill_grace).await?;
            } else if looked.supervision.starts() {
                return Ok(());
            } else {
                // It was adopted, or its removal has failed; from now on it can be probed and started again.
                looked.supervision.release().await;
            }
        }
        let (_, gateway) = self.daemon.network(&id.environment).await?;
        self.forwards.open(id, gateway, &release.reaches).await?;
        let plan = Plan::new(release, BTreeMap::new());
        let names = release.containers.keys().cloned().collect();
        self.supervise(plan, names, release.ports.clone(), Some(release.clone()));
        Ok(())
    }

    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError> {
        Ok(self.looked(id).map(|looked| looked.supervision.state()))
    }

    async fn remove(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        let _turn = self.turns.of(id).await;
        self.remove_now(id, grace).await
    }

    async fn forget(&self, environment: &str, workload: &str) -> Result<(), EngineError> {
        self.logs
            .remove(environment, workload)
            .map_err(|error| EngineError {
                message: format!("cannot remove the logs of {environment}/{workload}: {error}"),
                remedy: None,
                retry: true,
            })?;
        let left = self.labels().await?;
        if left
            .iter()
            .any(|labels| labels.release.environment == environment)
        {
            return Ok(());
        }
        self.daemon.remove_network(environment).await
    }

    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        let all: BTreeSet<ReleaseRef> = self
            .labels()
            .await?
            .into_iter()
            .map(|labels| labels.release)
            .collect();
        Ok(all.into_iter().collect())
    }

    async fn logs(
        &self,
        environment: &str,
        workload: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError> {
        let (sender, lines) = tokio::sync::mpsc::channel(256);
        let of = (environment.to_owned(), workload.to_owned());
        tokio::spawn(logs::send(
            Arc::clone(&self.daemon),
            self.logs.clone(),
            of,
            query,
            sender,
        ));
        Ok(ReceiverStream::new(lines).boxed())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseRef> {
        self.changes.subscribe()
    }
}
