//! Deploy credentials whose keys are kept among their team's secrets.

use jiff::Timestamp;
use kernel::{Kind, Result};
use serde::{Deserialize, Serialize};

use super::{SecretName, SecretRef};

/// What is known of the keys of a service account that deploys: its scope is the team, its name the
/// account's.
#[derive(Debug)]
pub enum DeployCredential {}

impl Kind for DeployCredential {
    const KIND: &'static str = "DeployCredential";
    type Spec = DeployCredentialSpec;
    type Status = DeployCredentialStatus;
}

/// Which keys there should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployCredentialSpec {
    /// The environment that it deploys to.
    pub environment: String,
    /// Counts up with each rotation that somebody asks for.
    #[serde(default)]
    pub rotation: u32,
    /// Keys that end as soon as another is kept, by id: somebody who has left has seen them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ending: Vec<String>,
}

impl DeployCredentialSpec {
    /// The secret that holds the newest key: `deploy-credentials/ENVIRONMENT/ACCOUNT`.
    pub fn secret(&self, team: &str, account: &str) -> Result<SecretRef> {
        let folder = SecretName::DEPLOY_CREDENTIALS;
        SecretRef::new(team, &format!("{folder}{}/{account}", self.environment))
    }
}

/// Which keys there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployCredentialStatus {
    /// The key that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredKey>,
    /// The next one, on its way there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingKey>,
    /// The newest rotation that somebody asked for and that is done.
    #[serde(default)]
    pub rotation: u32,
}

/// A key that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredKey {
    /// Names it.
    pub id: String,
    /// When it was drawn.
    pub created: Timestamp,
    /// The version of the secret that holds it.
    pub version: u64,
}

/// A key that was drawn, and is not known to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingKey {
    /// Names it.
    pub id: String,
    /// When it was drawn.
    pub created: Timestamp,
    /// The rotation that it is for.
    pub rotation: u32,
}
