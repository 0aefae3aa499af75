//! What a program on the platform's own machine, under the platform's own user, must not reach: the
//! platform's files, and the memory and environment of all that runs beside it.
//!
//! Its mounts hide the files. Landlock keeps it from going around them: a program in a domain may trace
//! and look into the processes of its domain alone (which is what `/proc/PID/root` and
//! `/proc/PID/environ` ask), signal no others, and mount and unmount nothing.
//! Of root's capabilities it has what a container of Docker's has, but for making devices: with the others
//! it could go around Landlock as well.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::DirBuilderExt as _,
    },
    path::{Path, PathBuf},
};

use landlock::{
    AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetError, Scope,
};
use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, mount, mount_bind_recursive},
    thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set},
};

/// Puts an empty directory over each of `hidden`, in this process's own mount namespace, but for
/// `work_dir`, which stays where it is.
pub(super) fn hide(hidden: &[PathBuf], work_dir: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own: OwnedFd = rustix::fs::open(work_dir, flags, Mode::empty())?;
    for directory in hidden.iter().filter(|directory| directory.is_dir()) {
        let empty = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("towpath", directory, "tmpfs", empty, None)?;
    }
    if hidden
        .iter()
        .any(|directory| work_dir.starts_with(directory))
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(work_dir)?;
        mount_bind_recursive(format!("/proc/self/fd/{}", own.as_raw_fd()), work_dir)?;
    }
    Ok(())
}

/// What root may do in a workload: <https://docs.docker.com/engine/security/#linux-kernel-capabilities>
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE);

/// Gives up, for the program that comes, all that root may do beyond [`CAPABILITIES`].
pub(super) fn drop_capabilities() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for capability in CapabilitySet::all().difference(CAPABILITIES).iter() {
        // One that the kernel does not know is nobody's.
        if capability_is_in_bounding_set(capability).unwrap_or(false) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

/// Enters a Landlock domain of this process's own, for good; all that it starts is in it, too. Where the
/// kernel knows less of Landlock than this wants, it does what it knows.
pub(super) fn confine() -> Result<(), RulesetError> {
    // A domain must refuse something: of files only that no program of a workload has business with.
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::MakeBlock)?
        .scope(Scope::Signal)?
        .create()?
        .restrict_self()
        .map(drop)
}

/// The command that gives a program mounts of its own, if this user may.
pub(super) async fn unshare() -> Option<Vec<OsString>> {
    let mut words = vec!["unshare", "--mount", "--propagation", "private"];
    if !rustix::process::geteuid().is_root() {
        words.extend(["--user", "--map-current-user", "--keep-caps"]);
    }
    words.push("--");
    let tried = tokio::process::Command::new(words[0])
        .args(&words[1..])
        .arg("true")
        .stdin(std::process::Stdio::null())
        .output()
        .await;
    let may = tried.is_ok_and(|output| output.status.success());
    may.then(|| words.into_iter().map(OsString::from).collect())
}
