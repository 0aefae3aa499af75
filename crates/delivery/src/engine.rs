//! The port to what runs workloads: processes, Docker, Kubernetes.
//!
//! An engine runs *releases* of workloads. Two releases of one workload may run at once, while the
//! new one gets ready and takes over. Every call is idempotent; what an engine runs survives the
//! platform, and an engine that starts again finds it (adoption).

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use async_trait::async_trait;
use futures::stream::BoxStream;
use jiff::Timestamp;
use kernel::{Problem, Secret};
use serde::{Deserialize, Serialize};

use crate::score::Workload as Score;

/// Which release of which workload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// The environment.
    pub environment: String,
    /// The workload.
    pub workload: String,
    /// The release: counts up for each workload, from 1.
    pub release: u64,
}

impl std::fmt::Display for ReleaseRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.environment, self.workload, self.release)
    }
}

/// A workload with every placeholder resolved. Holds secrets: never serialized, never logged.
#[derive(Debug, Clone)]
pub struct Release {
    /// Which.
    pub id: ReleaseRef,
    /// The team whose it is: what engines share out between teams is counted for it.
    pub team: String,
    /// Changes when anything in here changes: an engine that runs this digest has nothing to do.
    pub digest: String,
    /// The containers by name.
    pub containers: BTreeMap<String, Container>,
    /// The ports that the workload serves, by name.
    pub ports: BTreeMap<String, Port>,
    /// Whether the programs listen on [`Port::target`] whatever the engine tells them: releases of
    /// such a workload cannot run at once where they share the machine's ports.
    pub fixed_ports: bool,
    /// Servers on this machine's loopback that the workload must reach. An engine whose workloads
    /// have a network of their own makes them reachable at [`Engine::machine_host`].
    pub reaches: Vec<SocketAddr>,
}

/// One container (or process) of a release.
#[derive(Debug, Clone)]
pub struct Container {
    /// An image reference, or a path of a program on this machine.
    pub image: String,
    /// Replaces the image's entry point; empty: the image's own.
    pub command: Vec<String>,
    /// Replaces the image's arguments; empty: the image's own.
    pub args: Vec<String>,
    /// Environment variables.
    pub variables: BTreeMap<String, Secret>,
    /// Files to be found in the container.
    pub files: Vec<File>,
    /// Volumes to be found in the container.
    pub volumes: Vec<Mount>,
    /// CPU in thousandths of a core, at the most.
    pub cpu_limit_millis: Option<u64>,
    /// Memory in bytes, at the most.
    pub memory_limit_bytes: Option<u64>,
    /// CPU in thousandths of a core, reserved.
    pub cpu_request_millis: Option<u64>,
    /// Memory in bytes, reserved.
    pub memory_request_bytes: Option<u64>,
    /// Restarted when this fails.
    pub liveness: Option<Probe>,
    /// Gets no traffic until this succeeds.
    pub readiness: Option<Probe>,
    /// Containers of the same workload that wait for this one, and for what: Score's `before`.
    pub before: BTreeMap<String, Before>,
}

/// What a container that another names in `before` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Before {
    /// Until it has started.
    Started,
    /// Until it is ready.
    Healthy,
    /// Until it has ended with exit code 0.
    Complete,
}

/// A file in a container.
#[derive(Debug, Clone)]
pub struct File {
    /// Absolute path, or relative to the working directory.
    pub target: PathBuf,
    /// Permission bits; 0o644 where Score does not say.
    pub mode: u32,
    /// The content, placeholders resolved.
    pub content: Secret,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// A directory of this machine, made by the `volume` provisioner.
    pub source: PathBuf,
    /// Below `source`; empty: the whole.
    pub path: PathBuf,
    /// Where in the container.
    pub target: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
}

/// How a container is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// An HTTP GET.
    Http(HttpProbe),
    /// A command in the container, with the container's environment: exit code 0 is success.
    Exec {
        /// Program and arguments; at least the program.
        command: Vec<String>,
    },
}

/// An HTTP GET: 200 to 399 is success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// The `Host` header; by default the address.
    pub host: Option<String>,
    /// HTTPS instead of HTTP; certificates are not checked.
    pub https: bool,
    /// The path.
    pub path: String,
    /// The port as the workload declares it (`targetPort`); the engine maps it.
    pub port: u16,
    /// More headers.
    pub headers: Vec<(String, String)>,
}

/// A port that the workload serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// What others call.
    pub port: u16,
    /// What the program listens on.
    pub target: u16,
    /// UDP instead of TCP.
    #[serde(default)]
    pub udp: bool,
}

/// How far a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Made, not yet ready.
    Starting,
    /// Every container runs and is ready, or has completed where others wait for that.
    Ready,
    /// Was ready, or never was, and a container is being restarted.
    Restarting,
    /// A container cannot start at all: waiting will not mend it.
    Failed,
    /// Nothing of it runs.
    Stopped,
}

/// What an engine sees of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseState {
    /// The digest it was started with.
    pub digest: String,
    /// How far.
    pub phase: Phase,
    /// Why, in the words of the system, where it is not ready. Never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether `message` tells of a fault that waiting does not mend: a program that listens on another port, that
    /// ends again and again, that is not there. Never of a release that was ready since it was
    /// handed over. An engine that does not know says no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
    /// Whether it counts as ready only because it was found running, after a start of the platform, and was not asked
    /// since: enough to go on serving, and not to begin with it.
    #[serde(skip)]
    pub presumed: bool,
    /// Where each port is served, by the port's name: reachable from this machine.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// Each container, by name.
    #[serde(default)]
    pub containers: BTreeMap<String, ContainerState>,
}

/// What an engine sees of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerState {
    /// Process id or container id, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// Whether its readiness probe succeeds; true while it runs and has none.
    pub ready: bool,
    /// How often it was started again.
    pub restarts: u32,
    /// How it last ended: `exit code 1`, `signal 9`, `out of memory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// When it last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub started: Option<Timestamp>,
}

/// What of a workload an engine cannot honour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The deployment is refused.
    Refuse(Problem),
    /// The deployment goes on; the plan shows it.
    Warn(Problem),
}

/// Which lines of a log.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Only this container.
    pub container: Option<String>,
    /// Only this release; by default all that are kept.
    pub release: Option<u64>,
    /// Begin with the last so many lines.
    pub tail: Option<usize>,
    /// Go on as lines come.
    pub follow: bool,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogLine {
    /// The release that wrote it.
    pub release: u64,
    /// The container that wrote it.
    pub container: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When it was written, where the engine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub time: Option<Timestamp>,
    /// The line, without its end; other than UTF-8 is replaced.
    pub line: String,
}

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What and why: public, without secrets.
    pub message: String,
    /// How to mend it.
    pub remedy: Option<String>,
    /// Whether the same may succeed later.
    pub retry: bool,
}

impl From<EngineError> for kernel::Error {
    fn from(error: EngineError) -> Self {
        // What will not succeed later is not sent again: something has to be mended first.
        let plain = if error.retry {
            Self::unavailable(error.message)
        } else {
            Self::conflict(error.message)
        };
        match error.remedy {
            Some(remedy) => plain.remedy(remedy),
            None => plain,
        }
    }
}

/// What runs workloads.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Its name: `process`, `docker`.
    fn name(&self) -> &'static str;

    /// Whether it runs images. One that runs programs of this machine reads no image beside a command.
    fn runs_images(&self) -> bool {
        true
    }

    /// What of `workload` it cannot honour. Called before anything is made.
    fn check(&self, workload: &Score) -> Vec<Objection>;

    /// The host name or address at which the environment's workloads reach servers that listen on
    /// this machine's loopback: `127.0.0.1` for processes, the bridge's address for containers.
    async fn machine_host(&self, environment: &str) -> Result<String, EngineError>;

    /// Runs `release`, beside other releases of the same workload. Returns once it is on its way;
    /// [`Engine::observe`] tells how far. Does nothing where the same digest is there already.
    ///
    /// To be called again after the platform has started: an engine keeps no secrets, so that only
    /// `apply` enables it to probe and to restart what it has adopted.
    async fn apply(&self, release: &Release) -> Result<(), EngineError>;

    /// What is there of a release; `Ok(None)` where nothing is, an error where it could not ask.
    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError>;

    /// Stops a release (SIGTERM, after `grace` SIGKILL) and removes all that was made for it, logs
    /// apart. `Ok` once it is gone.
    async fn remove(&self, id: &ReleaseRef, grace: std::time::Duration) -> Result<(), EngineError>;

    /// This replica no longer reconciles: what runs goes on, but is started again, probed and ended
    /// by the replica that does, until `apply` says otherwise. Nothing for an engine whose releases
    /// are looked after elsewhere.
    async fn stand_down(&self) {}

    /// Removes what is kept of a workload beyond its releases: logs, the environment's network when
    /// it was the last.
    async fn forget(&self, environment: &str, workload: &str) -> Result<(), EngineError>;

    /// The environment whose workload has the end `peer` of a TCP connection that this machine accepted
    /// at `here`. `Ok(None)`: none that it runs; an error where that could not be found out.
    async fn environment_of(
        &self,
        peer: SocketAddr,
        here: SocketAddr,
    ) -> Result<Option<String>, EngineError>;

    /// Everything that it runs for this platform, from the system's own list: for the comparison
    /// with what should run.
    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError>;

    /// Lines of a workload's log, oldest first.
    async fn logs(
        &self,
        environment: &str,
        workload: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError>;

    /// Releases whose state has changed: a nudge to look again. Lossy.
    fn changes(&self) -> tokio::sync::broadcast::Receiver<ReleaseRef>;
}

#[cfg(test)]
mod tests {
    use kernel::{Error, ErrorKind};

    use super::*;

    #[test]
    fn only_what_may_succeed_later_is_said_to() {
        for (retry, kind) in [(true, ErrorKind::Unavailable), (false, ErrorKind::Conflict)] {
            let error = Error::from(EngineError {
                message: "the network has no gateway".into(),
                remedy: Some("remove it".into()),
                retry,
            });
            assert_eq!(error.kind, kind);
            assert_eq!(error.message, "the network has no gateway");
            assert_eq!(error.remedy.as_deref(), Some("remove it"));
        }
    }
}
