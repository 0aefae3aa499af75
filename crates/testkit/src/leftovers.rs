//! Programs that a platform under test has started, and that go on when it is killed, as they should.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// What of a process in `/proc` leads into the directory of whoever started it: it works there, or writes
/// its log there. A workload that hides the directory from itself still has its log open.
const LINKS: [&str; 4] = ["cwd", "fd/0", "fd/1", "fd/2"];

/// Longer than any process takes to end that is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends, when it is dropped, every program that works or writes below a directory: a test leaves none behind.
///
/// To be dropped after the platform itself is dead, which would start them again.
#[derive(Debug)]
pub struct Leftovers {
    directory: PathBuf,
}

impl Leftovers {
    /// Those of a platform whose data is in `directory`.
    pub fn of(directory: &Path) -> Self {
        Self {
            // As `/proc` says it; a directory that is not there yet is one of no process.
            directory: fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned()),
        }
    }
}

/// The process ids of all programs but this that work or write below `directory`.
pub fn programs_of(directory: &Path) -> Vec<u32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own && leads(*pid, directory))
        .collect()
}

/// One that has ended, and one of somebody else's, has no link that can be read.
fn leads(pid: u32, directory: &Path) -> bool {
    LINKS.iter().any(|link| {
        fs::read_link(format!("/proc/{pid}/{link}")).is_ok_and(|place| place.starts_with(directory))
    })
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        // Until there is none: one that was about to start another has done so meanwhile.
        loop {
            let pids = programs_of(&self.directory);
            if pids.is_empty() || Instant::now() > end {
                return;
            }
            let pids = pids.iter().filter_map(|pid| i32::try_from(*pid).ok());
            for pid in pids.filter_map(Pid::from_raw) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
