//! `volume`: a directory of its own on this machine, for files that outlive a release.

use std::{
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::Problem;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::params::{self, Param};

/// Makes directories below one directory of the platform's data directory, one for each instance.
///
/// The directory is the running user's alone (0700). A size cannot be held to on a plain file
/// system, so that the parameter is refused rather than ignored.
#[derive(Debug, Clone)]
pub struct Volume {
    directory: PathBuf,
}

impl Volume {
    /// Volumes below `directory`, which is made when the first volume is.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Below the platform's own directory, so that two platforms on one machine keep apart.
    fn platform(&self, platform: Uuid) -> PathBuf {
        self.directory.join(platform.to_string())
    }

    fn path(&self, request: &Request) -> PathBuf {
        self.platform(request.platform).join(name(request))
    }
}

const NO_SIZE: &str =
    "a volume on this machine cannot be held to a size: it shares the file system";
const LEAVE_OUT: &str =
    "leave `size` out, or put the platform's data directory on a file system of that size";

#[async_trait]
impl Provisioner for Volume {
    fn name(&self) -> &'static str {
        "volume"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A directory on this machine that outlives releases.",
            outputs: &[("source", false)],
            holds_data: true,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[];
        if !given.contains_key("size") {
            return params::check("volume", KNOWN, given);
        }
        let mut others = given.clone();
        others.remove("size");
        let mut problems = params::check("volume", KNOWN, &others);
        if !params::has_placeholder(&given["size"]) {
            problems
                .push(Problem::new("params/unsupported", "params.size", NO_SIZE).remedy(LEAVE_OUT));
        }
        problems
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        if request.params.contains_key("size") {
            return Err(ProvisionError::permanent(NO_SIZE).remedy(LEAVE_OUT));
        }
        let path = self.path(request);
        let made = path.clone();
        blocking(move || make(&made)).await.map_err(|error| {
            ProvisionError::transient(format!(
                "cannot make the directory {}: {error}",
                path.display()
            ))
            .remedy("see that the platform's user may write there, and that the disk is not full")
        })?;
        Ok(Provisioned {
            outputs: [(
                "source".to_owned(),
                Output::Plain(Value::from(path.display().to_string())),
            )]
            .into(),
            state: json!({ "directory": path.display().to_string() }),
            listens: None,
            summary: format!("directory {}", path.display()),
            claims: Vec::new(),
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        let path = self.path(request);
        let gone = path.clone();
        blocking(move || remove(&gone)).await.map_err(|error| {
            ProvisionError::transient(format!(
                "cannot remove the directory {}: {error}",
                path.display()
            ))
            .remedy("see that nothing in it belongs to another user")
        })?;
        match self.presence(request).await {
            Presence::Absent => Ok(()),
            _ => Err(ProvisionError::transient(format!(
                "the directory {} is still there after its removal",
                path.display()
            ))),
        }
    }

    async fn presence(&self, request: &Request) -> Presence {
        match tokio::fs::symlink_metadata(self.path(request)).await {
            Ok(metadata) if metadata.is_dir() => Presence::Present,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Presence::Absent,
            // What is in its place is not ours to judge.
            Ok(_) => Presence::Unknown(ProvisionError::permanent(format!(
                "what is at {} is no directory",
                self.path(request).display()
            ))),
            Err(error) => Presence::Unknown(ProvisionError::transient(format!(
                "cannot look at {}: {error}",
                self.path(request).display()
            ))),
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let directory = self.platform(platform);
        let shown = directory.display().to_string();
        blocking(move || list(&directory)).await.map_err(|error| {
            ProvisionError::transient(format!("cannot list the directory {shown}: {error}"))
        })
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(name(request))
    }
}

fn name(request: &Request) -> String {
    // 255 bytes are the most that a file's name may have; 128 leave room and stay readable.
    request.unique_name(128, '-')
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    // `create` is content with a link to a directory; we are not: it would lead elsewhere.
    if !std::fs::symlink_metadata(path)?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file or link of that name is in the way",
        ));
    }
    let directory = rustix::fs::open(
        path,
        OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::fchmod(&directory, Mode::RWXU)?;
    rustix::fs::fsync(&directory)?;
    Ok(())
}

/// Removes `path` and all in it. A symbolic link is removed, never followed: `remove_dir_all`
/// promises as much, for the directory itself we look first.
fn remove(path: &Path) -> io::Result<()> {
    match rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            std::fs::remove_dir_all(path)
        }
        Ok(_) => std::fs::remove_file(path),
    }
}

fn list(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
