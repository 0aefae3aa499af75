//! The system's own list of processes, read from `/proc`.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use delivery::engine::ReleaseRef;
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

/// The environment variable that every process of a workload carries from its first moment on, and
/// that its children inherit: `<platform>/<environment>/<workload>@<release>/<container>`.
pub(crate) const MARKER: &str = "TOWPATH_INSTANCE";

/// Names a container of a release of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) platform: Uuid,
    pub(crate) release: ReleaseRef,
    pub(crate) container: String,
}

impl std::fmt::Display for Marker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.platform, self.release, self.container)
    }
}

impl Marker {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let (platform, environment, workload, container) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (workload, release) = workload.split_once('@')?;
        Some(Self {
            platform: platform.parse().ok()?,
            release: ReleaseRef {
                environment: environment.into(),
                workload: workload.into(),
                release: release.parse().ok()?,
            },
            container: container.into(),
        })
    }
}

/// Every living process that carries a marker of `platform`.
pub(crate) fn marked(platform: Uuid) -> io::Result<Vec<(u32, Marker)>> {
    let prefix = prefix(platform);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(marker) = marker(pid, &prefix).filter(|_| start_time(pid).is_some()) {
            found.push((pid, marker));
        }
    }
    Ok(found)
}

/// The marker of `platform` that a process carries.
pub(crate) fn marker_of(pid: u32, platform: Uuid) -> Option<Marker> {
    marker(pid, &prefix(platform))
}

fn prefix(platform: Uuid) -> String {
    format!("{MARKER}={platform}/")
}

fn marker(pid: u32, prefix: &str) -> Option<Marker> {
    // A process that has ended meanwhile, or that is somebody else's, is not one of ours.
    let environment = environment(pid).ok()?;
    (environment.split(|byte| *byte == 0))
        .filter(|variable| variable.starts_with(prefix.as_bytes()))
        .find_map(|variable| {
            Marker::parse(std::str::from_utf8(&variable[MARKER.len() + 1..]).ok()?)
        })
}

/// The environment with which a process was started.
fn environment(pid: u32) -> io::Result<Vec<u8>> {
    // In the midst of exec a process has none for a moment, and must not be missed. A program that
    // was started without any has none for ever.
    const PATIENCE: u32 = 5;
    let path = format!("/proc/{pid}/environ");
    for _ in 0..PATIENCE {
        let environment = fs::read(&path)?;
        if !environment.is_empty() || !executes(pid) {
            return Ok(environment);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(Vec::new())
}

/// Whether a process lives and runs a program: not so the kernel's own.
fn executes(pid: u32) -> bool {
    start_time(pid).is_some() && fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

/// When the process started, in clock ticks since boot: with the boot id it tells apart a process
/// from a later one of the same id. `None` where there is none, or where it has ended and waits to
/// be collected.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    field(pid, 18)?.parse().ok()
}

/// The process that has started a living one, or has inherited it.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    field(pid, 0)?.parse().ok()
}

/// The processor's time that a living process has taken, with that of the children whose end it has collected: what a
/// child has done stays done.
pub(crate) fn worked(pid: u32) -> Option<Duration> {
    // utime, stime, cutime, cstime (proc(5)): of one moment, so that no child is between them.
    let stat = stat(pid)?;
    let taken = stat.split_ascii_whitespace().skip(10).take(4);
    let ticks = taken.map(|field| field.parse::<u64>().ok());
    // In hundredths of a second, whatever the kernel's own clock is (USER_HZ, proc(5)).
    Some(Duration::from_millis(ticks.sum::<Option<u64>>()? * 10))
}

/// The field so many after the state of a living process.
fn field(pid: u32, after_state: usize) -> Option<String> {
    let stat = stat(pid)?;
    let found = stat.split_ascii_whitespace().nth(after_state);
    found.map(str::to_owned)
}

/// What the system tells of a living process after its state.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let (state, after) = stat[stat.rfind(')')? + 1..].trim_start().split_once(' ')?;
    (!matches!(state, "Z" | "X")).then(|| after.to_owned())
}

/// Tells this boot of the machine from others.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Those of `pids` and of the control groups in `groups` that live.
pub(crate) fn members(groups: &[impl AsRef<Path>]) -> BTreeSet<u32> {
    (groups.iter())
        // A group that is gone has no members.
        .filter_map(|group| fs::read_to_string(group.as_ref().join("cgroup.procs")).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<u32>>()
        })
        .filter(|pid| start_time(*pid).is_some())
        .collect()
}

/// Sends `signal`. A process that has ended meanwhile needs none.
pub(crate) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends all that `find` finds: SIGTERM, SIGKILL after `grace`. Returns once it finds nothing more;
/// an error names what is left.
pub(crate) async fn end<F>(grace: Duration, find: impl Fn() -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<BTreeSet<u32>>>,
{
    /// After SIGKILL a process goes as soon as the kernel lets it; one that hangs in the kernel
    /// does not, and waiting longer does not help.
    const KILL_PATIENCE: Duration = Duration::from_secs(10);
    let begun = tokio::time::Instant::now();
    let mut told = BTreeSet::new();
    let mut pause = Duration::from_millis(2);
    loop {
        let left = find().await?;
        if left.is_empty() {
            return Ok(());
        }
        let over = begun.elapsed() >= grace;
        if begun.elapsed() >= grace + KILL_PATIENCE {
            let message = format!("processes {left:?} do not end after SIGKILL");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        for pid in left {
            if over {
                signal(pid, Signal::KILL)?;
            } else if told.insert(pid) {
                signal(pid, Signal::TERM)?;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let marker = Marker {
            platform: Uuid::now_v7(),
            release: ReleaseRef {
                environment: "pr-42".into(),
                workload: "notes".into(),
                release: 7,
            },
            container: "web".into(),
        };
        assert_eq!(Marker::parse(&marker.to_string()), Some(marker));
        assert_eq!(Marker::parse("x/y"), None);
    }

    #[test]
    fn a_process_that_lives_has_a_start_time() {
        assert!(start_time(std::process::id()).is_some());
        assert_eq!(start_time(u32::MAX), None);
    }

    #[test]
    fn the_work_of_children_that_have_ended_is_not_forgotten() {
        let (own, enough) = (std::process::id(), Duration::from_millis(200));
        let before = worked(own).unwrap();
        let mut child = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        while worked(child.id()).is_some_and(|worked| worked < enough) {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let after = worked(own).unwrap();
        assert!(after >= before + enough, "{before:?}, then {after:?}");
    }
}
