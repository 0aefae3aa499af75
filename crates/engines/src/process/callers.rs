//! Whose workload a process of this machine is.
//!
//! By what a program cannot change without the platform's rights first: whose child it is, which mounts it
//! sees, in which control groups it is; and last by the mark that it carries, which is its own to change.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use delivery::engine::ReleaseRef;
use uuid::Uuid;

use super::{
    cgroup, rundir,
    rundir::RunDir,
    table::{self, marker_of},
};
use crate::connection;

/// More generations than any process has.
const GENERATIONS: usize = 4096;

/// The environment whose workload has the end `peer` of a connection that was accepted at `here`.
pub(super) fn environment_of(
    data_dir: &Path,
    platform: Uuid,
    peer: SocketAddr,
    here: SocketAddr,
) -> io::Result<Option<String>> {
    let holders = connection::holders(peer, here)?;
    if holders.is_empty() {
        return Ok(None);
    }
    let mut mains = Vec::new();
    for (directory, record) in RunDir::all(data_dir)? {
        for container in &record.containers {
            if let Some(main) = directory.main(container)? {
                mains.push((main, record.id.clone()));
            }
        }
    }
    let own = std::process::id();
    for pid in holders {
        if let Some(release) = release_of(pid, platform, &mains) {
            return Ok(Some(release.environment));
        }
        if pid == own || (program(pid).is_some() && program(pid) == program(own)) {
            let passed_on = "the platform itself has passed it on, for whom it does not know";
            return Err(io::Error::other(passed_on));
        }
    }
    Ok(None)
}

fn release_of(
    pid: u32,
    platform: Uuid,
    mains: &[(rundir::Main, ReleaseRef)],
) -> Option<ReleaseRef> {
    let is_main = |pid: u32| {
        let mut mains = mains.iter();
        mains.find(|(main, _)| main.pid == pid)
    };
    let line = std::iter::successors(Some(pid), |pid| table::parent(*pid).filter(|it| *it > 1));
    let by_descent = line.take(GENERATIONS).find_map(is_main);
    let by_mounts = || {
        let own = mounts(std::process::id());
        let mounts_of = mounts(pid).filter(|it| Some(it) != own.as_ref())?;
        let mut mains = mains.iter();
        mains.find(|(main, _)| mounts(main.pid).as_ref() == Some(&mounts_of))
    };
    let known = by_descent.or_else(by_mounts);
    known
        .map(|(_, release)| release.clone())
        .or_else(|| cgroup::release_of(pid, platform))
        .or_else(|| marker_of(pid, platform).map(|marker| marker.release))
}

/// Names the mount namespace of a process.
fn mounts(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// The program that a process runs.
fn program(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
