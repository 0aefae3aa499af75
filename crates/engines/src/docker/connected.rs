//! The engine on a daemon that has answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::Docker;
use delivery::engine::{EngineError, LogLine, LogQuery, Port, Release, ReleaseRef, ReleaseState};
use futures::{StreamExt as _, stream::BoxStream};
use tokio::sync::broadcast;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    DockerConfig,
    daemon::{Daemon, failed},
    forward::Forwards,
    logs,
    names::Labels,
    runtime::Containers,
};
use crate::{
    blocking::blocking,
    connection::is_of_this_machine,
    logs::Logs,
    probe::Prober,
    supervisor::{Plan, Supervision, Watched},
    turns::Turns,
};

/// A release that the engine looks after.
struct Looked {
    supervision: Supervision,
    containers: Arc<Containers>,
}

/// The engine, once its daemon has answered. The daemon may go and come back: each call connects
/// anew, and those who wait for a container ask again.
pub(super) struct Connected {
    daemon: Arc<Daemon>,
    config: DockerConfig,
    prober: Prober,
    logs: Logs,
    releases: Mutex<BTreeMap<ReleaseRef, Arc<Looked>>>,
    forwards: Forwards,
    turns: Turns,
    changes: broadcast::Sender<ReleaseRef>,
}

impl Connected {
    /// Connects to the daemon, and takes over what of its platform runs already. Within a Tokio
    /// runtime.
    pub(super) async fn new(
        config: DockerConfig,
        changes: broadcast::Sender<ReleaseRef>,
    ) -> Result<Self, EngineError> {
        let api = match &config.host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_defaults(),
        };
        let api = api.map_err(|error| failed("connect to Docker", error))?;
        let api = api.negotiate_version().await;
        let api = api.map_err(|error| failed("connect to Docker", error))?;
        let engine = Self {
            daemon: Arc::new(Daemon {
                api,
                platform: config.platform,
                logins: config.logins.clone(),
                makes_network: Arc::default(),
            }),
            prober: Prober::new(config.timing.probe_timeout)?,
            logs: Logs {
                directory: config.data_dir.join("logs"),
                most_bytes: u64::MAX,
                kept: 0,
            },
            releases: Mutex::default(),
            forwards: Forwards::new(config.slots.clone()),
            turns: Turns::default(),
            changes,
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
            engine.adopt(id, &containers);
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
    fn adopt(&self, id: ReleaseRef, found: &[Labels]) {
        let Some(first) = found.first() else {
            return;
        };
        // Labels that do not read are not of our making: then nothing is known of its ports.
        let ports: BTreeMap<String, Port> = serde_json::from_str(&first.ports).unwrap_or_default();
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
    }

    /// Brings what is known of a release up to what Docker lists, unless this engine has started it:
    /// another replica may have started it since, or taken it away.
    async fn catch_up(&self, id: &ReleaseRef) -> Result<(), EngineError> {
        let known = self.looked(id);
        if (known.as_ref()).is_some_and(|known| known.supervision.starts()) {
            return Ok(());
        }
        let found = self.labels_of(id).await?;
        let same = known.is_some_and(|known| {
            let names = found.iter().map(|labels| &labels.container);
            let digest = found.first().map(|first| first.digest.as_str());
            digest == Some(known.supervision.digest())
                && names.collect::<BTreeSet<_>>() == known.containers.names.iter().collect()
        });
        if !same {
            // Dropped, it lets go of its containers and leaves them running.
            (self.releases.lock().unwrap_or_else(PoisonError::into_inner)).remove(id);
            self.adopt(id.clone(), &found);
        }
        Ok(())
    }

    async fn labels_of(&self, id: &ReleaseRef) -> Result<Vec<Labels>, EngineError> {
        let mut labels = self.labels().await?;
        labels.retain(|labels| labels.release == *id);
        Ok(labels)
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
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
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
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    async fn remove_now(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        if let Some(looked) = self.looked(id) {
            looked.supervision.release().await;
        }
        let found = self.labels_of(id).await?;
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
        if !self.labels_of(id).await?.is_empty() {
            return Err(EngineError {
                message: format!("Docker still lists containers of {id}"),
                remedy: None,
                retry: true,
            });
        }
        self.forwards.close(id).await;
        self.releases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        // Without a listener there is nobody to nudge.
        let _ = self.changes.send(id.clone());
        Ok(())
    }

    pub(super) async fn machine_host(&self, environment: &str) -> Result<String, EngineError> {
        Ok(self.daemon.network(environment).await?.1.to_string())
    }

    pub(super) async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        let id = &release.id;
        let _turn = self.turns.of(id).await;
        self.catch_up(id).await?;
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
        self.forwards
            .open((id, release.team.as_str()), gateway, &release.reaches)
            .await?;
        let plan = Plan::new(release, BTreeMap::new());
        let names = release.containers.keys().cloned().collect();
        self.supervise(plan, names, release.ports.clone(), Some(release.clone()));
        Ok(())
    }

    pub(super) async fn observe(
        &self,
        id: &ReleaseRef,
    ) -> Result<Option<ReleaseState>, EngineError> {
        if !(self.looked(id)).is_some_and(|looked| looked.supervision.starts()) {
            let _turn = self.turns.of(id).await;
            self.catch_up(id).await?;
        }
        Ok(self.looked(id).map(|looked| looked.supervision.state()))
    }

    pub(super) async fn remove(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        let _turn = self.turns.of(id).await;
        self.remove_now(id, grace).await
    }

    pub(super) async fn forget(
        &self,
        environment: &str,
        workload: &str,
    ) -> Result<(), EngineError> {
        let logs = self.logs.clone();
        let of = (environment.to_owned(), workload.to_owned());
        let removed = blocking(move || logs.remove(&of.0, &of.1)).await;
        removed.map_err(|error| EngineError {
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

    /// The environment whose containers have the address `peer`, or whose connection was passed on from it.
    pub(super) async fn environment_of(
        &self,
        peer: SocketAddr,
    ) -> Result<Option<String>, EngineError> {
        if let Some(environment) = self.forwards.passed_on(peer) {
            return Ok(Some(environment));
        }
        if is_of_this_machine(peer.ip()) {
            return Ok(None);
        }
        self.daemon.environment_at(peer.ip()).await
    }

    pub(super) async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        let all: BTreeSet<ReleaseRef> = self
            .labels()
            .await?
            .into_iter()
            .map(|labels| labels.release)
            .collect();
        Ok(all.into_iter().collect())
    }

    pub(super) fn logs(
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

    pub(super) async fn stand_down(&self) {
        let _turn = self.turns.of_all().await;
        let all =
            std::mem::take(&mut *self.releases.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, looked) in all {
            looked.supervision.release().await;
            self.forwards.close(&id).await;
        }
    }
}
