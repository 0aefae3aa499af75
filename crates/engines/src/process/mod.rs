//! The embedded engine: workloads are processes of this machine.
//!
//! Each container is a process that a [`shim`] becomes. It has a session, a working directory, a
//! control group where the user may make one, and mounts of its own where it wants files or volumes
//! at absolute paths. Its logs go to files. It outlives the platform: the next one finds it by what
//! the run directory records and by the system's own list of processes, and takes it over.

mod callers;
mod cgroup;
mod check;
mod listens;
pub(crate) mod mounts;
mod place;
mod rotation;
mod rundir;
mod runtime;
pub mod shim;
mod start;
pub(crate) mod table;
mod walls;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use delivery::{
    engine::{
        Engine, EngineError, LogLine, LogQuery, Objection, Release, ReleaseRef, ReleaseState,
    },
    score::Workload as Score,
};
use futures::{StreamExt as _, stream::BoxStream};
use tokio::{sync::broadcast, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use self::{
    cgroup::Limits,
    rundir::{Record, RunDir},
    runtime::{Processes, failed},
    table::Marker,
};
use crate::{
    Timing,
    blocking::blocking,
    logs::Logs,
    ports,
    probe::Prober,
    supervisor::{Plan, Supervision, Watched},
    turns::Turns,
};

/// How a [`ProcessEngine`] is set up.
#[derive(Debug, Clone)]
pub struct ProcessConfig {
    /// Where run directories and logs are kept; absolute.
    pub data_dir: PathBuf,
    /// The platform whose processes these are: another platform's are left alone.
    pub platform: Uuid,
    /// Program and arguments that call [`shim::main`].
    pub shim: Vec<OsString>,
    /// The address at which programs are expected to listen.
    pub host: IpAddr,
    /// Directories that programs must not see, beside the data directory; absolute.
    pub private: Vec<PathBuf>,
    /// How often to probe, and how long to wait before a restart.
    pub timing: Timing,
    /// A log file that grows beyond this many bytes is set aside.
    pub log_most_bytes: u64,
    /// So many log files set aside are kept for each stream.
    pub logs_kept: u32,
}

impl ProcessConfig {
    /// The usual: loopback, two logs of 10 MiB set aside.
    pub fn new(data_dir: impl Into<PathBuf>, platform: Uuid, shim: Vec<OsString>) -> Self {
        Self {
            data_dir: data_dir.into(),
            platform,
            shim,
            host: IpAddr::from([127, 0, 0, 1]),
            private: Vec::new(),
            timing: Timing::default(),
            log_most_bytes: 10 * 1024 * 1024,
            logs_kept: 2,
        }
    }

    /// All that programs must not see.
    fn hidden(&self) -> Vec<PathBuf> {
        let mut hidden = self.private.clone();
        hidden.push(self.data_dir.clone());
        hidden
    }
}

/// What the engine knows of this machine.
struct Machine {
    config: ProcessConfig,
    logs: Logs,
    limits: Limits,
    /// Program and arguments that give what they start mounts of its own; `None` where this user
    /// may not.
    unshare: Option<Vec<OsString>>,
}

impl Machine {
    fn marker(&self, id: &ReleaseRef, container: &str) -> Marker {
        Marker {
            platform: self.config.platform,
            release: id.clone(),
            container: container.into(),
        }
    }
}

/// A release that the engine looks after.
struct Running {
    supervision: Supervision,
    processes: Arc<Processes>,
}

impl Running {
    /// Lets go of its processes: after this nothing of it starts any more, and nothing is written for it.
    async fn release(&self) {
        self.supervision.release().await;
        self.processes.at_rest().await;
    }
}

type Releases = Arc<Mutex<BTreeMap<ReleaseRef, Arc<Running>>>>;

/// Runs workloads as processes. Dropped, it leaves them running.
pub struct ProcessEngine {
    machine: Arc<Machine>,
    prober: Prober,
    releases: Releases,
    turns: Turns,
    /// One call at a time finds free ports and writes down that they are taken.
    ports: tokio::sync::Mutex<()>,
    changes: broadcast::Sender<ReleaseRef>,
    rotation: JoinHandle<()>,
}

impl ProcessEngine {
    /// Sets up the engine and takes over what of its platform runs already. Within a Tokio runtime.
    pub async fn new(config: ProcessConfig) -> Result<Self, EngineError> {
        let wrong = |what: &str, error: &std::io::Error| failed(what, error);
        if config.shim.is_empty() {
            return Err(EngineError {
                message: "the process engine has no shim to start programs with".into(),
                remedy: None,
                retry: false,
            });
        }
        rundir::make(&config.data_dir).map_err(|error| wrong("make the data directory", &error))?;
        let machine = Arc::new(Machine {
            logs: Logs {
                directory: config.data_dir.join("logs"),
                most_bytes: config.log_most_bytes,
                kept: config.logs_kept,
            },
            limits: Limits::detect(config.platform),
            unshare: walls::unshare().await,
            config,
        });
        let releases = Releases::default();
        let engine = Self {
            prober: Prober::new(machine.config.timing.probe_timeout)?,
            rotation: tokio::spawn(rotation::keep(machine.logs.clone(), Arc::clone(&releases))),
            turns: Turns::default(),
            ports: tokio::sync::Mutex::default(),
            changes: broadcast::channel(256).0,
            releases,
            machine,
        };
        // Looked for first: another replica writes a record before it makes a group.
        let groups = engine.machine.limits.made();
        let found = RunDir::all(&engine.machine.config.data_dir)
            .map_err(|error| wrong("read the run directory", &error))?;
        let records = found.iter().map(|(_, record)| record);
        engine.machine.limits.sweep(groups, records);
        for (directory, record) in found {
            engine.adopt(directory, record);
        }
        Ok(engine)
    }

    /// Watches a release that an earlier platform has started, until `apply` says what it is.
    fn adopt(&self, directory: RunDir, record: Record) {
        let plan = Plan {
            id: record.id.clone(),
            digest: record.digest.clone(),
            containers: (record.containers.iter())
                .map(|name| (name.clone(), Watched::default()))
                .collect(),
            endpoints: record.endpoints.clone(),
            tcp: record.tcp.clone(),
            startable: false,
        };
        self.supervise(plan, directory, record, None);
    }

    fn supervise(&self, plan: Plan, directory: RunDir, record: Record, release: Option<Release>) {
        let id = record.id.clone();
        let machine = Arc::clone(&self.machine);
        let processes = Arc::new(Processes::new(machine, directory, record, release));
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        let before = releases.get(&id).map(|running| running.supervision.view());
        let supervision = Supervision::begin(
            plan,
            Arc::clone(&processes),
            self.prober.clone(),
            self.machine.config.timing.clone(),
            self.changes.clone(),
            before,
        );
        releases.insert(
            id,
            Arc::new(Running {
                supervision,
                processes,
            }),
        );
    }

    fn running(&self, id: &ReleaseRef) -> Option<Arc<Running>> {
        self.releases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Where the ports of `release` are served.
    async fn endpoints(
        &self,
        release: &Release,
    ) -> Result<BTreeMap<String, SocketAddr>, EngineError> {
        let host = self.machine.config.host;
        if release.fixed_ports {
            let fixed = |(name, port): (&String, &delivery::engine::Port)| {
                (name.clone(), SocketAddr::new(host, port.target))
            };
            return Ok(release.ports.iter().map(fixed).collect());
        }
        let known: Vec<Record> = {
            let releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
            (releases.values())
                .map(|running| running.processes.record.clone())
                .collect()
        };
        // Those that another replica on this machine has promised count as well.
        let data_dir = self.machine.config.data_dir.clone();
        let recorded = (blocking(move || RunDir::all(&data_dir)).await)
            .map_err(|error| failed("read the run directory", &error))?;
        let taken: BTreeSet<u16> = known
            .into_iter()
            .chain(recorded.into_iter().map(|(_, record)| record))
            .flat_map(|record| record.endpoints.into_values())
            .map(|endpoint| endpoint.port())
            .collect();
        ports::allocate(host, &release.ports, &taken)
            .map_err(|error| failed(format!("find ports for {}", release.id), &error))
    }

    /// Brings what is known of a release up to what the run directory says: another replica on this
    /// machine may have started it since, or started it anew, or taken it away.
    async fn catch_up(&self, id: &ReleaseRef) -> Result<(), EngineError> {
        let directory = RunDir::new(&self.machine.config.data_dir, id);
        let read = blocking(move || Ok((directory.record()?, directory))).await;
        let (record, directory) =
            read.map_err(|error| failed(format!("read the record of {id}"), &error))?;
        let known = self.running(id);
        if known.as_ref().map(|running| &running.processes.record) == record.as_ref() {
            return Ok(());
        }
        (self.releases.lock().unwrap_or_else(PoisonError::into_inner)).remove(id);
        if let Some(known) = known {
            known.release().await;
        }
        if let Some(record) = record {
            self.adopt(directory, record);
        }
        Ok(())
    }

    /// The processes of a release that the engine does not look after: strays.
    async fn strays(&self, id: &ReleaseRef) -> std::io::Result<Processes> {
        let platform = self.machine.config.platform;
        let marked = blocking(move || table::marked(platform)).await?;
        let containers: BTreeSet<String> = (marked.into_iter())
            .filter(|(_, marker)| marker.release == *id)
            .map(|(_, marker)| marker.container)
            .collect();
        let directory = RunDir::new(&self.machine.config.data_dir, id);
        let record = Record {
            id: id.clone(),
            digest: String::new(),
            endpoints: BTreeMap::new(),
            tcp: Vec::new(),
            containers: containers.into_iter().collect(),
        };
        let machine = Arc::clone(&self.machine);
        Ok(Processes::new(machine, directory, record, None))
    }

    async fn remove_now(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        let running = self.running(id);
        let strays;
        let processes = if let Some(running) = &running {
            running.release().await;
            &*running.processes
        } else {
            strays = self
                .strays(id)
                .await
                .map_err(|error| failed(format!("look for {id}"), &error))?;
            &strays
        };
        (processes.end(None, grace).await).map_err(|error| failed(format!("stop {id}"), &error))?;
        processes
            .remove()
            .await
            .map_err(|error| failed(format!("remove what was made for {id}"), &error))?;
        self.releases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
        // Without a listener there is nobody to nudge.
        let _ = self.changes.send(id.clone());
        Ok(())
    }
}

impl Drop for ProcessEngine {
    fn drop(&mut self) {
        self.rotation.abort();
    }
}

#[async_trait]
impl Engine for ProcessEngine {
    fn name(&self) -> &'static str {
        "process"
    }

    fn runs_images(&self) -> bool {
        false
    }

    fn check(&self, workload: &Score) -> Vec<Objection> {
        check::check(&self.machine, workload)
    }

    async fn machine_host(&self, _environment: &str) -> Result<String, EngineError> {
        Ok(self.machine.config.host.to_string())
    }

    async fn apply(&self, release: &Release) -> Result<(), EngineError> {
        let id = &release.id;
        let _turn = self.turns.of(id).await;
        self.catch_up(id).await?;
        if let Some(running) = self.running(id) {
            if running.supervision.digest() == release.digest {
                if running.supervision.starts() {
                    return Ok(());
                }
                // It was adopted, or its removal has failed; from now on it can be probed and started
                // again.
                running.release().await;
                let processes = &running.processes;
                let record = processes.record.clone();
                let directory = processes.directory.clone();
                let (directory, record) = kept(directory, record)
                    .await
                    .map_err(|error| failed(format!("keep the record of {id}"), &error))?;
                let plan = Plan::new(release, record.endpoints.clone());
                self.supervise(plan, directory, record, Some(release.clone()));
                return Ok(());
            }
            self.remove_now(id, self.machine.config.timing.kill_grace)
                .await?;
        }
        let ports = self.ports.lock().await;
        let endpoints = self.endpoints(release).await?;
        let plan = Plan::new(release, endpoints.clone());
        let record = Record {
            id: id.clone(),
            digest: release.digest.clone(),
            endpoints,
            tcp: plan.tcp.clone(),
            containers: release.containers.keys().cloned().collect(),
        };
        let directory = RunDir::new(&self.machine.config.data_dir, id);
        let (directory, record) = kept(directory, record)
            .await
            .map_err(|error| failed(format!("make the run directory of {id}"), &error))?;
        drop(ports);
        self.supervise(plan, directory, record, Some(release.clone()));
        Ok(())
    }

    async fn observe(&self, id: &ReleaseRef) -> Result<Option<ReleaseState>, EngineError> {
        if self.running(id).is_none() {
            let _turn = self.turns.of(id).await;
            self.catch_up(id).await?;
        }
        Ok(self.running(id).map(|running| running.supervision.state()))
    }

    async fn remove(&self, id: &ReleaseRef, grace: Duration) -> Result<(), EngineError> {
        let _turn = self.turns.of(id).await;
        self.catch_up(id).await?;
        self.remove_now(id, grace).await
    }

    async fn stand_down(&self) {
        let _turn = self.turns.of_all().await;
        let all =
            std::mem::take(&mut *self.releases.lock().unwrap_or_else(PoisonError::into_inner));
        for running in all.into_values() {
            running.release().await;
        }
    }

    async fn forget(&self, environment: &str, workload: &str) -> Result<(), EngineError> {
        let logs = self.machine.logs.clone();
        let of = (environment.to_owned(), workload.to_owned());
        (blocking(move || logs.remove(&of.0, &of.1)).await).map_err(|error| {
            let what = format!("remove the logs of {environment}/{workload}");
            failed(what, &error)
        })
    }

    async fn environment_of(
        &self,
        peer: SocketAddr,
        here: SocketAddr,
    ) -> Result<Option<String>, EngineError> {
        let (directory, platform) = (
            self.machine.config.data_dir.clone(),
            self.machine.config.platform,
        );
        (blocking(move || callers::environment_of(&directory, platform, peer, here)).await)
            .map_err(|error| failed(format!("find out whose {peer} is"), &error))
    }

    async fn list(&self) -> Result<Vec<ReleaseRef>, EngineError> {
        let machine = Arc::clone(&self.machine);
        let found = blocking(move || {
            let recorded = RunDir::all(&machine.config.data_dir)?;
            Ok((table::marked(machine.config.platform)?, recorded))
        });
        let (marked, recorded) =
            (found.await).map_err(|error| failed("list the processes", &error))?;
        let all: BTreeSet<ReleaseRef> = (marked.into_iter().map(|(_, marker)| marker.release))
            .chain(recorded.into_iter().map(|(_, record)| record.id))
            .collect();
        Ok(all.into_iter().collect())
    }

    async fn logs(
        &self,
        environment: &str,
        workload: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, EngineError> {
        let (logs, of) = (
            self.machine.logs.clone(),
            (environment.to_owned(), workload.to_owned()),
        );
        (blocking(move || logs.check(&of.0, &of.1)).await).map_err(|error| {
            failed(format!("read the logs of {environment}/{workload}"), &error)
        })?;
        let (sender, lines) = tokio::sync::mpsc::channel(256);
        let logs = self.machine.logs.clone();
        tokio::spawn(logs.send(environment.into(), workload.into(), query, sender));
        Ok(ReceiverStream::new(lines).boxed())
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseRef> {
        self.changes.subscribe()
    }
}

/// Keeps `record` in the run directory, which is made where it is not there.
async fn kept(directory: RunDir, record: Record) -> std::io::Result<(RunDir, Record)> {
    blocking(move || {
        directory.create(&record)?;
        Ok((directory, record))
    })
    .await
}
