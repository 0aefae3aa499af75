//! Files and volumes at the paths that a workload wants, in a mount namespace of its own: nothing
//! of it is seen, or left, outside.

use std::{
    collections::BTreeMap,
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, StatVfsMountFlags},
    mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_move, mount_remount},
};
use serde::{Deserialize, Serialize};

use super::{shim::Orders, walls};
use crate::targets::KERNELS;

/// Something to be found at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    /// A file, or a directory, of this machine.
    pub(crate) source: PathBuf,
    /// Below `source`; empty: the whole. Made where it is not there.
    pub(crate) path: PathBuf,
    /// Where: absolute.
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
}

/// Makes all the mounts of `orders`, and hides what they hide. The process has a mount namespace of its
/// own, which nobody shares. The container's directory has room for mount points that are used on the
/// way; in the working directory missing ones are simply made. An error names the target: public text.
pub(super) fn mount_all(orders: &Orders) -> Result<(), String> {
    let Orders {
        directory,
        work_dir,
        hidden,
        ..
    } = orders;
    let mut mounts: Vec<&Mount> = orders.mounts.iter().collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    let said = |mount: &Mount, error: io::Error| {
        format!("cannot put {} in place: {error}", mount.target.display())
    };
    // All sources first: what is mounted may hide them.
    let mut sources = Vec::new();
    for mount in &mounts {
        sources.push(open_below(&mount.source, &mount.path).map_err(|error| said(mount, error))?);
    }
    walls::hide(hidden, work_dir)
        .map_err(|error| format!("cannot hide what is the platform's: {error}"))?;
    let mut room = Room {
        directory: directory.join("mounts"),
        grounds: BTreeMap::from([(work_dir.to_owned(), Ground::Own)]),
        made: 0,
    };
    for (mount, source) in mounts.iter().zip(&sources) {
        room.put(source, mount)
            .map_err(|error| said(mount, error))?;
    }
    Ok(())
}

/// Opens `path` below `directory`, following no symbolic link on the way: a volume's content cannot
/// lead out of it. Directories that are missing are made.
pub(crate) fn open_below(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let mut current = rustix::fs::open(directory, flags, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => {
                return Err(io::Error::other(format!(
                    "{} leads out of it",
                    path.display()
                )));
            }
        };
        match rustix::fs::mkdirat(&current, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::DIRECTORY;
        current = rustix::fs::openat(&current, name, flags, Mode::empty())?;
    }
    Ok(current)
}

/// Makes mount points without touching what others see.
struct Room {
    directory: PathBuf,
    /// Whose the directories are, each with all below it that is not another's.
    grounds: BTreeMap<PathBuf, Ground>,
    made: usize,
}

/// Whose a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ground {
    /// The workload's alone: mount points are simply made there.
    Own,
    /// It shows one of this machine, or may not be written: nothing may be made there.
    Machine,
}

impl Room {
    fn put(&mut self, source: &OwnedFd, mount: &Mount) -> io::Result<()> {
        let is_dir =
            rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(source)?.st_mode).is_dir();
        let target = self.point(&mount.target, is_dir)?;
        let source = format!("/proc/self/fd/{}", source.as_raw_fd());
        mount_bind_recursive(source, &target)?;
        if mount.read_only {
            // Flags that the file system was mounted with have to be said again: a user who is not
            // root may not lift them.
            let kept = rustix::fs::statvfs(&target)?.f_flag;
            let mut flags = MountFlags::BIND | MountFlags::RDONLY;
            for (kept_flag, flag) in [
                (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
                (StatVfsMountFlags::NODEV, MountFlags::NODEV),
                (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            ] {
                if kept.contains(kept_flag) {
                    flags |= flag;
                }
            }
            mount_remount(&target, flags, "")?;
        }
        if is_dir {
            let ground = if mount.read_only {
                Ground::Machine
            } else {
                Ground::Own
            };
            self.grounds.insert(target, ground);
        }
        Ok(())
    }

    /// The mount point `target`: made where it is not there.
    fn point(&mut self, target: &Path, is_dir: bool) -> io::Result<PathBuf> {
        let existing = target
            .ancestors()
            .find(|path| path.symlink_metadata().is_ok());
        let existing = existing.unwrap_or(Path::new("/"));
        let base = fs::canonicalize(existing)?;
        if let Some(kernels) = KERNELS.iter().find(|kernels| base.starts_with(kernels)) {
            return Err(io::Error::other(format!("it leads into {kernels}")));
        }
        let missing = target.strip_prefix(existing).map_err(io::Error::other)?;
        if missing.as_os_str().is_empty() {
            return match (base.is_dir(), is_dir) {
                (true, false) => Err(io::Error::other("a directory is there, not a file")),
                (false, true) => Err(io::Error::other("a file is there, not a directory")),
                _ => Ok(base),
            };
        }
        if self.ground(&base) == Ground::Machine {
            self.replace(&base)?;
        }
        let point = base.join(missing);
        let parent = if is_dir {
            Some(point.as_path())
        } else {
            point.parent()
        };
        if let Some(parent) = parent {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(parent)?;
        }
        if !is_dir {
            fs::File::create_new(&point)?;
        }
        Ok(point)
    }

    /// Whose `directory` is: as the nearest above it that is known.
    fn ground(&self, directory: &Path) -> Ground {
        let known = |above: &Path| self.grounds.get(above).copied();
        let mut nearest = directory.ancestors().filter_map(known);
        nearest.next().unwrap_or(Ground::Machine)
    }

    /// Puts a directory in the place of `base` that has the same in it, and in which more can be
    /// made. What it shows are the entries as they are now.
    fn replace(&mut self, base: &Path) -> io::Result<()> {
        let new = self.directory.join(self.made.to_string());
        self.made += 1;
        fs::create_dir_all(&new)?;
        mount(
            "towpath",
            &new,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            None,
        )?;
        fs::set_permissions(
            &new,
            fs::Permissions::from_mode(fs::metadata(base)?.permissions().mode()),
        )?;
        for entry in fs::read_dir(base)? {
            let entry = entry?;
            let (from, to) = (entry.path(), new.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            } else if kind.is_dir() {
                fs::create_dir(&to)?;
                mount_bind_recursive(&from, &to)?;
                // Unless it is the workload's own already: a volume stays one.
                self.grounds.entry(from).or_insert(Ground::Machine);
            } else {
                fs::File::create_new(&to)?;
                match mount_bind(&from, &to) {
                    Ok(()) => {}
                    // It was removed since the directory was read.
                    Err(rustix::io::Errno::NOENT) => fs::remove_file(&to)?,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if base == Path::new("/") {
            // Nothing can be mounted over the root that a process already has.
            std::os::unix::fs::chroot(&new)?;
            std::env::set_current_dir("/")?;
        } else {
            mount_move(&new, base)?;
        }
        self.grounds.insert(base.to_owned(), Ground::Own);
        Ok(())
    }
}
