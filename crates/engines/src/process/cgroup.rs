//! CPU and memory, limits and requests, by the kernel's control groups, version 2 or 1, where this user may make
//! them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use delivery::engine::ReleaseRef;
use rustix::{fs::Access, process::geteuid};
use uuid::Uuid;

use super::rundir::Record;

/// The period over which CPU time is counted, in microseconds: the kernel's default.
const CPU_PERIOD: u64 = 100_000;

/// How limits are kept on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Limits {
    /// One hierarchy; groups are made below this directory.
    V2(PathBuf),
    /// A hierarchy for each; groups are made below these directories.
    V1 { cpu: PathBuf, memory: PathBuf },
    /// No control groups: memory is limited by address space, CPU is not limited.
    AddressSpace,
}

/// What one container may have at the most, and what it asks for where others want it too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quota {
    pub(crate) cpu_millis: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) asked_cpu_millis: Option<u64>,
    pub(crate) asked_memory_bytes: Option<u64>,
}

impl Quota {
    /// Its part of the CPU where it is short, as Kubernetes and Docker count it: 1024 for one CPU.
    fn shares(&self) -> Option<u64> {
        let least_and_most = 2..=262_144;
        let shares = self.asked_cpu_millis? * 1024 / 1000;
        Some(shares.clamp(*least_and_most.start(), *least_and_most.end()))
    }

    /// The same in the words of version 2, from 1 to 10000, as Kubernetes converts it.
    fn weight(&self) -> Option<u64> {
        Some(1 + (self.shares()? - 2) * 9999 / 262_142)
    }

    /// What the kernel leaves it where memory is short: no more than it may have.
    fn kept_memory(&self) -> Option<u64> {
        let asked = self.asked_memory_bytes?;
        Some(self.memory_bytes.map_or(asked, |limit| asked.min(limit)))
    }
}

impl Limits {
    /// Finds out what this machine and user have.
    pub(crate) fn detect(platform: Uuid) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let name = base(platform);
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = (own.lines()).find_map(|line| line.strip_prefix("0::/"));
        if root.join("cgroup.controllers").exists() {
            // A user may make groups beside their own where a systemd of theirs was given the right
            // to: the kernel wants the right to write the common ancestor's members too.
            let beside = own.and_then(|own| root.join(own).parent().map(Path::to_owned));
            let parent = if geteuid().is_root() {
                Some(root.to_owned())
            } else {
                beside
            };
            let parent = parent.filter(|parent| {
                rustix::fs::access(parent.join("cgroup.procs"), Access::WRITE_OK).is_ok()
            });
            let base = parent.map(|parent| parent.join(&name));
            if let Some(limits) = base.map(Self::V2).filter(Self::usable) {
                return limits;
            }
        }
        let mounted = |controller: &str| root.join(controller).join("cgroup.procs").exists();
        let v1 = Self::V1 {
            cpu: root.join("cpu").join(&name),
            memory: root.join("memory").join(&name),
        };
        if mounted("cpu") && mounted("memory") && v1.usable() {
            return v1;
        }
        Self::AddressSpace
    }

    /// Whether groups can be made.
    fn usable(&self) -> bool {
        let usable = self.create_base().is_ok();
        self.remove_base();
        usable
    }

    /// Makes the platform's own groups, in which those of the containers are made.
    fn create_base(&self) -> io::Result<()> {
        match self {
            Self::V2(base) => {
                if let Some(parent) = base.parent() {
                    delegate(parent)?;
                }
                fs::create_dir_all(base)?;
                delegate(base)
            }
            Self::V1 { cpu, memory } => {
                fs::create_dir_all(cpu)?;
                fs::create_dir_all(memory)
            }
            Self::AddressSpace => Ok(()),
        }
    }

    /// The groups of a container, whether they exist or not.
    pub(crate) fn groups(&self, id: &ReleaseRef, container: &str) -> Vec<PathBuf> {
        let name = format!(
            "{}.{}.{}.{container}",
            id.environment, id.workload, id.release
        );
        match self {
            Self::V2(base) => vec![base.join(name)],
            Self::V1 { cpu, memory } => vec![cpu.join(&name), memory.join(&name)],
            Self::AddressSpace => Vec::new(),
        }
    }

    /// Makes the groups of a container and limits them.
    pub(crate) fn create(&self, id: &ReleaseRef, container: &str, quota: Quota) -> io::Result<()> {
        let groups = self.groups(id, container);
        self.create_base()?;
        for group in &groups {
            fs::create_dir_all(group)?;
        }
        let cpu = quota.cpu_millis.map(|millis| millis * CPU_PERIOD / 1000);
        match (self, groups.as_slice()) {
            (Self::V2(_), [group]) => {
                if let Some(cpu) = cpu {
                    set(&group.join("cpu.max"), &format!("{cpu} {CPU_PERIOD}"))?;
                }
                if let Some(weight) = quota.weight() {
                    set(&group.join("cpu.weight"), &weight.to_string())?;
                }
                if let Some(memory) = quota.kept_memory() {
                    set(&group.join("memory.low"), &memory.to_string())?;
                }
                if let Some(memory) = quota.memory_bytes {
                    set(&group.join("memory.max"), &memory.to_string())?;
                    // Where there is no swap accounting there is no swap to limit.
                    let _ = set(&group.join("memory.swap.max"), "0");
                }
            }
            (Self::V1 { .. }, [cpu_group, memory_group]) => {
                if let Some(cpu) = cpu {
                    set(
                        &cpu_group.join("cpu.cfs_period_us"),
                        &CPU_PERIOD.to_string(),
                    )?;
                    set(&cpu_group.join("cpu.cfs_quota_us"), &cpu.to_string())?;
                }
                if let Some(shares) = quota.shares() {
                    set(&cpu_group.join("cpu.shares"), &shares.to_string())?;
                }
                if let Some(memory) = quota.kept_memory() {
                    set(
                        &memory_group.join("memory.soft_limit_in_bytes"),
                        &memory.to_string(),
                    )?;
                }
                if let Some(memory) = quota.memory_bytes {
                    set(
                        &memory_group.join("memory.limit_in_bytes"),
                        &memory.to_string(),
                    )?;
                    // Where there is no swap accounting there is no swap to limit.
                    let _ = set(
                        &memory_group.join("memory.memsw.limit_in_bytes"),
                        &memory.to_string(),
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// How often the kernel has ended something in the container for want of memory.
    pub(crate) fn out_of_memory(&self, id: &ReleaseRef, container: &str) -> u64 {
        let groups = self.groups(id, container);
        let file = match (self, groups.as_slice()) {
            (Self::V2(_), [group]) => group.join("memory.events"),
            (Self::V1 { .. }, [_, memory]) => memory.join("memory.oom_control"),
            _ => return 0,
        };
        // A group that is gone has counted nothing.
        let text = fs::read_to_string(file).unwrap_or_default();
        (text.lines())
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Removes the groups of a container, and the platform's own with the last; nothing runs in them
    /// any more.
    pub(crate) fn remove(&self, id: &ReleaseRef, container: &str) -> io::Result<()> {
        for group in self.groups(id, container) {
            match fs::remove_dir(&group) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.remove_base();
        Ok(())
    }

    /// The groups of all the platform's containers that there are.
    pub(crate) fn made(&self) -> Vec<PathBuf> {
        let entries = (self.bases().into_iter()).filter_map(|base| fs::read_dir(base).ok());
        let paths = entries.flatten().flatten().map(|entry| entry.path());
        paths.filter(|path| path.is_dir()).collect()
    }

    /// Removes those of `made` that are no container's of `records`, unless something runs in them.
    pub(crate) fn sweep<'r>(
        &self,
        made: Vec<PathBuf>,
        records: impl IntoIterator<Item = &'r Record>,
    ) {
        let kept: BTreeSet<PathBuf> = (records.into_iter())
            .flat_map(|record| record.containers.iter().map(move |name| (&record.id, name)))
            .flat_map(|(id, container)| self.groups(id, container))
            .collect();
        for group in made.iter().filter(|group| !kept.contains(*group)) {
            // In use: then it is found by what runs in it.
            let _ = fs::remove_dir(group);
        }
        self.remove_base();
    }

    /// The platform's own groups.
    fn bases(&self) -> Vec<&PathBuf> {
        match self {
            Self::V2(base) => vec![base],
            Self::V1 { cpu, memory } => vec![cpu, memory],
            Self::AddressSpace => Vec::new(),
        }
    }

    fn remove_base(&self) {
        for base in self.bases() {
            // In use: then it stays.
            let _ = fs::remove_dir(base);
        }
    }
}

/// The name of the group in which those of a platform's containers are made.
fn base(platform: Uuid) -> String {
    format!("towpath-{platform}")
}

/// The release in whose group of `platform` a process is.
pub(crate) fn release_of(pid: u32, platform: Uuid) -> Option<ReleaseRef> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let base = base(platform);
    groups.lines().find_map(|line| {
        let mut parts = line.rsplit(':').next()?.split('/');
        parts.find(|part| *part == base)?;
        // Names have no dots.
        let mut name = parts.next()?.splitn(4, '.');
        Some(ReleaseRef {
            environment: name.next()?.to_owned(),
            workload: name.next()?.to_owned(),
            release: name.next()?.parse().ok()?,
        })
    })
}

/// Lets the groups below `group` limit CPU and memory.
fn delegate(group: &Path) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control)?;
    if ["cpu", "memory"]
        .iter()
        .all(|it| enabled.split_whitespace().any(|on| on == *it))
    {
        return Ok(());
    }
    set(&control, "+cpu +memory")
}

fn set(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot write {value} to {}: {error}", file.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_told_in_each_versions_words() {
        let quota = |millis| Quota {
            asked_cpu_millis: Some(millis),
            ..Quota::default()
        };
        let told = [0, 100, 1000, 64_000, 1_000_000].map(|millis| {
            let quota = quota(millis);
            (quota.shares().unwrap(), quota.weight().unwrap())
        });
        let expected = [
            (2, 1),
            (102, 4),
            (1024, 39),
            (65_536, 2500),
            (262_144, 10_000),
        ];
        assert_eq!(told, expected);
        let beyond = Quota {
            memory_bytes: Some(32),
            asked_memory_bytes: Some(64),
            ..Quota::default()
        };
        assert_eq!(beyond.kept_memory(), Some(32));
        assert_eq!(Quota::default().weight(), None);
    }
}
