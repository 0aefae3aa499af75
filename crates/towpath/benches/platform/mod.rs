//! A platform in a process of its own, from the binary that was built for benchmarks.

#![allow(dead_code, reason = "each benchmark uses its part")]

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use client::Client;
use kernel::Secret;
use testkit::{Port, free_port};

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Longer than any start takes that is worth timing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A platform that runs; stopped when dropped.
pub struct Platform {
    /// Where its API is.
    pub server: String,
    /// The local admin's token.
    pub token: String,
    /// With that token.
    pub client: Client,
    /// From the start of the process to the first answer that it is ready.
    pub took: Duration,
    child: Child,
    _ports: [Port; 2],
}

impl Platform {
    /// Starts it on `data`, with `postgres` for databases, and waits until it is ready.
    pub async fn start(data: &Path, postgres: Option<&str>) -> Result<Self, Failure> {
        let ports = [free_port(), free_port()];
        let [api, s3] = ports.each_ref().map(|port| format!("127.0.0.1:{port}"));
        let server = format!("http://{api}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command
            .args(["up", "--listen", &api])
            .args(["--gateway-listen", "127.0.0.1:0"])
            .args(["--s3-listen", &s3])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::null())
            .stderr(File::create(data.join("up.log"))?);
        if let Some(postgres) = postgres {
            command.env("TOWPATH_POSTGRES", postgres);
        }
        let asking = Client::new(&server, None)?;
        let begun = Instant::now();
        let mut child = command.spawn()?;
        while asking.ready().await.is_err() {
            let ended = child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let log = fs::read_to_string(data.join("up.log"))?;
                return Err(format!("the platform did not start:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let took = begun.elapsed();
        let token = fs::read_to_string(data.join("admin.token"))?;
        let token = token.trim().to_owned();
        Ok(Self {
            client: Client::new(&server, Some(Secret::from(token.as_str())))?,
            server,
            token,
            took,
            child,
            _ports: ports,
        })
    }

    /// Resident memory, in MiB.
    pub fn memory(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .ok_or("the system does not tell the memory of a process")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let half = times.len() / 2;
    if times.len() % 2 == 1 {
        times[half]
    } else {
        (times[half - 1] + times[half]) / 2
    }
}
