//! Workloads as Docker containers on this machine.
//!
//! Each environment has a bridge network. A workload's containers share one network stack, so that
//! they talk over localhost as the Score specification expects. The engine restarts and probes
//! them itself, by the same rules as processes; Docker's own restart policy is off. What runs is
//! found again by labels.
//!
//! Endpoints are addresses in the bridge network: reachable from this machine where the daemon runs
//! on the same Linux, which it must.

mod connected;
mod create;
mod daemon;
mod forward;
mod listens;
mod logins;
mod logs;
mod names;
mod runtime;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use delivery::{
    engine::{
        Engine, EngineError, LogLine, LogQuery, Objection, Release, ReleaseRef, ReleaseState,
    },
    score::Workload as Score,
};
use futures::stream::BoxStream;
use gateway::tcp::Slots;
use kernel::Problem;
use tokio::sync::{OnceCell, broadcast};
use uuid::Uuid;

use self::connected::Connected;
pub use self::logins::RegistryLogins;
use crate::{Timing, targets};

/// How a [`DockerEngine`] is set up.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// Where the logs of removed containers are kept; absolute.
    pub data_dir: PathBuf,
    /// The platform whose containers these are: another platform's are left alone.
    pub platform: Uuid,
    /// The daemon's address: `unix:///run/docker.sock`. Without one, what `DOCKER_HOST` says, or the
    /// usual.
    pub host: Option<String>,
    /// Where logins to registries are found, for images that are pulled.
    pub logins: RegistryLogins,
    /// How often to probe, and how long to wait before a restart.
    pub timing: Timing,
    /// For the connections of containers to servers on this machine's loopback, which this process passes on.
    pub slots: Slots,
}

impl DockerConfig {
    /// The usual.
    pub fn new(data_dir: impl Into<PathBuf>, platform: Uuid) -> Self {
        Self {
            data_dir: data_dir.into(),
            platform,
            host: None,
            logins: RegistryLogins::of_this_user(),
            timing: Timing::default(),
            slots: Slots::default(),
        }
    }
}

/// Runs workloads as Docker containers. Dropped, it leaves them running.
///
/// It connects at its first use, and again at the next where the daemon did not answer: the daemon
/// may start after the platform.
pub struct DockerEngine {
    config: DockerConfig,
    connected: OnceCell<Connected>,
    changes: broadcast::Sender<ReleaseRef>,
}

impl DockerEngine {
    /// Not connected yet.
    pub fn new(config: DockerConfig) -> Self {
        Self {
            config,
            connected: OnceCell::new(),
            changes: broadcast::channel(256).0,
        }
    }

    /// Connects to the daemon and takes over what of its platform runs already, unless that is done.
    /// Within a Tokio runtime.
    pub async fn connect(&self) -> Result<(), EngineError> {
        self.connected().await.map(drop)
    }

    async fn connected(&self) -> Result<&Connected, EngineError> {
        let connect = || Connected::new(self.config.clone(), self.changes.clone());
        self.connected.get_or_try_init(connect).await
    }
}

#[async_trait]
impl Engine for DockerEngine {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn check(&self, workload: &Score) -> Vec<Objection> {
        let mut objections = Vec::new();
        for (name, container) in &workload.containers {
            let path = format!("containers.{name}");
            if container.image.starts_with('/') {
                let message = format!("{} is a program, and Docker runs images", container.image);
                let problem = Problem::new("engine/image", format!("{path}.image"), message).remedy(
                    "give an image reference (--image REFERENCE), or deploy with the process engine",
                );
                objections.push(Objection::Refuse(problem));
            }
            objections.extend(targets::check(&path, container));
        }
        if !self.connected.initialized() {
            let problem = Problem::new(
                "engine/away",
                "containers",
                "Docker did not answer when it was last asked: the workload waits for it",
            )
            .remedy("start the Docker daemon, or deploy with the process engine");
            objections.push(Objection::Warn(problem));
        }
        objections
    }

    async fn machine_host(&self, environment: &str) -> Result<String, EngineError> {
        self.connected().await?.machine_host(environment).await
    }

    async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        self.connected().await?.apply(release).await
    }

    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError> {
        self.connected().await?.observe(id).await
    }

    async fn remove(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        self.connected().await?.remove(id, grace).await
    }

    async fn stand_down(&self) {
        if let Some(connected) = self.connected.get() {
            connected.stand_down().await;
        }
    }

    async fn forget(&self, environment: &str, workload: &str) -> Result<(), EngineError> {
        self.connected().await?.forget(environment, workload).await
    }

    async fn environment_of(
        &self,
        peer: SocketAddr,
        _: SocketAddr,
    ) -> Result<Option<String>, EngineError> {
        // Without a daemon that has ever answered there are no containers of ours.
        match self.connected.get() {
            Some(connected) => connected.environment_of(peer).await,
            None => Ok(None),
        }
    }

    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        self.connected().await?.list().await
    }

    async fn logs(
        &self,
        environment: &str,
        workload: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError> {
        let connected = self.connected().await?;
        connected.logs(environment, workload, query)
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseRef> {
        self.changes.subscribe()
    }
}
