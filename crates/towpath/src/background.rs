//! A platform that runs in the background on this machine: started by `demo`, stopped by `down`.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use client::Client;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{
    context::{Context, address_file},
    exit::Exit,
    failure::{Failure, Result},
};

/// How long a platform has to answer. The first start makes keys and the store.
const START: Duration = Duration::from_secs(30);

/// How long a platform has to stop: requests under way, and servers that it supervises.
const STOP: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// Who runs the platform of a data directory.
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// That of the platform in `data`.
    pub(crate) fn of(data: &Path) -> Self {
        Self(data.join("towpath.pid"))
    }

    /// Writes this process down: id, and when it started, so that a later process of the same id is
    /// not taken for it.
    pub(crate) fn write(&self) -> Result<()> {
        let own = std::process::id();
        let written = format!("{own} {}\n", started(own).unwrap_or_default());
        fs::write(&self.0, written)
            .map_err(|e| Failure::io(&format!("{} cannot be written", self.0.display()), &e))
    }

    /// The platform is no more.
    pub(crate) fn remove(&self) {
        // One that is left is seen to speak of a process that is gone.
        let _ = fs::remove_file(&self.0);
    }

    /// The process that runs, if any.
    pub(crate) fn running(&self) -> Option<Pid> {
        let text = fs::read_to_string(&self.0).ok()?;
        let (id, start) = text.trim().split_once(' ')?;
        let id: u32 = id.parse().ok()?;
        let pid = Pid::from_raw(i32::try_from(id).ok()?)?;
        (test_kill_process(pid).is_ok() && started(id).as_deref() == Some(start)).then_some(pid)
    }
}

/// When a process started, in the kernel's own count since boot (proc(5), field 22 of `stat`).
fn started(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before it is in brackets and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(Into::into)
}

/// Whether a platform answers; an answer that is not one is an error.
pub(crate) async fn answers(client: &Client) -> Result<bool> {
    match client.ready().await {
        Ok(()) => Ok(true),
        Err(client::Error::Unreachable { .. }) => Ok(false),
        // It is there, and still starting.
        Err(error) if error.is_transient() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Starts a platform that outlives this command, and waits until it answers.
pub(crate) async fn start(context: &Context, arguments: &[String]) -> Result<()> {
    let data = context.data()?;
    let log = data.join("towpath.log");
    let address = address_file(&data);
    // That of a platform before: the new one writes its own once it serves.
    match fs::remove_file(&address) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let doing = format!("{} cannot be removed", address.display());
            return Err(Failure::io(&doing, &error));
        }
        _ => {}
    }
    let mut child = spawn(&data, &log, arguments)?;
    let begun = Instant::now();
    while begun.elapsed() < START {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "the platform ended while it started ({status})\n\n{}",
                    last_lines(&log)
                ),
            )
            .remedy(format!("its log is {}", log.display())));
        }
        // The token is made by the platform: read anew at each look.
        if address.exists() && answers(&context.client()?).await? {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(
        Failure::new(Exit::Timeout, "the platform did not answer in time")
            .remedy(format!("its log is {}", log.display())),
    )
}

fn spawn(data: &Path, log: &Path, arguments: &[String]) -> Result<Child> {
    let io = |doing: &str| {
        let doing = doing.to_owned();
        move |error: std::io::Error| Failure::io(&doing, &error)
    };
    fs::create_dir_all(data).map_err(io("the data directory cannot be made"))?;
    let output: File = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .map_err(io("the platform's log cannot be written"))?;
    let errors = output
        .try_clone()
        .map_err(io("the platform's log cannot be written"))?;
    let program = std::env::current_exe().map_err(io("this program cannot be found"))?;
    Command::new(program)
        .arg("up")
        .arg("--data")
        .arg(data)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .current_dir("/")
        // A group of its own: Ctrl-C here does not stop it.
        .process_group(0)
        .spawn()
        .map_err(io("the platform cannot be started"))
}

fn last_lines(log: &Path) -> String {
    const LINES: usize = 10;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Stops the platform of `data`; says whether there was one.
pub(crate) async fn stop(data: &Path) -> Result<bool> {
    let file = PidFile::of(data);
    let Some(pid) = file.running() else {
        return Ok(false);
    };
    kill_process(pid, Signal::TERM)
        .map_err(|e| Failure::io("the platform cannot be stopped", &e.into()))?;
    let begun = Instant::now();
    while begun.elapsed() < STOP {
        if file.running().is_none() {
            file.remove();
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new(
        Exit::Timeout,
        format!(
            "the platform (process {}) did not stop in time",
            pid.as_raw_nonzero()
        ),
    )
    .remedy("it is safe to kill it: what it runs goes on, and is found again at the next start"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_id_and_its_start() {
        let directory = tempfile::tempdir().unwrap();
        let file = PidFile::of(directory.path());
        assert!(file.running().is_none());
        file.write().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(file.running().unwrap().as_raw_nonzero().get(), own);
        fs::write(directory.path().join("towpath.pid"), format!("{own} 1\n")).unwrap();
        assert!(file.running().is_none(), "another process of the same id");
        file.remove();
        assert!(file.running().is_none());
    }
}
