//! What a deployment is asked for with, and what its plan answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    model::Graph,
    plan::{Action, Plan},
    verify::Decision,
};

/// `POST environments/{env}/deployments`, and `.../plans` for what it would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewDeployment {
    /// The workloads by name, each a Score document: overrides applied, files inlined.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub workloads: BTreeMap<String, Value>,
    /// Why, in the caller's words: kept in the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long the workloads have to get ready, resources included; the platform's default where
    /// it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Names of resources whose replacement, loss of data included, is accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// Makes the environment where it is not there yet; without it, its absence is an error. Of one
    /// that is there, the role must be this one, and its end moves to this time to live from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create_environment: Option<CreateEnvironment>,
}

/// The environment that a deployment makes where it is not there yet, or takes to be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateEnvironment {
    /// The role; without it, `ephemeral` where a time to live is given, else the role that has the
    /// environment's name, else `dev`. An environment that is there must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// In so many seconds everything in it is removed, data too: also where it is there already, and
    /// was to end at another time. Refused where it is there and has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// `POST environments/{env}/plans`: what a deployment would do. Nothing is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanAnswer {
    /// What becomes of the environment itself; none: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentStep>,
    /// The difference from what runs.
    pub plan: Plan,
    /// What policy says of it.
    pub decision: Decision,
    /// What it needs, with the definitions that matched.
    pub graph: Graph,
    /// What policy was asked: `{caller, environment, workloads, plan}`, without what is in variables and
    /// files.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub policy_input: Value,
}

/// What a deployment makes of the environment that it goes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStep {
    /// `add`: the deployment makes it; `change`: it moves its end.
    pub action: Action,
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// The team that it belongs to.
    pub team: String,
    /// When everything in it would be removed, if ever, if it were deployed to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
}

/// `POST environments/{env}/rollbacks`: returns to an earlier deployment, by a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// Only this workload; all of that deployment where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The deployment to return to; the last good one before the present where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in the caller's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// As in [`NewDeployment::timeout_seconds`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}
