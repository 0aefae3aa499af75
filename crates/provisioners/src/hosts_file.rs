//! Records in a hosts file, beside those of others: a line that ends in our mark is ours.

use std::{fmt, io, net::IpAddr, path::PathBuf, sync::Arc};

use delivery::provisioner::ProvisionError;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::atomic_file;

/// A hosts file (`hosts(5)`) in which the platform keeps records. Every change replaces the file as
/// a whole, so that a reader never sees half of it; the lines of others stay as they are.
#[derive(Debug, Clone)]
pub(crate) struct HostsFile {
    path: PathBuf,
    address: IpAddr,
    /// What its records are named with before their own names: provisioners that keep records in one file
    /// know theirs by it. Empty, or with a colon at its end.
    kind: &'static str,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

impl HostsFile {
    pub(crate) fn new(path: impl Into<PathBuf>, address: IpAddr) -> Self {
        Self {
            path: path.into(),
            address,
            kind: "",
            changing: Arc::default(),
        }
    }

    /// The same file, for records of another kind.
    pub(crate) fn of_kind(&self, kind: &'static str) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// Lets `host` lead to the address, in place of whatever record `name` had.
    pub(crate) async fn set(
        &self,
        platform: Uuid,
        name: &str,
        host: &str,
    ) -> Result<(), ProvisionError> {
        let line = self.line(platform, name, host);
        self.change(|lines| {
            if lines.contains(&line) {
                return false;
            }
            lines.retain(|other| !other.ends_with(&self.mark(platform, name)));
            lines.push(line.clone());
            true
        })
        .await
    }

    /// Removes the record of `name`.
    pub(crate) async fn remove(&self, platform: Uuid, name: &str) -> Result<(), ProvisionError> {
        self.change(|lines| {
            let before = lines.len();
            lines.retain(|line| !line.ends_with(&self.mark(platform, name)));
            lines.len() != before
        })
        .await
    }

    /// Whether the record is there, and as it should be.
    pub(crate) async fn has(
        &self,
        platform: Uuid,
        name: &str,
        host: &str,
    ) -> Result<bool, ProvisionError> {
        let line = self.line(platform, name, host);
        Ok(self.lines().await?.contains(&line))
    }

    /// The names of all records of the platform that are of this kind.
    pub(crate) async fn names(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let mark = self.mark(platform, "");
        Ok(self
            .lines()
            .await?
            .iter()
            .filter_map(|line| line.split_once(&mark))
            // Of another kind it has a colon.
            .filter(|(_, name)| !name.contains(':'))
            .map(|(_, name)| name.to_owned())
            .collect())
    }

    fn line(&self, platform: Uuid, name: &str, host: &str) -> String {
        format!("{} {host}{}", self.address, self.mark(platform, name))
    }

    fn mark(&self, platform: Uuid, name: &str) -> String {
        format!(" # towpath {platform} {}{name}", self.kind)
    }

    async fn lines(&self) -> Result<Vec<String>, ProvisionError> {
        match tokio::fs::read_to_string(&self.path).await {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.fault("read", &error)),
        }
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut Vec<String>) -> bool,
    ) -> Result<(), ProvisionError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut lines = self.lines().await?;
        if !change(&mut lines) {
            return Ok(());
        }
        let mut text = lines.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        // Name servers run as users of their own: they must be able to read it.
        atomic_file::write(&self.path, text.as_bytes(), 0o644)
            .await
            .map_err(|error| self.fault("write", &error))
    }

    fn fault(&self, doing: &str, error: &io::Error) -> ProvisionError {
        ProvisionError::transient(format!("cannot {doing} the hosts file {self}: {error}"))
            .remedy("see that the platform's user may write the file and its directory")
    }
}

impl fmt::Display for HostsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
