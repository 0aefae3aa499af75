//! Programs that a platform under test has started, and that go on when it is killed, as they should; and the
//! control groups that they are in.

use std::{
    collections::BTreeSet,
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

/// Longer than the kernel takes to let go of a control group whose last process has ended.
const LETS_GO: Duration = Duration::from_millis(500);

/// Ends, when it is dropped, every program that works or writes below a directory, and removes the control groups of
/// its platform: a test leaves none behind.
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

/// Where control groups are found.
const GROUPS: &str = "/sys/fs/cgroup";

/// The control groups of the platforms whose a process is: those in which they make one for each container.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let said = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in said.lines() {
        // The number of a hierarchy, its controllers (none, where there is but one hierarchy), the group.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let group = Path::new(group.trim_start_matches('/'));
        let is_platforms = |group: &&Path| {
            let name = group.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("towpath-"))
        };
        if let Some(group) = group.ancestors().find(is_platforms) {
            let directory = |controller: &str| Path::new(GROUPS).join(controller).join(group);
            found.extend(controllers.split(',').map(directory));
        }
    }
    found
}

/// Removes a platform's control groups, but for those in which something runs: then they are not gone.
fn are_gone(groups: &Path) -> bool {
    let Ok(entries) = fs::read_dir(groups) else {
        return true;
    };
    let containers = entries.flatten().map(|entry| entry.path());
    for container in containers.filter(|path| path.is_dir()) {
        // In use: then the whole is not removed either.
        let _ = fs::remove_dir(container);
    }
    fs::remove_dir(groups).is_ok()
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let mut end = Instant::now() + PATIENCE;
        let mut groups = BTreeSet::new();
        // Until there is none: one that was about to start another has done so meanwhile.
        loop {
            let pids = programs_of(&self.directory);
            groups.extend(pids.iter().flat_map(|pid| groups_of(*pid)));
            if pids.is_empty() {
                // Those of the same platform elsewhere, who share its groups, are waited for no longer.
                end = end.min(Instant::now() + LETS_GO);
                groups.retain(|groups: &PathBuf| !are_gone(groups));
            }
            if (pids.is_empty() && groups.is_empty()) || Instant::now() > end {
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
