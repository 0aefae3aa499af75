//! The shim: what starts between the platform and the program, in the process that the program
//! will be.
//!
//! It takes its orders from standard input, so that secrets touch neither disk nor command line;
//! where the platform dies before the orders are whole, it ends. It leaves the platform's session,
//! joins the control groups, *records itself durably*, mounts files and volumes, and becomes the
//! program. So a platform killed at any moment leaves either nothing or a process on record.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::MetadataExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, PidfdFlags, Resource, Rlimit},
    thread::ThreadNameSpaceType,
};
use serde::{Deserialize, Serialize};

use super::{mounts, rundir, table, walls};

/// The exit code of a shim that could not become the program. The reason is in its error file.
pub(crate) const CANNOT_START: i32 = 127;

/// The shim's orders. Holds secrets: no `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The container's directory below the run directory.
    pub(crate) directory: PathBuf,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) work_dir: PathBuf,
    /// The whole environment.
    pub(crate) variables: BTreeMap<String, Vec<u8>>,
    pub(crate) mounts: Vec<mounts::Mount>,
    /// Directories of the platform's that the program must not see. With these, or with mounts, this
    /// process has a mount namespace of its own.
    pub(crate) hidden: Vec<PathBuf>,
    /// Control groups to join.
    pub(crate) groups: Vec<PathBuf>,
    /// The most memory that the process may address, in bytes.
    pub(crate) address_space: Option<u64>,
    /// Run beside this process, in its mounts, instead of as the container's main process.
    pub(crate) beside: Option<u32>,
}

impl Orders {
    /// Whether the process needs a mount namespace of its own.
    pub(crate) fn needs_mounts(&self) -> bool {
        !self.mounts.is_empty() || !self.hidden.is_empty()
    }
}

/// Runs the shim: reads its orders from standard input and becomes the program that they name. To
/// be called before anything else of the process runs; it must have one thread.
pub fn main() -> ExitCode {
    let code = ExitCode::from(CANNOT_START as u8);
    let Ok(orders) = read() else {
        // The platform is gone: nobody is there to be told.
        return code;
    };
    // Opened first: what is mounted later may hide it.
    let directory = rustix::fs::open(
        &orders.directory,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let Ok(directory) = directory else {
        // The release was removed meanwhile.
        return code;
    };
    let why = match prepare(&orders) {
        Ok(()) => {
            let error = command(&orders).exec();
            format!("cannot run {}: {error}", orders.program)
        }
        Err(why) => why,
    };
    // Without the reason the exit code still says that it did not start.
    let _ = tell(&directory, &why);
    code
}

fn read() -> io::Result<Orders> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?.as_fd())?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// All that comes before the program.
fn prepare(orders: &Orders) -> Result<(), String> {
    let said = |what: &'static str| move |error: io::Error| format!("cannot {what}: {error}");
    if let Some(pid) = orders.beside {
        enter(pid).map_err(said("enter the container's mounts"))?;
    } else {
        // An error says that this process leads a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }
    for group in &orders.groups {
        let file = group.join("cgroup.procs");
        fs::write(&file, "0").map_err(said("join the control group"))?;
    }
    if orders.beside.is_none() {
        record(&orders.directory).map_err(said("record the process"))?;
    }
    if let Some(bytes) = orders.address_space {
        let limit = Rlimit {
            current: Some(bytes),
            maximum: Some(bytes),
        };
        rustix::process::setrlimit(Resource::As, limit)
            .map_err(|error| said("limit memory")(error.into()))?;
    }
    if orders.needs_mounts() {
        mounts::mount_all(orders)?;
        if !rustix::process::geteuid().is_root() {
            // What mounting took within the user namespace is not the program's to have.
            rustix::thread::clear_ambient_capability_set()
                .map_err(|error| said("drop capabilities")(error.into()))?;
        }
    }
    std::env::set_current_dir(&orders.work_dir).map_err(said("enter the working directory"))?;
    walls::drop_capabilities().map_err(said("drop capabilities"))?;
    walls::confine().map_err(|error| format!("cannot be confined: {error}"))
}

/// Writes down which process this is: exec changes neither its id nor its start time.
fn record(directory: &Path) -> io::Result<()> {
    let pid = std::process::id();
    let start_time = table::start_time(pid)
        .ok_or_else(|| io::Error::other("/proc does not tell this process's start time"))?;
    let main = rundir::Main {
        pid,
        start_time,
        boot_id: table::boot_id()?,
    };
    rundir::write(&directory.join("main.json"), &main)
}

/// Joins the mounts and the root directory of another process.
fn enter(pid: u32) -> io::Result<()> {
    let space = |pid: &str, name: &str| fs::metadata(format!("/proc/{pid}/ns/{name}"));
    let other = pid.to_string();
    let mut join = ThreadNameSpaceType::empty();
    for (name, flag) in [
        ("user", ThreadNameSpaceType::USER),
        ("mnt", ThreadNameSpaceType::MOUNT),
    ] {
        if space("self", name)?.ino() != space(&other, name)?.ino() {
            join |= flag;
        }
    }
    if join.is_empty() {
        return Ok(());
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    rustix::thread::move_into_thread_name_spaces(process.as_fd(), join)?;
    std::os::unix::fs::chroot(format!("/proc/{other}/root"))
}

fn command(orders: &Orders) -> Command {
    let mut command = Command::new(&orders.program);
    command.args(&orders.args).env_clear().envs(
        orders
            .variables
            .iter()
            .map(|(name, value)| (name, OsStr::from_bytes(value))),
    );
    command
}

fn tell(directory: &OwnedFd, why: &str) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, "error", flags, Mode::RUSR | Mode::WUSR)?;
    fs::File::from(file).write_all(why.as_bytes())
}
