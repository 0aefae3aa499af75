//! How the containers of one release are run as processes.

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use delivery::engine::{Container, EngineError, Release, ReleaseRef};
use jiff::Timestamp;
use rustix::process::Signal;
use tokio::process::Child;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{
    Machine,
    rundir::{Main, Record, RunDir},
    shim,
    start::{Prepared, order},
    table,
};
use crate::{
    blocking::blocking,
    supervisor::{Advice, Exit, Runtime, Started, Tell},
};

/// The containers of one release. A clone of it goes where there is to be waited.
#[derive(Clone)]
pub(super) struct Processes {
    pub(super) machine: Arc<Machine>,
    pub(super) directory: RunDir,
    pub(super) record: Record,
    /// What to start; `None` where it was adopted and nobody has said yet.
    pub(super) release: Option<Arc<Release>>,
    /// What threads do for it: nothing that is aborted stops them.
    threads: TaskTracker,
}

/// A main process.
pub(super) struct Process {
    main: Main,
    at: Timestamp,
    /// Deaths in its control group for want of memory, when it started.
    out_of_memory: u64,
    /// Our child, or somebody else's that we can only watch.
    watch: Watch,
}

enum Watch {
    Child(Child),
    Adopted,
}

/// A failure of the system: it may pass.
pub(super) fn failed(what: impl std::fmt::Display, error: &io::Error) -> EngineError {
    EngineError {
        message: format!("cannot {what}: {error}"),
        remedy: None,
        retry: true,
    }
}

impl Processes {
    pub(super) fn new(
        machine: Arc<Machine>,
        directory: RunDir,
        record: Record,
        release: Option<Release>,
    ) -> Self {
        Self {
            machine,
            directory,
            record,
            release: release.map(Arc::new),
            threads: TaskTracker::new(),
        }
    }

    pub(super) fn id(&self) -> &ReleaseRef {
        &self.record.id
    }

    /// Runs `work`, which waits for disks, `/proc` or control groups, on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let processes = self.clone();
        let done = self.threads.spawn_blocking(move || work(&processes));
        done.await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Waits until no thread does anything for it, after its supervision has ended: one that prepares a start would
    /// write into what another removes, or has begun anew.
    pub(super) async fn at_rest(&self) {
        self.threads.close();
        self.threads.wait().await;
    }

    pub(super) fn container(&self, name: &str) -> Result<&Container, EngineError> {
        let release = self.release.as_ref();
        (release.and_then(|release| release.containers.get(name))).ok_or_else(|| EngineError {
            message: format!(
                "container {name} of {} was adopted, and what to start is not known",
                self.id()
            ),
            remedy: None,
            retry: true,
        })
    }

    /// Every process of a container (of all, where it is `None`), whoever its parent is.
    pub(super) async fn processes(&self, container: Option<&str>) -> io::Result<BTreeSet<u32>> {
        self.search(container).pids().await
    }

    fn search(&self, container: Option<&str>) -> Search {
        let names: Vec<String> = (self.record.containers.iter())
            .filter(|name| container.is_none_or(|only| only == *name))
            .cloned()
            .collect();
        Search {
            platform: self.machine.config.platform,
            id: self.id().clone(),
            groups: (names.iter())
                .flat_map(|name| self.machine.limits.groups(self.id(), name))
                .collect(),
            directory: self.directory.clone(),
            only: container.map(str::to_owned),
            names,
        }
    }

    /// Ends every process of a container (of all, where it is `None`).
    pub(super) async fn end(&self, container: Option<&str>, grace: Duration) -> io::Result<()> {
        let search = self.search(container);
        table::end(grace, || search.clone().pids()).await
    }

    /// Removes what was made for it. Nothing of it runs any more.
    pub(super) async fn remove(&self) -> io::Result<()> {
        /// The kernel lets go of a group a moment after its last process has ended.
        const PATIENCE: Duration = Duration::from_secs(2);
        let begun = tokio::time::Instant::now();
        loop {
            let removed = self.blocking(|it| {
                (it.record.containers.iter())
                    .try_for_each(|container| it.machine.limits.remove(it.id(), container))?;
                it.directory.remove()
            });
            match removed.await {
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy
                        && begun.elapsed() <= PATIENCE => {}
                removed => return removed,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The main process that is on record, if it lives.
    fn recorded(&self, container: &str) -> io::Result<Option<Process>> {
        let Some(main) = self.directory.main(container)? else {
            return Ok(None);
        };
        match self.adopt(container, main) {
            Ok(process) => Ok(Some(process)),
            Err(error) => {
                tracing::debug!(release = %self.id(), container, %error, "not adopted");
                Ok(None)
            }
        }
    }

    fn adopt(&self, container: &str, main: Main) -> io::Result<Process> {
        let record = self.directory.container(container).join("main.json");
        Ok(Process {
            at: fs::metadata(record)?
                .modified()?
                .try_into()
                .map_err(io::Error::other)?,
            out_of_memory: self.machine.limits.out_of_memory(self.id(), container),
            watch: Watch::Adopted,
            main,
        })
    }

    /// How the container ended, whose control group had so many deaths for want of memory when it started.
    async fn exit(&self, container: &str, before: u64, status: ExitStatus) -> Exit {
        if status.code() == Some(shim::CANNOT_START) {
            let name = container.to_owned();
            let why = self.blocking(move |it| Ok(it.directory.error(&name)));
            if let Ok(Some(why)) = why.await {
                return Exit::CannotStart(why);
            }
        }
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(9)) if self.died_for_memory(container, before).await => Exit::OutOfMemory,
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        }
    }

    /// Whether its control group has had more than so many deaths for want of memory.
    async fn died_for_memory(&self, container: &str, before: u64) -> bool {
        let name = container.to_owned();
        let deaths = self.blocking(move |it| Ok(it.machine.limits.out_of_memory(it.id(), &name)));
        deaths.await.is_ok_and(|deaths| deaths > before)
    }
}

/// Where the processes of a release, or of one container of it, are looked for.
#[derive(Clone)]
struct Search {
    platform: Uuid,
    id: ReleaseRef,
    /// Its containers, or the one.
    names: Vec<String>,
    groups: Vec<PathBuf>,
    directory: RunDir,
    only: Option<String>,
}

impl Search {
    async fn pids(self) -> io::Result<BTreeSet<u32>> {
        blocking(move || {
            let mut pids = table::members(&self.groups);
            for name in &self.names {
                pids.extend(self.directory.main(name)?.map(|main| main.pid));
            }
            for (pid, marker) in table::marked(self.platform)? {
                let only = self.only.as_ref();
                if marker.release == self.id && only.is_none_or(|only| *only == marker.container) {
                    pids.insert(pid);
                }
            }
            Ok(pids)
        })
        .await
    }
}

#[async_trait]
impl Runtime for Processes {
    type Instance = Process;

    async fn find(&self, container: &str) -> Result<Option<Process>, EngineError> {
        let wrong = |error: &io::Error| failed(format!("look for {}", self.id()), error);
        // A shim that a platform before this one has started records itself within milliseconds.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
        loop {
            let name = container.to_owned();
            let recorded = self.blocking(move |it| it.recorded(&name)).await;
            if let Some(process) = recorded.map_err(|error| wrong(&error))? {
                return Ok(Some(process));
            }
            if self
                .processes(Some(container))
                .await
                .map_err(|error| wrong(&error))?
                .is_empty()
            {
                return Ok(None);
            }
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What is left has lost its main process.
        self.clear(container).await;
        Ok(None)
    }

    async fn start(&self, container: &str, _tell: Tell<'_>) -> Result<Process, EngineError> {
        let name = container.to_owned();
        let prepared = self.blocking(move |it| Ok(it.prepare(&name))).await;
        let Prepared {
            orders,
            out,
            out_of_memory,
        } = prepared
            .map_err(|error| failed(format!("prepare container {container}"), &error))??;
        let mut child = self.shim(container, &orders, out)?;
        let pid = child.id().unwrap_or_default();
        let main = Main {
            pid,
            start_time: table::start_time(pid).unwrap_or_default(),
            boot_id: String::new(),
        };
        // A shim that ends before it has read its orders says why by its end.
        if let Err(error) = order(&mut child, &orders).await {
            tracing::warn!(release = %self.id(), container, %error, "the shim did not take its orders");
        }
        Ok(Process {
            main,
            at: Timestamp::now(),
            out_of_memory,
            watch: Watch::Child(child),
        })
    }

    fn started(&self, process: &Process) -> Started {
        Started {
            handle: process.main.pid.to_string(),
            at: process.at,
            endpoints: None,
        }
    }

    async fn wait(&self, container: &str, process: &mut Process) -> Exit {
        match &mut process.watch {
            Watch::Child(child) => match child.wait().await {
                Ok(status) => self.exit(container, process.out_of_memory, status).await,
                Err(error) => {
                    tracing::warn!(release = %self.id(), container, %error, "cannot wait for the process");
                    Exit::Unseen
                }
            },
            Watch::Adopted => {
                // The kernel tells its end to its parent, which is not this process: so it is asked.
                while table::start_time(process.main.pid) == Some(process.main.start_time) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                if self.died_for_memory(container, process.out_of_memory).await {
                    Exit::OutOfMemory
                } else {
                    Exit::Unseen
                }
            }
        }
    }

    async fn kill(&self, container: &str, process: &mut Process) {
        let grace = self.machine.config.timing.kill_grace;
        if let Err(error) = table::signal(process.main.pid, Signal::TERM) {
            tracing::warn!(release = %self.id(), container, %error, "cannot signal the process");
        }
        // What does not go by itself is cleared with all that it has left.
        let _ = tokio::time::timeout(grace, self.wait(container, process)).await;
    }

    async fn clear(&self, container: &str) {
        while let Err(error) = self.end(Some(container), Duration::ZERO).await {
            tracing::warn!(release = %self.id(), container, %error, "processes are left");
            tokio::time::sleep(self.machine.config.timing.backoff_most).await;
        }
    }

    async fn exec(&self, container: &str, handle: &str, command: &[String]) -> Result<(), String> {
        let [program, args @ ..] = command else {
            return Err("the probe has no command".into());
        };
        let beside = handle
            .parse()
            .map_err(|_| "the process is not known".to_owned())?;
        let mut orders = self
            .orders(container, Some(beside))
            .map_err(|error| error.message)?;
        program.clone_into(&mut orders.program);
        orders.args = args.to_vec();
        let quiet = [Stdio::null(), Stdio::null()];
        let mut child = self
            .shim(container, &orders, quiet)
            .map_err(|error| error.message)?;
        order(&mut child, &orders)
            .await
            .map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{program} ends with {status}"))
    }

    async fn address(&self, port: u16) -> Result<SocketAddr, String> {
        let declared = self.release.as_ref().and_then(|release| {
            (release.ports.iter())
                .find(|(_, declared)| declared.target == port || declared.port == port)
        });
        let mapped = declared.and_then(|(name, _)| self.record.endpoints.get(name));
        // A port that is not declared is one that the program has chosen itself.
        Ok(mapped
            .copied()
            .unwrap_or(SocketAddr::new(self.machine.config.host, port)))
    }

    async fn strangers(&self, answering: &[(String, SocketAddr)]) -> Vec<(String, SocketAddr)> {
        self.others_listen(answering).await
    }

    async fn advice(&self, missing: &[(String, SocketAddr)]) -> Advice {
        self.listens(missing).await
    }

    async fn completed(&self, container: &str) -> Result<(), EngineError> {
        let name = container.to_owned();
        let written = self.blocking(move |it| it.directory.completed(&name)).await;
        written.map_err(|error| {
            let what = format!("remember that {container} has completed");
            failed(what, &error)
        })
    }

    async fn has_completed(&self, container: &str) -> bool {
        self.directory.has_completed(container)
    }
}
