//! Puts files and volumes where a container wants them, as far as that is done before it starts; the
//! rest is left to be mounted.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use delivery::engine::{Container, EngineError, File};

use super::{
    mounts::{Mount, open_below},
    runtime::failed,
};

/// Writes the container's files: those that belong below the working directory there, the others below
/// `directory`, with the mounts that they need. So are those in a volume, which covers what is written where it is
/// mounted. (Where nothing can be mounted, `check` has refused them.)
pub(super) fn files(
    container: &Container,
    directory: &Path,
    work_dir: &Path,
) -> Result<Vec<Mount>, EngineError> {
    let mut mounts = Vec::new();
    let volumes = container.volumes.iter();
    let volumes: Vec<PathBuf> = volumes.map(|it| work_dir.join(&it.target)).collect();
    for (number, file) in container.files.iter().enumerate() {
        let target = work_dir.join(&file.target);
        let mut path = target.clone();
        if file.target.is_absolute() || volumes.iter().any(|volume| target.starts_with(volume)) {
            path = directory.join("files").join(number.to_string());
            mounts.push(Mount {
                source: path.clone(),
                path: PathBuf::new(),
                target,
                read_only: false,
            });
        }
        write(&path, file)
            .map_err(|error| failed(format!("write file {}", file.target.display()), &error))?;
    }
    Ok(mounts)
}

fn write(path: &Path, file: &File) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // Removed first: it may be without the right to write, or a link.
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    let mut opened = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    opened.write_all(file.content.expose())?;
    opened.set_permissions(fs::Permissions::from_mode(file.mode))
}

/// The mounts of the container's volumes; where it cannot `mount`, makes links and gives none.
pub(super) fn volumes(
    container: &Container,
    work_dir: &Path,
    mount: bool,
) -> Result<Vec<Mount>, EngineError> {
    let mut mounts = Vec::new();
    for volume in &container.volumes {
        let target = work_dir.join(&volume.target);
        if mount {
            mounts.push(Mount {
                source: volume.source.clone(),
                path: volume.path.clone(),
                target,
                read_only: volume.read_only,
            });
            continue;
        }
        // `check` has refused what a link cannot do: absolute targets, and refusing to write.
        let link = || -> io::Result<()> {
            open_below(&volume.source, &volume.path)?;
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            if target.is_symlink() {
                fs::remove_file(&target)?;
            }
            std::os::unix::fs::symlink(volume.source.join(&volume.path), &target)
        };
        link().map_err(|error| failed(format!("place volume {}", target.display()), &error))?;
    }
    Ok(mounts)
}
