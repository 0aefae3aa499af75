//! What the engine keeps of a release on disk, so that a new start of the platform finds it again:
//! `<data>/run/<environment>/<workload>/<release>/`. No secrets, files for the programs apart.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use delivery::engine::ReleaseRef;
use serde::{Deserialize, Serialize};

use super::table;

/// What is remembered of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: ReleaseRef,
    pub(crate) digest: String,
    pub(crate) endpoints: BTreeMap<String, SocketAddr>,
    /// Those of the endpoints that are TCP.
    pub(crate) tcp: Vec<String>,
    pub(crate) containers: Vec<String>,
}

/// The main process of a container: what the shim writes before it becomes the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Main {
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
}

impl Main {
    /// Whether that very process lives.
    pub(crate) fn lives(&self) -> bool {
        table::start_time(self.pid) == Some(self.start_time)
            && table::boot_id().is_ok_and(|boot_id| boot_id == self.boot_id)
    }
}

/// The directory of a release.
#[derive(Debug, Clone)]
pub(crate) struct RunDir(PathBuf);

impl RunDir {
    pub(crate) fn new(data_dir: &Path, id: &ReleaseRef) -> Self {
        let mut path = data_dir.join("run");
        path.extend([&id.environment, &id.workload, &id.release.to_string()]);
        Self(path)
    }

    /// Every release that has a record below `data_dir`.
    pub(crate) fn all(data_dir: &Path) -> io::Result<Vec<(Self, Record)>> {
        let mut found = Vec::new();
        let mut level = vec![data_dir.join("run")];
        for _ in 0..3 {
            let mut next = Vec::new();
            for directory in level {
                match fs::read_dir(&directory) {
                    Ok(entries) => {
                        for entry in entries {
                            next.push(entry?.path());
                        }
                    }
                    // A stray file is no release, and must not keep the others from being found.
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                        ) => {}
                    Err(error) => return Err(named(&directory, &error)),
                }
            }
            level = next;
        }
        for path in level {
            let directory = Self(path);
            if let Some(record) = directory.record()? {
                found.push((directory, record));
            }
        }
        Ok(found)
    }

    /// The record; `None` where there is none, or where the platform was killed before it was whole
    /// (then nothing was started yet).
    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        read(&self.0.join("release.json"))
    }

    /// Makes the directory and keeps `record` in it.
    pub(crate) fn create(&self, record: &Record) -> io::Result<()> {
        make(&self.0)?;
        for container in &record.containers {
            make(&self.container(container).join("work"))?;
            make(&self.container(container).join("files"))?;
        }
        write(&self.0.join("release.json"), record)
    }

    pub(crate) fn container(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The main process of a container, if one was started and lives.
    pub(crate) fn main(&self, container: &str) -> io::Result<Option<Main>> {
        let main: Option<Main> = read(&self.container(container).join("main.json"))?;
        Ok(main.filter(Main::lives))
    }

    /// Forgets main process and error of the run before.
    pub(crate) fn begin(&self, container: &str) -> io::Result<()> {
        for file in ["main.json", "error"] {
            absent(fs::remove_file(self.container(container).join(file)))?;
        }
        Ok(())
    }

    /// Why the shim could not become the program.
    pub(crate) fn error(&self, container: &str) -> Option<String> {
        fs::read_to_string(self.container(container).join("error")).ok()
    }

    pub(crate) fn completed(&self, container: &str) -> io::Result<()> {
        write(&self.container(container).join("completed"), &true)
    }

    pub(crate) fn has_completed(&self, container: &str) -> bool {
        self.container(container).join("completed").exists()
    }

    /// Removes it, and the directories above that are empty then.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // Without its record it is no release any more, whenever the rest of the removal is cut short.
        absent(fs::remove_file(self.0.join("release.json")))?;
        absent(fs::remove_dir_all(&self.0))?;
        for parent in self.0.ancestors().skip(1).take(2) {
            // Not empty: others are in there.
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Makes a directory, and those above it, for this user only.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file such that it is there whole or not at all, whenever the machine stops.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("new");
    absent(fs::remove_file(&temporary))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                // Written whole or not at all by us: somebody else's hand. What it spoke of is found
                // by its mark.
                tracing::warn!(file = %path.display(), %error, "set aside as unreadable");
                absent(fs::rename(path, path.with_extension("bad")))?;
                Ok(None)
            }
        },
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(named(path, &error)),
    }
}

/// The same error, with the file that it is about.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What is not there need not be removed.
fn absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
