//! Records in a hosts file, beside those of others: a line that ends in our mark is ours.

use std::{fmt, io, net::IpAddr, path::PathBuf, sync::Arc};

use delivery::provisioner::{Presence, ProvisionError, Request};
use serde_json::Value;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{atomic_file, host};

/// The records that a provisioner keeps, of hosts that lead elsewhere than to the loopback by themselves: one for
/// each of its instances whose state has a `host`. Nothing is kept where no file is configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records(Option<HostsFile>);

impl Records {
    pub(crate) fn in_file(file: HostsFile) -> Self {
        Self(Some(file))
    }

    /// Records of another kind in the same file.
    pub(crate) fn of_kind(&self, kind: &'static str) -> Self {
        Self(self.0.as_ref().map(|file| file.of_kind(kind)))
    }

    /// The file that must have a record for `host`, if one must.
    fn file_for(&self, host: &str) -> Option<&HostsFile> {
        self.0.as_ref().filter(|_| !host::is_loopback(host))
    }

    /// Lets `host` lead to the gateway; gives the file in which it does, where one must say so.
    pub(crate) async fn set(
        &self,
        request: &Request,
        host: &str,
    ) -> Result<Option<&HostsFile>, ProvisionError> {
        let Some(file) = self.file_for(host) else {
            return Ok(None);
        };
        file.set(request.platform, &name(request), host).await?;
        Ok(Some(file))
    }

    pub(crate) async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        match &self.0 {
            Some(file) => file.remove(request.platform, &name(request)).await,
            None => Ok(()),
        }
    }

    pub(crate) async fn presence(&self, request: &Request) -> Presence {
        let Some(host) = request.state.get("host").and_then(Value::as_str) else {
            return Presence::Absent;
        };
        let Some(file) = self.file_for(host) else {
            return Presence::Present;
        };
        match file.has(request.platform, &name(request), host).await {
            Ok(true) => Presence::Present,
            Ok(false) => Presence::Absent,
            Err(error) => Presence::Unknown(error),
        }
    }

    pub(crate) async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        match &self.0 {
            Some(file) => file.names(platform).await,
            None => Ok(Vec::new()),
        }
    }

    /// What the record of `host` is listed as, where there is one.
    pub(crate) fn listed_as(&self, request: &Request, host: &str) -> Option<String> {
        self.file_for(host).map(|_| name(request))
    }
}

fn name(request: &Request) -> String {
    request.unique_name(100, '-')
}

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
    fn of_kind(&self, kind: &'static str) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// Lets `host` lead to the address, in place of whatever record `name` had.
    async fn set(&self, platform: Uuid, name: &str, host: &str) -> Result<(), ProvisionError> {
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
    async fn remove(&self, platform: Uuid, name: &str) -> Result<(), ProvisionError> {
        self.change(|lines| {
            let before = lines.len();
            lines.retain(|line| !line.ends_with(&self.mark(platform, name)));
            lines.len() != before
        })
        .await
    }

    /// Whether the record is there, and as it should be.
    async fn has(&self, platform: Uuid, name: &str, host: &str) -> Result<bool, ProvisionError> {
        let line = self.line(platform, name, host);
        Ok(self.lines().await?.contains(&line))
    }

    /// The names of all records of the platform that are of this kind.
    async fn names(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
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
