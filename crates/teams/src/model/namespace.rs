//! Namespaces: a team's rooms, each with its quota.

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ContainerDefaults, Quota};

/// A team's room. Scope: the team; its name is `TEAM-SUFFIX`, and nobody else's. What runs workloads
/// backs it: on one machine an environment of the same name.
#[derive(Debug)]
pub enum Namespace {}

impl Kind for Namespace {
    const KIND: &'static str = "Namespace";
    type Spec = NamespaceSpec;
    type Status = NamespaceStatus;

    fn listed_by(team: &str) -> Option<String> {
        Some(format!("towpath namespace list --team {team}"))
    }
}

/// What a namespace should be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSpec {
    /// The role of what backs it.
    pub role: String,
    /// Whether every team has one like it; else the team asked for it.
    #[serde(default)]
    pub standard: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What its workloads may ask for together.
    #[serde(default)]
    pub quota: Quota,
    /// What counts for containers that do not say what they need; none: what the platform has for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_defaults: Option<ContainerDefaults>,
    /// Who may reach what is in it.
    #[serde(default)]
    pub network_policies: NetworkPolicies,
    /// Whether it may be removed although the role of what backs it is protected.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub include_protected: bool,
}

impl NamespaceSpec {
    /// What counts for its containers that do not say what they need.
    pub fn defaults(&self) -> ContainerDefaults {
        self.container_defaults.unwrap_or_default()
    }
}

/// Who may reach the workloads of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPolicies {
    /// Whether nobody may whom nothing lets in.
    #[serde(default)]
    pub default_deny: bool,
    /// Whom it lets in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_ingress: Vec<Peer>,
}

/// Whose workloads are let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peer {
    /// A namespace's name.
    pub from_namespace: String,
}

/// What a namespace is. Written by whoever backs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceStatus {
    /// Whether it can be deployed to.
    #[serde(default)]
    pub ready: bool,
    /// What it waits for, or why it stays.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What backs it: recorded, so that nothing else is ever removed in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub environment: Option<Uuid>,
    /// Whether the role of what backs it is protected from deletion; none: not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<bool>,
    /// Where the gateway serves what is in it: `*.payments-dev.localhost`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// What its workloads ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl NamespaceStatus {
    /// Whether it goes with its team. One of which nobody knows whether it is protected may be, where there is
    /// something in it.
    pub fn may_go(&self) -> bool {
        match self.protected {
            Some(protected) => !protected,
            None => self.environment.is_none(),
        }
    }
}

/// What the workloads of a namespace ask for, of its quota.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Together.
    pub asked: Quota,
    /// Containers that do not say what they need: what counts for them is the namespace's default.
    #[serde(default)]
    pub unbounded_containers: usize,
    /// Parts of the quota of which [`Usage::WARNING`] or more are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub near: Vec<String>,
    /// When this was last counted anew.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl Usage {
    /// The share of a quota, in hundredths, from which on it is said that it is nearly used up.
    pub const WARNING: u64 = 80;

    /// The parts of `quota` of which `asked` takes [`Usage::WARNING`] or more.
    pub fn near(asked: &Quota, quota: &Quota) -> Vec<String> {
        let pairs = asked.parts().into_iter().zip(quota.parts());
        pairs
            .filter(|((_, asked, _), (_, most, _))| Self::is_near(*asked, *most))
            .map(|((part, ..), _)| part.to_owned())
            .collect()
    }

    /// Whether [`Usage::WARNING`] or more of `most` is taken.
    pub fn is_near(taken: u64, most: u64) -> bool {
        let (taken, most) = (u128::from(taken), u128::from(most));
        taken > 0 && taken * 100 >= most * u128::from(Self::WARNING)
    }
}
