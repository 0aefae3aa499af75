//! Environments, and the roles that they have.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use teams::model::TeamSpec;

/// Where a team's workloads run together. Scope: the platform.
#[derive(Debug)]
pub enum Environment {}

impl Environment {
    /// The rule that a deployment breaks which would make an environment of a name that is another's.
    pub const TAKEN: &'static str = "environment/taken";
}

impl Kind for Environment {
    const KIND: &'static str = "Environment";
    type Spec = EnvironmentSpec;
    type Status = EnvironmentStatus;

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath env list".into())
    }
}

/// What an environment should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// The role: a name of an [`EnvironmentRole`].
    pub role: String,
    /// The team that it belongs to.
    #[serde(default = "default_team")]
    pub team: String,
    /// The engine that runs its workloads; fixed at creation.
    pub engine: String,
    /// When everything in it is removed, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// The time to live, in seconds, that `expires` comes from: whoever asks for the same again in a
    /// document does not move the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Who made it.
    pub created_by: String,
    /// The environment whose resource definitions it was cloned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned_from: Option<String>,
    /// Revisions that hold here in place of the newest ones, by definition name: from cloning. For
    /// the resource types of these, no other definition holds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned_definitions: BTreeMap<String, u64>,
}

/// The team of a platform that has none yet.
pub fn default_team() -> String {
    "default".into()
}

/// What an environment is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// Deployments so far: the next one is `d-<one more>`.
    #[serde(default)]
    pub deployments: u64,
    /// What its removal waits for, each with its reason; empty while it is not being removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
    /// Why it stays although its time is over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The purpose that environments share: data, not code. Scope: the platform.
#[derive(Debug)]
pub enum EnvironmentRole {}

impl Kind for EnvironmentRole {
    const KIND: &'static str = "EnvironmentRole";
    type Spec = EnvironmentRoleSpec;
    type Status = ();

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath get environment-roles".into())
    }
}

/// What a role means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentRoleSpec {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Whether environments of this role are safe from deletion.
    #[serde(default)]
    pub protected: bool,
    /// How long an environment lives where its maker does not say; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_ttl_seconds: Option<u64>,
    /// Whether new teams get a namespace of this role where nothing else is said. Where that is not said, `dev`,
    /// `qa`, `preview` and `prod` are such roles, and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard: Option<bool>,
}

impl EnvironmentRoleSpec {
    /// Whether new teams get a namespace of this role, which is called `name`.
    pub fn is_standard(&self, name: &str) -> bool {
        let usual = TeamSpec::default_environments();
        self.standard
            .unwrap_or_else(|| usual.iter().any(|one| one == name))
    }
}
