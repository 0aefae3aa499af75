//! What a process of a container starts with: its orders, and what it finds in place.

use std::{collections::BTreeMap, io, process::Stdio};

use delivery::engine::{Container, EngineError};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{
    cgroup::{Limits, Quota},
    place,
    runtime::{Processes, failed},
    shim, table,
};

/// What a start finds in place.
pub(super) struct Prepared {
    pub(super) orders: shim::Orders,
    /// Where standard output and standard error go.
    pub(super) out: [Stdio; 2],
    /// Deaths in its control group for want of memory, so far.
    pub(super) out_of_memory: u64,
}

impl Processes {
    /// Makes what a start of the container wants to find: its control groups, files and logs.
    pub(super) fn prepare(&self, container: &str) -> Result<Prepared, EngineError> {
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
        Ok(Prepared {
            orders,
            out: [log("out")?, log("err")?],
            out_of_memory: self.machine.limits.out_of_memory(self.id(), container),
        })
    }

    pub(super) fn orders(
        &self,
        name: &str,
        beside: Option<u32>,
    ) -> Result<shim::Orders, EngineError> {
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
                .filter(|_| self.machine.limits == Limits::AddressSpace),
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
        if !self.fixed_ports() {
            for (name, value) in self.told().variables() {
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

    /// Whether its programs listen on their declared ports, and are told none.
    pub(super) fn fixed_ports(&self) -> bool {
        let release = self.release.as_ref();
        release.is_some_and(|release| release.fixed_ports)
    }

    /// Spawns the shim with `orders`.
    pub(super) fn shim(
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
}

/// Hands the shim its orders.
pub(super) async fn order(child: &mut Child, orders: &shim::Orders) -> io::Result<()> {
    let bytes = serde_json::to_vec(orders)?;
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("no standard input"))?;
    stdin.write_all(&bytes).await?;
    stdin.shutdown().await
}
