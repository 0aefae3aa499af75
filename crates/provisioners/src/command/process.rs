//! One run of a program: within its time, within its size, and with all that it started.

use std::{fs, path::PathBuf, process::ExitStatus, process::Stdio, time::Duration};

use delivery::provisioner::ProvisionError;
use kernel::Secret;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};
use uuid::Uuid;

/// The most that a program may answer, in bytes.
const MOST: usize = 256 * 1024;
/// How much of the end of its stderr is kept, in bytes, and how many lines are shown.
const LAST_BYTES: usize = 8 * 1024;
const LAST_LINES: usize = 8;
/// `EX_CONFIG` of sysexits(3): trying again will not help.
const EXIT_PERMANENT: i32 = 78;
/// Where programs are looked for when the platform itself has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments and its time.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) time_limit: Duration,
}

/// The environment variable by which what a run has started is found, wherever it has gone.
const MARKER: &str = "TOWPATH_RUN";

/// How often what carries a run's mark is looked for, until nothing is found: what is found may have
/// started more since. Each look takes a few milliseconds.
const LOOKS: usize = 50;

/// A running program. Unless it has succeeded, all that it has started ends with it: its process group,
/// and what has left that and carries the run's mark.
struct Running {
    child: Child,
    /// `TOWPATH_RUN=...`, as it stands in the environment.
    mark: String,
    /// It has succeeded, or all that it has started has been ended.
    settled: bool,
}

impl Running {
    /// Ends what a failed run has started, and waits until it is gone.
    async fn end(&mut self) {
        self.end_group();
        let mark = self.mark.clone();
        // Looking through the processes takes its time, and others run on this thread.
        self.settled = tokio::task::spawn_blocking(move || end_marked(&mark))
            .await
            .is_ok();
    }

    fn end_group(&self) {
        // No id: it has been waited for, and its number may be another's.
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::warn!(pid = pid.as_raw_nonzero(), %error, "cannot end a program's process group");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever ran it has gone in the middle, with the platform perhaps: there is no other time.
        if !self.settled {
            self.end_group();
            end_marked(&self.mark);
        }
    }
}

/// Ends every process that carries `mark`.
fn end_marked(mark: &str) {
    for _ in 0..LOOKS {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        for pid in left {
            // One that has ended meanwhile needs no end.
            if let Err(error) = kill_process(pid, Signal::KILL)
                && error != rustix::io::Errno::SRCH
            {
                tracing::warn!(pid = pid.as_raw_nonzero(), %error, "cannot end what a program left");
            }
        }
        // For the kernel to take them away.
        std::thread::sleep(Duration::from_millis(1));
    }
    tracing::warn!(mark, "a program's processes do not end");
}

/// The processes of this machine whose environment has the variable `mark`.
fn marked(mark: &str) -> Vec<Pid> {
    // Where the system has no such list there is nothing to find.
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            // Of one that has ended, or is somebody else's, there is none to read.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            variables.any(|it| it == mark.as_bytes()).then_some(pid)
        })
        .collect()
}

impl Program {
    /// Runs it with `input` on stdin; gives what it wrote to stdout. `hidden` is replaced in what is
    /// shown of its stderr.
    pub(super) async fn run(
        &self,
        input: &[u8],
        hidden: &[(Secret, String)],
    ) -> Result<Vec<u8>, ProvisionError> {
        let mut running = self.start()?;
        let (stdin, stdout, stderr) = (
            running.child.stdin.take(),
            running.child.stdout.take(),
            running.child.stderr.take(),
        );
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(ProvisionError::transient("the program has no pipes"));
        };
        let mut said = Vec::new();
        let mut complaint = Vec::new();
        let whole = async {
            let write = async {
                // A program that does not read its input to the end is judged by its answer.
                let _ = stdin.write_all(input).await;
                drop(stdin);
            };
            // The pipes end before it is waited for: until then its process group is surely its own.
            let (answer, (), ()) = tokio::join!(
                read_bounded(stdout, &mut said),
                read_last(stderr, &mut complaint),
                write
            );
            answer.map_err(str::to_owned)?;
            running
                .child
                .wait()
                .await
                .map_err(|error| format!("could not be waited for: {error}"))
        };
        let ended = tokio::time::timeout(self.time_limit, whole).await;
        let complaint = show(&complaint, hidden);
        if matches!(&ended, Ok(Ok(status)) if status.success()) {
            running.settled = true;
        } else {
            running.end().await;
        }
        match ended {
            Ok(Ok(status)) if status.success() => Ok(said),
            Ok(Ok(status)) => Err(self.failed(status, &complaint)),
            Ok(Err(wrong)) => Err(self.fault(&wrong, &complaint)),
            Err(_) => {
                let wrong = format!(
                    "did not end within {} s; it and what it started were ended",
                    self.time_limit.as_secs()
                );
                let remedy = "see why it takes so long, or give it longer: the definition's parameter \
                              `timeout`, up to 3600 s; it is run again by itself";
                Err(self.fault(&wrong, &complaint).remedy(remedy))
            }
        }
    }

    fn start(&self) -> Result<Running, ProvisionError> {
        let run = Uuid::now_v7();
        let running = |child| Running {
            child,
            mark: format!("{MARKER}={run}"),
            settled: false,
        };
        Command::new(&self.path)
            .args(&self.arguments)
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| PATH.into()),
            )
            .env(MARKER, run.to_string())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(running)
            .map_err(|error| {
                ProvisionError::transient(format!(
                    "cannot start the program {}: {error}",
                    self.path.display()
                ))
                .remedy("see that it is executable and that its interpreter is installed")
            })
    }

    fn failed(&self, status: ExitStatus, complaint: &str) -> ProvisionError {
        let error = self.fault(&format!("failed ({status})"), complaint);
        if status.code() == Some(EXIT_PERMANENT) {
            return ProvisionError {
                retry: false,
                ..error.remedy(
                    "mend what it names, and deploy again: it says that to run it again is no use",
                )
            };
        }
        error
    }

    fn fault(&self, wrong: &str, complaint: &str) -> ProvisionError {
        let complaint = if complaint.is_empty() {
            String::new()
        } else {
            format!(":\n{complaint}")
        };
        ProvisionError::transient(format!(
            "the program {} {wrong}{complaint}",
            self.path.display()
        ))
        .remedy("mend the program, or what it needs, by what it says; it is run again by itself")
    }
}

async fn read_bounded(
    mut from: impl AsyncRead + Unpin,
    into: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut bounded = (&mut from).take(MOST as u64 + 1);
    bounded
        .read_to_end(into)
        .await
        .map_err(|_| "could not be read")?;
    if into.len() > MOST {
        return Err("answered more than 256 KiB");
    }
    Ok(())
}

async fn read_last(mut from: impl AsyncRead + Unpin, last: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        last.extend_from_slice(&piece[..read]);
        if last.len() > LAST_BYTES {
            last.drain(..last.len() - LAST_BYTES);
        }
    }
}

/// The last lines of `text`, with what is hidden replaced.
fn show(text: &[u8], hidden: &[(Secret, String)]) -> String {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for (secret, instead) in hidden {
        if let Some(secret) = secret.expose_str() {
            text = text.replace(secret, instead);
        }
    }
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
