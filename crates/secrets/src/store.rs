//! The port to where values are.

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{Caller, Name, Result, Secret};

use crate::model::{Origin, SecretInfo, SecretRef};

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Which version it is.
    pub version: u64,
    /// When that was written: a secret that is removed and written anew begins its versions anew.
    pub written: Timestamp,
    /// The value.
    pub value: Secret,
}

/// A value that is to be written.
#[derive(Debug, Clone)]
pub struct Write {
    /// The value.
    pub value: Secret,
    /// What is said of it to people; what was said before where it is none.
    pub description: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// The version that must be the newest for it to be written: 0 where there must be none. None:
    /// whichever is.
    pub expected: Option<u64>,
}

/// Where values of secrets are.
///
/// A question has three answers: `Ok(Some(..))`, it is there; `Ok(None)`, there is none;
/// [`kernel::ErrorKind::Unavailable`], it cannot be told, mostly because the store is away. On the
/// third nothing is decided. An error says nothing of a value.
///
/// Every write is kept as an event that names the secret, the version and who wrote it
/// (`dev.towpath.secret.written`, `.deleted`): in the same transaction where the store can; else one
/// before it (`.write-asked`, `.delete-asked`) and one after, which says how it went.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Its name, for people: `sealed`, `vault`.
    fn name(&self) -> &'static str;

    /// Writes a further version. Fails with `Conflict` where another than the expected is the newest.
    async fn put(&self, by: &Caller, secret: &SecretRef, write: Write) -> Result<SecretInfo>;

    /// The value of a version, or of the newest.
    async fn get(&self, secret: &SecretRef, version: Option<u64>) -> Result<Option<Value>>;

    /// What is known of a secret, its versions included.
    async fn info(&self, secret: &SecretRef) -> Result<Option<SecretInfo>>;

    /// What is known of all secrets of a team, by name.
    async fn list(&self, team: &Name) -> Result<Vec<SecretInfo>>;

    /// Removes a secret with all its versions. Answers whether there was one. Fails with `Conflict`
    /// where another than the expected version is the newest.
    async fn delete(&self, by: &Caller, secret: &SecretRef, expected: Option<u64>) -> Result<bool>;
}

/// Refuses where another version than the expected is the newest; 0: there is none.
pub(crate) fn require_version(
    secret: &SecretRef,
    expected: Option<u64>,
    newest: u64,
) -> Result<()> {
    match expected {
        Some(expected) if expected != newest => Err(conflict(secret, expected).unmatched()),
        _ => Ok(()),
    }
}

/// That another than the expected version is the newest.
pub(crate) fn conflict(secret: &SecretRef, expected: u64) -> kernel::Error {
    let (team, name) = (&secret.team, &secret.name);
    let message = match expected {
        0 => format!("secret `{name}` of team `{team}` is there already"),
        expected => {
            format!("version {expected} is not the newest of secret `{name}` of team `{team}`")
        }
    };
    kernel::Error::conflict(message).remedy("look at what it is now, and decide anew")
}
