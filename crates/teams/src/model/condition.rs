//! Conditions: what is so, and what is waited for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whether something is so. What could not be asked is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody could be asked.
    Unknown,
}

/// One thing that is, or is not yet, as it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `NamespacesReady`, and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it is so.
    pub status: Truth,
    /// What it waits for, or what was found.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when it is as it is.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl Condition {
    /// The team's namespaces are there.
    pub const NAMESPACES: &str = "NamespacesReady";
    /// Its members have its rights.
    pub const ROLE_BINDINGS: &str = "RoleBindingsReady";
    /// Its namespaces have their hosts at the gateway.
    pub const GATEWAYS: &str = "GatewaysReady";
    /// Other tools are in step.
    pub const INTEGRATIONS: &str = "IntegrationsReady";
    /// Each namespace has what deploys to it.
    pub const CREDENTIALS: &str = "CredentialsReady";
    /// The source knows the team's group.
    pub const GROUP: &str = "GroupFound";
    /// Those who lead the team are in its group: else they lead nothing.
    pub const LEADS: &str = "LeadsInGroup";
    /// What it answers for, and for what and until when it helps others, is said.
    pub const TOPOLOGY: &str = "TopologyDeclared";

    /// What must be so for a team to be onboarded.
    pub const ONBOARDED: [&str; 5] = [
        Self::NAMESPACES,
        Self::ROLE_BINDINGS,
        Self::GATEWAYS,
        Self::INTEGRATIONS,
        Self::CREDENTIALS,
    ];

    /// A condition as it is found now.
    pub fn new(kind: &str, status: Truth, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            status,
            message: message.into(),
            since: Timestamp::now(),
        }
    }

    /// So where nothing is waited for; else what is.
    pub fn waiting_for(kind: &str, waits: &[String], done: impl Into<String>) -> Self {
        if waits.is_empty() {
            Self::new(kind, Truth::True, done)
        } else {
            Self::new(kind, Truth::False, waits.join("; "))
        }
    }

    /// Whether it must be so for a team to be onboarded.
    pub fn gates(&self) -> bool {
        Self::ONBOARDED.contains(&self.kind.as_str())
    }

    /// The same, since when it was already so.
    #[must_use]
    pub fn after(mut self, before: &[Self]) -> Self {
        let same = |one: &&Self| one.kind == self.kind && one.status == self.status;
        if let Some(before) = before.iter().find(same) {
            self.since = before.since;
        }
        self
    }
}
