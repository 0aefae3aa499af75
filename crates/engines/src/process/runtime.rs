//! How the containers of one release are run as processes.

use std::{
    collections::{BTreeMap, BTreeSet},
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
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};
use uuid::Uuid;

use super::{
    Machine,
    cgroup::Quota,
    place,
    rundir::{Main, Record, RunDir},
    shim, table,
};
use crate::supervisor::{Advice, Exit, Runtime, Started, Tell};
use crate::{blocking::blocking, ports};

/// The containers of one release.
pub(super) struct Processes {
    pub(super) machine: Arc<Machine>,
    pub(super) directory: RunDir,
    pub(super) record: Record,
    /// What to start; `None` where it was adopted and nobody has said yet.
    pub(super) release: Option<Release>,
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
    fn id(&self) -> &ReleaseRef {
        &self.record.id
    }

    fn container(&self, name: &str) -> Result<&Container, EngineError> {
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
        for container in &self.record.containers {
            while let Err(error) = self.machine.limits.remove(self.id(), container) {
                if error.kind() != io::ErrorKind::ResourceBusy || begun.elapsed() > PATIENCE {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let directory = self.directory.clone();
        blocking(move || directory.remove()).await
    }

    fn orders(&self, name: &str, beside: Option<u32>) -> Result<shim::Orders, EngineError> {
        let container = self.container(name)?;
        let directory = self.directory.container(name);
        let work_dir = directory.join("work");
        let mut words = container.command.clone();
        if words.is_empty() {
            words.push(container.image.clone());
        }
        words.extend(container.args.iter().cloned());
        let program = words.remove(0);
        let mut mounts = Vec::new();
        if beside.is_none() {
            let places = self.machine.unshare.is_some();
            mounts = place::files(container, &directory, &work_dir)?;
            mounts.extend(place::volumes(container, &work_dir, places)?);
        }
        // Beside the main process it is in that one's mounts.
        let hides = beside.is_none() && self.machine.unshare.is_some();
        Ok(shim::Orders {
            hidden: if hides {
                self.machine.config.hidden()
            } else {
                vec![]
            },
            program,
            args: words,
            variables: self.variables(name, container),
            mounts,
            groups: self.machine.limits.groups(self.id(), name),
            address_space: container
                .memory_limit_bytes
                .filter(|_| self.machine.limits == super::cgroup::Limits::AddressSpace),
            beside,
            directory,
            work_dir,
        })
    }

    fn variables(&self, name: &str, container: &Container) -> BTreeMap<String, Vec<u8>> {
        /// What a program takes from the platform's environment: where things are, no more.
        const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];
        let mut variables: BTreeMap<String, Vec<u8>> = (INHERITED.iter())
            .filter_map(|name| Some(((*name).into(), std::env::var(name).ok()?.into_bytes())))
            .collect();
        // Where the gateway looks for it: a program that listens elsewhere too can be reached past it.
        let host = self.machine.config.host.to_string();
        variables.insert("HOST".into(), host.into_bytes());
        if !self
            .release
            .as_ref()
            .is_some_and(|release| release.fixed_ports)
        {
            for (name, value) in ports::variables(&self.record.endpoints) {
                variables.insert(name, value.into_bytes());
            }
        }
        for (name, value) in &container.variables {
            variables.insert(name.clone(), value.expose().to_vec());
        }
        let marker = self.machine.marker(self.id(), name);
        variables.insert(table::MARKER.into(), marker.to_string().into_bytes());
        variables
    }

    /// Spawns the shim with `orders`.
    fn shim(
        &self,
        name: &str,
        orders: &shim::Orders,
        out: [Stdio; 2],
    ) -> Result<Child, EngineError> {
        let mut words = Vec::new();
        if orders.needs_mounts() {
            words.extend(self.machine.unshare.iter().flatten().cloned());
        }
        words.extend(self.machine.config.shim.iter().cloned());
        let [stdout, stderr] = out;
        Command::new(&words[0])
            .args(&words[1..])
            .env(
                table::MARKER,
                self.machine.marker(self.id(), name).to_string(),
            )
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(orders.beside.is_some())
            .spawn()
            .map_err(|error| failed(format!("start {}", words[0].display()), &error))
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

    fn exit(&self, container: &str, process: &Process, status: ExitStatus) -> Exit {
        if status.code() == Some(shim::CANNOT_START)
            && let Some(why) = self.directory.error(container)
        {
            return Exit::CannotStart(why);
        }
        let deaths = self.machine.limits.out_of_memory(self.id(), container);
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(9)) if deaths > process.out_of_memory => Exit::OutOfMemory,
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        }
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

/// Hands the shim its orders.
async fn order(child: &mut Child, orders: &shim::Orders) -> io::Result<()> {
    let bytes = serde_json::to_vec(orders)?;
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("no standard input"))?;
    stdin.write_all(&bytes).await?;
    stdin.shutdown().await
}

#[async_trait]
impl Runtime for Processes {
    type Instance = Process;

    async fn find(&self, container: &str) -> Result<Option<Process>, EngineError> {
        let wrong = |error: &io::Error| failed(format!("look for {}", self.id()), error);
        // A shim that a platform before this one has started records itself within milliseconds.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
        loop {
            if let Some(main) = self
                .directory
                .main(container)
                .map_err(|error| wrong(&error))?
            {
                match self.adopt(container, main) {
                    Ok(process) => return Ok(Some(process)),
                    Err(error) => {
                        tracing::debug!(release = %self.id(), container, %error, "not adopted");
                    }
                }
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
        let wrong = |what: &str, error: &io::Error| {
            failed(format!("{what} of container {container}"), error)
        };
        let described = self.container(container)?;
        let quota = Quota {
            cpu_millis: described.cpu_limit_millis,
            memory_bytes: described.memory_limit_bytes,
            asked_cpu_millis: described.cpu_request_millis,
            asked_memory_bytes: described.memory_request_bytes,
        };
        (self.machine.limits.create(self.id(), container, quota))
            .map_err(|error| wrong("make the control groups", &error))?;
        (self.directory.begin(container)).map_err(|error| wrong("clear the last run", &error))?;
        let orders = self.orders(container, None)?;
        let log = |stream| {
            let file = self.machine.logs.open(self.id(), container, stream);
            file.map(Stdio::from)
                .map_err(|error| wrong("open the log", &error))
        };
        let out_of_memory = self.machine.limits.out_of_memory(self.id(), container);
        let mut child = self.shim(container, &orders, [log("out")?, log("err")?])?;
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
                Ok(status) => self.exit(container, process, status),
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
                let deaths = self.machine.limits.out_of_memory(self.id(), container);
                if deaths > process.out_of_memory {
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
        (self.directory.completed(container))
            .map_err(|error| failed(format!("remember that {container} has completed"), &error))
    }

    async fn has_completed(&self, container: &str) -> bool {
        self.directory.has_completed(container)
    }
}
