//! A real platform in a process of its own: started, killed and started again.

#![allow(dead_code, reason = "each test uses its part")]

pub mod docker;
pub mod listed;
pub mod search;
pub mod work;
pub mod world;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use client::Client;
use kernel::Secret;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Leftovers, Port, free_port};

/// Where a platform runs, and on which ports; they stay the same over restarts.
pub struct Site {
    pub data: PathBuf,
    pub api: u16,
    pub gateway: u16,
    pub s3: u16,
    pub store: Option<String>,
    /// Further options of `up`.
    pub options: Vec<String>,
    /// What it logs, as `RUST_LOG` says it.
    pub log_level: &'static str,
    /// What its platforms have started ends with the last of them and of the sites on the same data: until
    /// then the next platform adopts it.
    leftovers: Arc<Leftovers>,
    /// Nobody else's for as long.
    ports: Vec<Arc<Port>>,
}

impl Site {
    pub fn new(data: &Path) -> Self {
        let ports = [(); 3].map(|()| Arc::new(free_port()));
        let [api, gateway, s3] = ports.each_ref().map(|port| port.number());
        Self {
            data: data.to_owned(),
            api,
            gateway,
            s3,
            store: None,
            options: Vec::new(),
            log_level: "info",
            leftovers: Arc::new(Leftovers::of(data)),
            ports: ports.into(),
        }
    }

    /// Another replica on the same store and data. Who reconciles serves S3, at the one address.
    pub fn replica(&self) -> Self {
        let own = [(); 2].map(|()| Arc::new(free_port()));
        let [api, gateway] = own.each_ref().map(|port| port.number());
        Self {
            api,
            gateway,
            s3: self.s3,
            data: self.data.clone(),
            store: self.store.clone(),
            options: self.options.clone(),
            log_level: self.log_level,
            leftovers: self.leftovers.clone(),
            ports: own.into_iter().chain(self.ports.iter().cloned()).collect(),
        }
    }

    /// Starts it, and does not wait for it: [`Running::client`] is for what [`Self::start`] has started.
    pub fn begin(&self) -> Running {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.data.join("test.log"))
            .expect("the log can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .arg("up")
            .args(["--listen", &format!("127.0.0.1:{}", self.api)])
            .args(["--gateway-listen", &format!("127.0.0.1:{}", self.gateway)])
            .args(["--s3-listen", &format!("127.0.0.1:{}", self.s3)])
            .arg("--data")
            .arg(&self.data)
            .args(&self.options)
            .env("RUST_LOG", self.log_level)
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        Running {
            child: command.spawn().expect("the binary starts"),
            client: None,
            _leftovers: self.leftovers.clone(),
            _ports: self.ports.clone(),
        }
    }

    /// Starts it, and waits until it is ready.
    pub async fn start(&self) -> Running {
        let mut running = self.begin();
        let deadline = Instant::now() + testkit::PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "not ready in time:\n{}",
                self.log()
            );
            if let Some(status) = running.child.try_wait().expect("it is our child") {
                panic!("it ended with {status}:\n{}", self.log());
            }
            if let Some(client) = self.client()
                && client.ready().await.is_ok()
            {
                running.client = Some(client);
                return running;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn client(&self) -> Option<Client> {
        let token = std::fs::read_to_string(self.data.join("admin.token")).ok()?;
        let token = Secret::from(token.trim());
        Client::new(&format!("http://127.0.0.1:{}", self.api), Some(token)).ok()
    }

    /// Processes of workloads of an environment, by pid.
    pub fn processes(&self, environment: &str) -> Vec<u32> {
        let mark = format!("/{environment}/");
        let ours = |pid: &u32| {
            let directory = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            directory.starts_with(&self.data)
        };
        processes_marked(&mark).into_iter().filter(ours).collect()
    }

    /// The last of what it said.
    pub fn log(&self) -> String {
        let all = std::fs::read_to_string(self.data.join("test.log")).unwrap_or_default();
        let lines: Vec<_> = all.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// What a workload answers through the gateway.
    pub async fn get(&self, host: &str) -> Result<(u16, String), String> {
        let url = format!("http://127.0.0.1:{}/", self.gateway);
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|e| e.to_string())?;
        let answer = client
            .get(url)
            .header("host", host)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|e| e.to_string())?))
    }
}

/// A platform that runs; killed when dropped.
pub struct Running {
    child: Child,
    client: Option<Client>,
    /// Dropped after the process is dead, which would start anew what ends.
    _leftovers: Arc<Leftovers>,
    _ports: Vec<Arc<Port>>,
}

impl Running {
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("it is ready")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.kill_now();
    }

    /// `kill -9`, where it is started again in its place.
    pub fn stop(&mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        // Already dead is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// The test workload's program, built along with the tests.
pub fn hello() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_towpath"))
        .parent()
        .expect("it is in a directory");
    target.join("examples/hello")
}

/// Processes of this machine whose environment bears `mark`, by pid.
pub fn processes_marked(mark: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.windows(mark.len()).any(|part| part == mark.as_bytes()))
        })
        .collect();
    found.sort_unstable();
    found
}
