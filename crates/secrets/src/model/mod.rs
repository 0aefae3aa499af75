//! What there is to know of a secret, its value apart.

mod credential;
mod reference;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};

pub use self::{
    credential::{
        DeployCredential, DeployCredentialSpec, DeployCredentialStatus, PendingKey, StoredKey,
    },
    reference::{SecretName, SecretRef},
};

/// A secret of a team, as the platform's own store keeps it: its scope is the team. The values of its
/// versions are sealed beside it, and are in none of this.
#[derive(Debug)]
pub enum TeamSecret {}

impl Kind for TeamSecret {
    const KIND: &'static str = "TeamSecret";
    type Spec = TeamSecretSpec;
    type Status = TeamSecretStatus;

    fn noun() -> String {
        "secret".into()
    }

    fn listed_by(scope: &str) -> Option<String> {
        Some(format!("towpath secret list --team {scope}"))
    }
}

/// What was said of a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamSecretSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where its values come from.
    #[serde(default)]
    pub origin: Origin,
}

/// The versions that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamSecretStatus {
    /// The newest first: [`SecretInfo::KEPT`] at the most.
    #[serde(default)]
    pub versions: Vec<Version>,
}

/// Where a secret's values come from: it says what a rotation does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Somebody wrote them. Only they can rotate it: by writing another.
    #[default]
    Written,
    /// The platform draws them at random.
    Generated,
    /// They are keys of a deploy credential, which the platform rotates.
    DeployCredential,
}

impl Origin {
    /// The word for it, as it is in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Generated => "generated",
            Self::DeployCredential => "deploy-credential",
        }
    }
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its number: 1 for the first.
    pub number: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Who wrote it; none where the store behind does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What may be known of a secret by those who may not see its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretInfo {
    /// The team that it belongs to.
    pub team: String,
    /// Its name.
    pub name: String,
    /// What the value is referred to by.
    pub reference: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where its values come from.
    pub origin: Origin,
    /// The newest version: the ETag.
    pub version: u64,
    /// The versions whose values can still be read, the newest first.
    pub versions: Vec<Version>,
}

impl SecretInfo {
    /// Versions that are kept of a secret, the newest included.
    pub const KEPT: u64 = 10;
}
