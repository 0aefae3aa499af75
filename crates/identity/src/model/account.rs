//! Service accounts: a team's automation, by its own identity.

use jiff::Timestamp;
use kernel::{CallerKind, Kind};
use serde::{Deserialize, Serialize};

/// A team's automation. Scope: the team; its `client_id` is `TEAM/NAME`.
#[derive(Debug)]
pub enum ServiceAccount {}

impl Kind for ServiceAccount {
    const KIND: &'static str = "ServiceAccount";
    type Spec = ServiceAccountSpec;
    type Status = AccountStatus;

    fn listed_by(team: &str) -> Option<String> {
        Some(format!("towpath service-account list --team {team}"))
    }
}

/// What an account is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// A pipeline, or any other program of the team.
    #[default]
    Service,
    /// Deploys to one environment.
    Deploy,
    /// Acts on its own judgement.
    Agent,
}

impl From<AccountKind> for CallerKind {
    fn from(kind: AccountKind) -> Self {
        match kind {
            AccountKind::Service => Self::ServiceAccount,
            AccountKind::Deploy => Self::DeployCredential,
            AccountKind::Agent => Self::Agent,
        }
    }
}

/// What a service account should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountSpec {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it is for.
    #[serde(default)]
    pub kind: AccountKind,
    /// The environment that it deploys to, where it is for deploying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Whether it is kept out: its tokens stop working at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// A key that was drawn for an account. Its digest is sealed beside the account under its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedKey {
    /// Names it.
    pub id: String,
    /// When it was drawn.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Where its digest is: one of two places, taken in turn.
    pub slot: u8,
}

/// The keys that are valid: two at the most, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountStatus {
    /// Keys, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<IssuedKey>,
}

impl AccountStatus {
    /// Keys that are valid at the same time: the newest, and the one before it, so that a job that
    /// began with that one goes on.
    pub const KEYS: usize = 2;

    /// Takes in a new key; gives the one that ends because of it.
    pub fn rotate(&mut self, new: IssuedKey) -> Option<IssuedKey> {
        self.keys.insert(0, new);
        (self.keys.len() > Self::KEYS)
            .then(|| self.keys.pop())
            .flatten()
    }

    /// The place of the key that the next rotation ends, or one that is free.
    pub fn next_slot(&self) -> u8 {
        let newest = self.keys.first().map(|key| key.slot);
        u8::from(newest == Some(0))
    }
}
