//! Servers that Towpath runs from binaries on this machine.
//!
//! A server outlives the platform: it has its own process group, logs to a file, and is adopted by
//! the next platform on the same data directory, which knows it by a login that works. A server
//! that dies is started again, with back-off.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, OpenOptions},
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use delivery::provisioner::ProvisionError;
use rustix::{
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::{
    io::unix::AsyncFd,
    process::{Child, Command},
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{account::Account, server_log};

/// How long a server may take from start to the first login. RabbitMQ on a busy machine needs
/// tens of seconds.
const START_LIMIT: Duration = Duration::from_secs(90);
/// How long a server may take to end its work before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// The pause before the first restart; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A server that lived this long has recovered: the pause begins anew.
const STEADY: Duration = Duration::from_mins(1);

/// Holds the process id of the server that was spawned last.
const SPAWNED: &str = "spawned.pid";

/// Answers whether the server lets us in.
pub(crate) type Probe =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync + 'static>;

/// How a server is started and ended.
#[derive(Clone)]
pub(crate) struct Launch {
    /// What people call it: `Postgres`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Vec<(String, OsString)>,
    pub(crate) account: Option<Account>,
    /// Where it runs, and where its log goes: `server.log`.
    pub(crate) directory: PathBuf,
    /// The file in which it writes its process id, first line.
    pub(crate) pid_file: PathBuf,
    /// What makes it end its work at once and in order.
    pub(crate) stop_signal: Signal,
    pub(crate) probe: Probe,
}

struct Running {
    launch: Launch,
    watch: JoinHandle<()>,
}

/// All servers that this process looks after.
#[derive(Default)]
pub(crate) struct Supervisor {
    /// One place for each directory, so that one server's slow start holds up no other.
    places: Mutex<HashMap<PathBuf, Place>>,
}

type Place = Arc<Mutex<Option<Running>>>;

impl Supervisor {
    /// Adopts the server where it runs, starts it where it does not, and looks after it from now on.
    pub(crate) async fn ensure(&self, launch: Launch) -> Result<(), ProvisionError> {
        let place = self.place(&launch.directory).await;
        let mut place = place.lock().await;
        let lets_in = (launch.probe)().await;
        if lets_in && place.is_some() {
            return Ok(());
        }
        *place = None;
        let server = if lets_in {
            tracing::info!(
                server = launch.name,
                directory = %launch.directory.display(),
                "adopted a server that runs"
            );
            Started {
                child: None,
                handle: handle(&launch.directory, &launch.pid_file),
            }
        } else {
            start(&launch).await?
        };
        let watch = tokio::spawn(watch(launch.clone(), server));
        *place = Some(Running { launch, watch });
        Ok(())
    }

    /// Ends the server that runs in `directory`, whichever platform started it.
    pub(crate) async fn stop(
        &self,
        directory: &Path,
        pid_file: &Path,
        signal: Signal,
    ) -> Result<(), ProvisionError> {
        let place = self.place(directory).await;
        *place.lock().await = None;
        end(directory, pid_file, signal).await
    }

    /// Looks after none of them any more. They run on.
    pub(crate) async fn release_all(&self) {
        self.places.lock().await.clear();
    }

    /// Ends all that this process looks after.
    pub(crate) async fn stop_all(&self) -> Result<(), ProvisionError> {
        let places: Vec<Place> = self.places.lock().await.drain().map(|(_, p)| p).collect();
        let ends = places.iter().map(|place| async {
            match place.lock().await.take() {
                Some(running) => {
                    running.watch.abort();
                    let launch = &running.launch;
                    end(&launch.directory, &launch.pid_file, launch.stop_signal).await
                }
                None => Ok(()),
            }
        });
        futures::future::join_all(ends).await.into_iter().collect()
    }

    async fn place(&self, directory: &Path) -> Place {
        let mut places = self.places.lock().await;
        places.entry(directory.to_owned()).or_default().clone()
    }
}

/// A server that is no longer looked after runs on: it is only not started again.
impl Drop for Running {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

struct Started {
    child: Option<Child>,
    handle: Option<AsyncFd<OwnedFd>>,
}

/// Spawns the server and waits for the first login.
async fn start(launch: &Launch) -> Result<Started, ProvisionError> {
    tracing::info!(server = launch.name, directory = %launch.directory.display(), "starting");
    let mut child = spawn(launch).map_err(|error| {
        ProvisionError::permanent(format!(
            "{} does not start: {}: {error}",
            launch.name,
            launch.program.display()
        ))
    })?;
    let deadline = Instant::now() + START_LIMIT;
    let mut exited = None;
    loop {
        if (launch.probe)().await {
            return Ok(Started {
                // One that ended, and yet there is a login: an earlier one was still starting.
                child: exited.is_none().then_some(child),
                handle: handle(&launch.directory, &launch.pid_file),
            });
        }
        if exited.is_none() {
            exited = child.try_wait().ok().flatten();
        }
        let gone = exited.is_some() && handle(&launch.directory, &launch.pid_file).is_none();
        if gone || Instant::now() > deadline {
            let why = match exited {
                Some(status) => format!("ended with {status}"),
                None => format!("lets nobody in after {} s", START_LIMIT.as_secs()),
            };
            let log = launch.directory.join(server_log::NAME);
            return Err(ProvisionError::transient(format!(
                "{} does not start: it {why}. Its last words: {}",
                launch.name,
                server_log::last_words(&log)
            ))
            .remedy(format!("see {}", log.display())));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn spawn(launch: &Launch) -> io::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(launch.directory.join(server_log::NAME))?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .envs(launch.env.iter().map(|(k, v)| (k, v)))
        .current_dir(&launch.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // The terminal's interrupt is for the platform: it decides what stops.
        .process_group(0);
    if let Some(account) = launch.account {
        command.uid(account.uid).gid(account.gid);
    }
    let child = command.spawn()?;
    // Servers write their own file late: until then this one tells whom to end.
    if let Some(pid) = child.id() {
        fs::write(launch.directory.join(SPAWNED), pid.to_string())?;
    }
    Ok(child)
}

/// Waits for the server's end and starts it again, for ever.
async fn watch(launch: Launch, mut server: Started) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        tokio::select! {
            () = ended(&mut server) => {}
            never = server_log::keep_short(launch.directory.join(server_log::NAME)) => match never {},
        }
        tracing::warn!(server = launch.name, "a server that Towpath runs has ended");
        if since.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match start(&launch).await {
                Ok(started) => {
                    server = started;
                    break;
                }
                Err(error) => tracing::error!(server = launch.name, %error, "no restart yet"),
            }
        }
    }
}

async fn ended(server: &mut Started) {
    if let Some(child) = &mut server.child {
        if let Err(error) = child.wait().await {
            tracing::warn!(%error, "cannot wait for a server's end");
        }
    } else if let Some(handle) = &server.handle {
        // A pidfd becomes readable when its process ends.
        if let Err(error) = handle.readable().await {
            tracing::warn!(%error, "cannot wait for a server's end");
        }
    } else {
        // Without a process id there is nothing to wait for: whoever needs the server asks anew.
        std::future::pending::<()>().await;
    }
}

/// Ends the server that runs in `directory`, if one does.
pub(super) async fn end(
    directory: &Path,
    pid_file: &Path,
    signal: Signal,
) -> Result<(), ProvisionError> {
    let Some(handle) = handle(directory, pid_file) else {
        return Ok(());
    };
    for signal in [signal, Signal::KILL] {
        match pidfd_send_signal(handle.get_ref(), signal) {
            Ok(()) => {}
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => {
                return Err(ProvisionError::permanent(format!(
                    "cannot stop the server in {}: {error}",
                    directory.display()
                )));
            }
        }
        if timeout(STOP_LIMIT, handle.readable()).await.is_ok() {
            return Ok(());
        }
    }
    Err(ProvisionError::transient(format!(
        "the server in {} does not end",
        directory.display()
    )))
}

/// Whether a server runs in `directory`: one that lets nobody in yet, or no more, too. It holds the port
/// that it was given.
pub(crate) fn runs(directory: &Path, pid_file: &Path) -> bool {
    handle(directory, pid_file).is_some()
}

/// A handle on the server that runs in `directory`; none where there is no such process.
fn handle(directory: &Path, pid_file: &Path) -> Option<AsyncFd<OwnedFd>> {
    let (_, handle) = process(directory, pid_file)?;
    registered(handle).ok()
}

/// The process of the server that runs in `directory`, with a descriptor of it.
pub(super) fn process(directory: &Path, pid_file: &Path) -> Option<(Pid, OwnedFd)> {
    let directory = directory.canonicalize().ok()?;
    [pid_file, &directory.join(SPAWNED)]
        .into_iter()
        .find_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
            let handle = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
            // The number may have passed to another process since it was written down. A server
            // works in its directory; nobody else does.
            let place = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            place.starts_with(&directory).then_some((pid, handle))
        })
}

#[expect(
    deprecated,
    reason = "`register` is unsafe because its type may hand out another descriptor; ours owns one"
)]
fn registered(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(handle)
}
