//! What is kept of a server on disk: its directory, its port, the administrator's password, and
//! which server was chosen.

mod owner;

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::TcpListener,
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use delivery::provisioner::ProvisionError;
use kernel::SecretText;
use rand::{Rng as _, distr::Alphanumeric};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::owner::{NOTE, noted};
use super::account::{Account, everyone_may_enter};

/// Which server was chosen for a sort of resource. It stays chosen while it is away: instances made
/// on one server are not to be looked for on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Origin {
    /// It ran on this machine, on its standard port.
    Found,
    /// Towpath runs it from binaries on this machine.
    Started,
    /// Towpath runs it in a container.
    Container,
}

/// Below the range from which Linux takes the ports of outgoing connections (32768 on), of which one could have a
/// server's port when that starts again; and below those that are given to workloads (20000 on).
const PORTS: Range<u16> = 16_000..20_000;

/// Where servers' files are that may not be in the data directory.
const OUTSIDE: &str = "/var/lib/towpath";

/// Where one server's files are.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// What is ours of the way to the server's files.
    root: PathBuf,
    /// Ours alone: passwords and the choice.
    notes: PathBuf,
    /// The server's own files; owned by the account that it runs as.
    pub(crate) directory: PathBuf,
    account: Option<Account>,
}

impl Home {
    /// The home of the server `name` beneath `data_dir`, to run as `account` where that is not us.
    ///
    /// An account that may not enter `data_dir` (in root's home, say) gets a directory beneath
    /// `/var/lib/towpath`, named after `data_dir`. Where there is one already, it stays; a note beneath
    /// `data_dir` says where, since that may be moved.
    pub(crate) fn new(data_dir: &Path, name: &str, account: Option<Account>) -> Self {
        let servers = data_dir.join("servers");
        let notes = servers.join(name);
        if let Some(directory) = noted(&notes) {
            return Self {
                root: PathBuf::from(OUTSIDE),
                notes,
                directory,
                account,
            };
        }
        let inside = notes.join("server");
        let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
        let tag = format!("{digest:x}");
        let outside = Path::new(OUTSIDE).join(&tag[..8]).join(name);
        let stays_inside = account.is_none()
            || inside.exists()
            || (!outside.exists() && data_dir.exists() && everyone_may_enter(data_dir));
        let (root, directory) = if stays_inside {
            (servers, inside)
        } else {
            (PathBuf::from(OUTSIDE), outside)
        };
        Self {
            root,
            notes,
            directory,
            account,
        }
    }

    /// Makes the server's directory, owned by the account that it runs as. One that is noted and not there
    /// was lost, with what it held: that is for a person to mend, and no reason for an empty server. One of a
    /// data directory that was moved, or brought back, is this one's from now on.
    pub(crate) fn make_directory(&self) -> Result<(), ProvisionError> {
        self.check_owner()?;
        if noted(&self.notes).is_some() && !self.directory.exists() {
            let note = self.notes.join(NOTE);
            return Err(ProvisionError::transient(format!(
                "the files of a server that Towpath runs are gone: there is no {}, which {} names",
                self.directory.display(),
                note.display()
            ))
            .remedy(format!(
                "bring them back there from a backup; where they are elsewhere, write that path into {0}; \
                 to begin with an empty server, remove {0}",
                note.display()
            )));
        }
        private_directory(&self.notes)
            .and_then(|()| private_directory(&self.directory))
            .and_then(|()| self.note())
            .and_then(|()| match self.account {
                Some(account) => self
                    .pass_through()
                    .and_then(|()| chown(&self.directory, Some(account.uid), Some(account.gid))),
                None => Ok(()),
            })
            .map_err(|error| on_disk("make", &self.directory, &error))
    }

    /// Lets the server's account pass through what lies above its directory, seeing nothing there.
    fn pass_through(&self) -> io::Result<()> {
        for parent in self.directory.ancestors().skip(1) {
            if !parent.starts_with(&self.root) {
                break;
            }
            fs::set_permissions(parent, fs::Permissions::from_mode(0o711))?;
        }
        Ok(())
    }

    /// Gives a file that we wrote to the account that the server runs as.
    pub(crate) fn hand_over(&self, file: &Path) -> Result<(), ProvisionError> {
        let Some(account) = self.account else {
            return Ok(());
        };
        chown(file, Some(account.uid), Some(account.gid))
            .map_err(|error| on_disk("hand over", file, &error))
    }

    /// Writes `content` where only the server's account reads it.
    pub(crate) fn write_for_server(
        &self,
        file: &Path,
        content: &[u8],
    ) -> Result<(), ProvisionError> {
        write_private(file, content).map_err(|error| on_disk("write", file, &error))?;
        self.hand_over(file)
    }

    /// The administrator's password: made once, readable by us alone.
    pub(crate) fn password(&self) -> Result<SecretText, ProvisionError> {
        let file = self.notes.join("password");
        let read = |file: &Path| match fs::read_to_string(file) {
            Ok(text) => Ok(Some(SecretText::from(text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(on_disk("read", file, &error)),
        };
        if let Some(password) = read(&file)? {
            return Ok(password);
        }
        let password: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(32)
            .map(char::from)
            .collect();
        private_directory(&self.notes)
            .and_then(|()| write_once(&file, password.as_bytes()))
            .map_err(|error| on_disk("write", &file, &error))?;
        // Another process may have been first: what is on disk counts.
        read(&file)?.ok_or_else(|| {
            ProvisionError::transient(format!("{} went as soon as it came", file.display()))
        })
    }

    /// Which server was chosen, if one was.
    pub(crate) fn origin(&self) -> Option<Origin> {
        serde_json::from_slice(&fs::read(self.notes.join("origin.json")).ok()?).ok()
    }

    /// Keeps the choice.
    pub(crate) fn choose(&self, origin: Origin) -> Result<(), ProvisionError> {
        if self.origin() == Some(origin) {
            return Ok(());
        }
        let file = self.notes.join("origin.json");
        let text = serde_json::to_vec(&origin)
            .map_err(|error| ProvisionError::permanent(error.to_string()))?;
        private_directory(&self.notes)
            .and_then(|()| write_private(&file, &text))
            .map_err(|error| on_disk("write", &file, &error))
    }

    /// Keeps the name of the container that is this server.
    pub(crate) fn keep_container(&self, name: &str) -> Result<(), ProvisionError> {
        if self.container().as_deref() == Some(name) {
            return Ok(());
        }
        let file = self.notes.join("container");
        private_directory(&self.notes)
            .and_then(|()| write_private(&file, name.as_bytes()))
            .map_err(|error| on_disk("write", &file, &error))
    }

    /// The container that is this server, if one ever was.
    pub(crate) fn container(&self) -> Option<String> {
        fs::read_to_string(self.notes.join("container")).ok()
    }

    /// Where the choice is kept, for the person who wants to make another.
    pub(crate) fn origin_file(&self) -> PathBuf {
        self.notes.join("origin.json")
    }

    /// The port `label` that this server was given, if it was given one.
    pub(crate) fn port(&self, label: &str) -> Option<u16> {
        let file = self.notes.join(format!("{label}.port"));
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The port that the server was given, or a free one that is kept from now on. A container that
    /// is there holds its port, free or not.
    pub(crate) fn kept_port(&self, label: &str) -> Result<u16, ProvisionError> {
        self.port(label).map_or_else(|| self.free_port(label), Ok)
    }

    /// Gives the server a free port on the loopback and keeps it; the one it had, where that is free.
    pub(crate) fn free_port(&self, label: &str) -> Result<u16, ProvisionError> {
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if let Some(port) = self.port(label)
            && is_free(port)
        {
            return Ok(port);
        }
        let given = self.ports();
        // Begins anywhere, so that two platforms on a machine rarely meet between choice and use.
        let size = PORTS.end - PORTS.start;
        let begin = rand::random_range(0..size);
        let mut candidates = (0..size).map(|step| PORTS.start + (begin + step) % size);
        let port = candidates.find(|port| !given.contains(port) && is_free(*port));
        let port = port.ok_or_else(|| {
            let message = format!("no port of 127.0.0.1 from {PORTS:?} is free for a server");
            ProvisionError::transient(message).remedy("see what listens there, and end some of it")
        })?;
        let file = self.notes.join(format!("{label}.port"));
        private_directory(&self.notes)
            .and_then(|()| write_private(&file, port.to_string().as_bytes()))
            .map_err(|error| on_disk("keep a free port in", &file, &error))?;
        Ok(port)
    }

    /// The ports that this server was given, whatever for: it may not listen on them yet.
    fn ports(&self) -> BTreeSet<u16> {
        let files = fs::read_dir(&self.notes).into_iter().flatten().flatten();
        let port = |name: &str| self.port(name.strip_suffix(".port")?);
        files
            .filter_map(|file| port(file.file_name().to_str()?))
            .collect()
    }

    /// Removes all that is kept of the server. It must not run.
    pub(crate) fn remove(&self) -> Result<(), ProvisionError> {
        self.check_owner()?;
        let gone = |path: &Path, removed: io::Result<()>| match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(on_disk("remove", path, &error))
            }
            _ => Ok(()),
        };
        gone(&self.directory, fs::remove_dir_all(&self.directory))?;
        if let Some(owner_file) = self.owner_file() {
            gone(&owner_file, fs::remove_file(&owner_file))?;
        }
        // Last: without them nobody knows of the rest.
        gone(&self.notes, fs::remove_dir_all(&self.notes))?;
        self.tidy();
        Ok(())
    }

    /// Removes what lies above the server's directory and holds nothing any more. Whoever makes a
    /// server there at this moment makes it again.
    fn tidy(&self) {
        for parent in self.directory.ancestors().skip(1) {
            let ours = parent.starts_with(&self.root) && parent != self.root;
            if !ours || fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }

    /// The names of the homes in the folder `group` beneath `data_dir`.
    pub(crate) fn names(data_dir: &Path, group: &str) -> Result<Vec<String>, ProvisionError> {
        let folder = data_dir.join("servers").join(group);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(on_disk("list", &folder, &error)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Whether anything is kept of the server.
    pub(crate) fn exists(&self) -> bool {
        self.notes.exists()
    }
}

fn private_directory(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Writes a file that only its owner reads, so that it is there whole or not at all.
fn write_private(file: &Path, content: &[u8]) -> io::Result<()> {
    fs::rename(half(file, content)?, file)
}

/// The same, leaving a file that is there as it is.
fn write_once(file: &Path, content: &[u8]) -> io::Result<()> {
    let half = half(file, content)?;
    let linked = fs::hard_link(&half, file);
    fs::remove_file(half)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The content, beside its place.
fn half(file: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let half = file.with_extension(format!("{:08x}.new", rand::random::<u32>()));
    let mut handle = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half)?;
    handle.write_all(content)?;
    handle.sync_all()?;
    Ok(half)
}

fn on_disk(doing: &str, path: &Path, error: &io::Error) -> ProvisionError {
    ProvisionError::transient(format!("cannot {doing} {}: {error}", path.display()))
        .remedy("see that the data directory is writable and has room")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_apart_from_each_other_and_below_those_of_outgoing_connections() {
        let data = tempfile::tempdir().unwrap();
        let home = Home::new(data.path(), "amqp", None);
        let labels = ["amqp", "management", "distribution"];
        let ports = labels.map(|label| home.free_port(label).unwrap());
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
        assert_eq!(BTreeSet::from(ports).len(), labels.len());
        assert_eq!(labels.map(|label| home.free_port(label).unwrap()), ports);
    }

    #[test]
    fn a_port_that_somebody_else_has_by_now_is_given_up() {
        let data = tempfile::tempdir().unwrap();
        let home = Home::new(data.path(), "postgres", None);
        let port = home.free_port("postgres").unwrap();
        let _somebody = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(home.kept_port("postgres").unwrap(), port);
        let other = home.free_port("postgres").unwrap();
        assert_ne!(other, port);
        assert_eq!(home.port("postgres"), Some(other));
    }
}
