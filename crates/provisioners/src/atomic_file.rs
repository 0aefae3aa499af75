//! Files that are replaced as a whole: after a crash there is the old one or the new one.

use std::{
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// Writes `bytes` to `path` with `mode`, by a new file beside it that takes its name once it is on
/// the disk.
pub(crate) async fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (path, bytes) = (path.to_owned(), bytes.to_vec());
    blocking(move || write_now(&path, &bytes, mode)).await
}

/// Gives `from` the name `to`, and waits until the directory has it on the disk.
pub(crate) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || rename_now(&from, &to)).await
}

/// Waits until the names in the directory of `path` are on the disk.
pub(crate) async fn sync_parent(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    blocking(move || sync_parent_now(&path)).await
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn write_now(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path)?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| rename_now(&beside, path));
    if written.is_err() {
        // What was written is of no use; the first failure is the one to report.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn rename_now(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_parent_now(to)
}

fn sync_parent_now(path: &Path) -> io::Result<()> {
    std::fs::File::open(parent(path)?)?.sync_all()
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    Ok(parent(path)?.join(format!(".{}.tmp", Uuid::now_v7().simple())))
}

fn parent(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "has no directory",
        )),
    }
}
