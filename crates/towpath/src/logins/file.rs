//! The file of logins: for its owner alone, written whole or not at all, by one process at a time.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// How long another process may hold the file: longer than a renewal takes at the most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it still does.
const LOOK: Duration = Duration::from_millis(10);

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Logins {
    /// The platform of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// The platforms, by the names of their contexts.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Platform>,
}

/// A platform, and the login there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Platform {
    /// Its issuer: where its users reach it. Its tokens go nowhere else.
    pub(crate) server: String,
    /// Who logged in, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// What the login gave; none: somebody has to log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens: Option<Tokens>,
    /// What gives tokens where no person logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<Machine>,
}

impl Platform {
    /// Whether there is a login: it may be over by now.
    pub(crate) fn is_logged_in(&self) -> bool {
        self.tokens.is_some() || self.machine.is_some()
    }
}

/// What a login gave, and when to ask for more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    /// When the access token ends.
    pub(crate) expires: Timestamp,
    /// From when on new ones are asked for.
    pub(crate) renew_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<IdToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<String>,
}

/// Who one is, for Kubernetes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IdToken {
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("expires", &self.expires)
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}

/// Where the file is.
#[derive(Debug, Clone)]
pub(crate) struct LoginFile {
    pub(super) path: PathBuf,
    /// Whether its directory is this program's own, and no one else's files are in it.
    pub(super) own_directory: bool,
}

/// Why the file is not ours to change.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it for too long.
    Held(Failure),
    /// It cannot be had at all.
    Failed(Failure),
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held(failure) | LockError::Failed(failure) => failure,
        }
    }
}

/// The file, while no other process changes it.
pub(crate) struct Locked<'f> {
    file: &'f LoginFile,
    _lock: File,
}

impl LoginFile {
    /// `$TOWPATH_CONFIG`, else `towpath/config.yaml` below the user's configuration directory (XDG Base
    /// Directory Specification). None where there is no home.
    pub(crate) fn find() -> Option<Self> {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        if let Some(named) = std::env::var_os("TOWPATH_CONFIG").filter(|name| !name.is_empty()) {
            return Some(Self {
                path: std::path::absolute(&named).unwrap_or_else(|_| named.into()),
                own_directory: false,
            });
        }
        let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        Some(Self {
            path: base?.join("towpath/config.yaml"),
            own_directory: true,
        })
    }

    /// The same, where a login has to be kept.
    pub(crate) fn required() -> Result<Self> {
        Self::find().ok_or_else(|| {
            Failure::usage("there is no home directory to keep a login in")
                .remedy("name a file in TOWPATH_CONFIG")
        })
    }

    /// What it holds; nothing where there is none.
    pub(crate) fn read(&self) -> Result<Logins> {
        let mut file = match self.open() {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Logins::default()),
            Err(error) => return Err(self.unreadable(&error)),
        };
        self.check_file(&file)?;
        self.check_directory()?;
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| self.unreadable(&error))?;
        if text.trim().is_empty() {
            return Ok(Logins::default());
        }
        serde_yaml_ng::from_str(&text).map_err(|error| {
            // The place and no word of the file: it holds tokens.
            let place = error
                .location()
                .map(|at| format!(", line {}", at.line()))
                .unwrap_or_default();
            Failure::new(
                Exit::Invalid,
                format!(
                    "{}{place} is not a file of logins that this version knows",
                    self.path.display()
                ),
            )
            .remedy("remove it, and log in again: `towpath login --server URL`")
        })
    }

    pub(super) fn unreadable(&self, error: &std::io::Error) -> Failure {
        Failure::io(&format!("{} cannot be read", self.path.display()), error)
    }

    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Waits until no other process changes it; makes its directory.
    pub(crate) async fn lock(&self) -> Result<Locked<'_>> {
        Ok(self.lock_within(PATIENCE).await?)
    }

    /// The same, where that is not worth waiting for as long.
    pub(crate) async fn lock_within(
        &self,
        patience: Duration,
    ) -> std::result::Result<Locked<'_>, LockError> {
        let doing = format!("{} cannot be written", self.path.display());
        let io = |error: std::io::Error| LockError::Failed(Failure::io(&doing, &error));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.directory())
            .map_err(io)?;
        self.check_directory().map_err(LockError::Failed)?;
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(self.beside("lock"))
            .map_err(io)?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    // Who it is, for those who wait.
                    lock.set_len(0).map_err(io)?;
                    write!(lock, "{}", std::process::id()).map_err(io)?;
                    return Ok(Locked {
                        file: self,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held(self.held(&mut lock, patience)));
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
        }
    }

    /// That another process holds it for longer than any should.
    fn held(&self, lock: &mut File, patience: Duration) -> Failure {
        let mut holder = String::new();
        // What cannot be read names nobody; that it is held is told all the same.
        let _ = lock.take(32).read_to_string(&mut holder);
        let holder: Option<u32> = holder.trim().parse().ok();
        let (who, remedy) = match holder {
            Some(pid) => (
                format!("process {pid}"),
                format!("see what it does: `ps -fp {pid}`; if it hangs, end it: `kill {pid}`"),
            ),
            None => (
                "another towpath".to_owned(),
                "see what it does: `pgrep -a towpath`".to_owned(),
            ),
        };
        let (file, seconds) = (self.path.display(), patience.as_secs());
        let message =
            format!("{who} holds {file} for more than {seconds} s: the login cannot be renewed");
        Failure::new(Exit::Timeout, message).remedy(remedy)
    }

    /// A file beside it. Where it is a link, both are beside what it leads to.
    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.target().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }

    fn target(&self) -> PathBuf {
        fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone())
    }
}

impl Locked<'_> {
    /// What it holds.
    pub(crate) fn read(&self) -> Result<Logins> {
        self.file.read()
    }

    /// Writes it anew: whole, or it stays as it was.
    pub(crate) fn write(&self, logins: &Logins) -> Result<()> {
        let path = &self.file.path;
        let text = serde_yaml_ng::to_string(logins).map_err(|error| {
            Failure::new(Exit::Failed, format!("logins cannot be written: {error}"))
        })?;
        let new = self.file.beside("new");
        replace(&new, &self.file.target(), text.as_bytes())
            .map_err(|error| Failure::io(&format!("{} cannot be written", path.display()), &error))
    }
}

/// Puts `bytes` in place of `target`, by way of `new` beside it; for its owner alone.
pub(crate) fn replace(new: &Path, target: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // One that a killed process has left.
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, target)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::logins::Proof;

    pub(in crate::logins) fn file(directory: &Path) -> LoginFile {
        LoginFile {
            path: directory.join("towpath/config.yaml"),
            own_directory: true,
        }
    }

    pub(in crate::logins) fn logins() -> Logins {
        let tokens = Tokens {
            access: "canary-access".into(),
            expires: Timestamp::UNIX_EPOCH,
            renew_at: Timestamp::UNIX_EPOCH,
            id: Some(IdToken {
                token: "canary-id".into(),
                expires: Timestamp::UNIX_EPOCH,
            }),
            refresh: Some("canary-refresh".into()),
        };
        let platform = Platform {
            server: "https://towpath.example.com".into(),
            user: Some("local:ada".into()),
            tokens: Some(tokens),
            machine: Some(Machine {
                service_account: "payments/ci".into(),
                proof: Proof::Key {
                    key: "canary-key".into(),
                },
            }),
        };
        Logins {
            current: Some("acme".into()),
            contexts: BTreeMap::from([("acme".into(), platform)]),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    pub(in crate::logins) fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn what_is_written_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        assert_eq!(file.read().unwrap(), Logins::default());
        file.lock().await.unwrap().write(&logins()).unwrap();
        assert_eq!(file.read().unwrap(), logins());
        assert_eq!(mode(&file.path), 0o600);
        assert_eq!(mode(file.directory()), 0o700);
    }

    #[tokio::test]
    async fn a_broken_file_is_refused_without_a_word_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.lock().await.unwrap().write(&logins()).unwrap();
        let text = fs::read_to_string(&file.path).unwrap();
        for broken in [
            text.replace("access:", "accessed:"),
            text.replace("access: canary-access", "access: [canary-access"),
            text.replace("expires: 1970", "expires: canary-1970"),
        ] {
            fs::write(&file.path, &broken).unwrap();
            let failure = file.read().unwrap_err();
            assert_eq!(failure.exit, Exit::Invalid);
            let shown = format!("{failure:?}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        let shown = format!("{:?}", logins());
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("local:ada"), "{shown}");
    }

    #[tokio::test]
    async fn one_changes_it_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let held = file.lock().await.unwrap();
        let waiting = file.lock();
        tokio::pin!(waiting);
        let early = tokio::time::timeout(LOOK * 5, &mut waiting).await;
        assert!(early.is_err(), "it is held");
        drop(held);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn who_holds_it_for_long_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let held = file.lock().await.unwrap();
        let Err(LockError::Held(failure)) = file.lock_within(LOOK * 5).await else {
            panic!("it is held");
        };
        assert_eq!(failure.exit, Exit::Timeout);
        let pid = std::process::id().to_string();
        assert!(
            failure.message.contains(&format!("process {pid}")),
            "{failure}"
        );
        assert!(
            failure
                .remedy
                .as_deref()
                .unwrap()
                .contains(&format!("kill {pid}"))
        );
        // What cannot be had is another matter than what is held.
        drop(held);
        chmod(file.directory(), 0o755);
        let refused = file.lock_within(LOOK).await;
        assert!(matches!(refused, Err(LockError::Failed(_))));
    }
}
