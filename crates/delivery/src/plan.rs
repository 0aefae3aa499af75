//! The plan: a readable difference between what runs and what a deployment would make of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a deployment would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Resources, by instance name.
    pub resources: BTreeMap<String, ResourceStep>,
    /// Workloads, by name.
    pub workloads: BTreeMap<String, WorkloadStep>,
    /// Routes that come and go: `http://host/path`.
    pub routes_added: Vec<String>,
    /// Routes that go.
    pub routes_removed: Vec<String>,
    /// What the engine will not do as described, and other remarks.
    pub warnings: Vec<String>,
    /// Replacements that are held until a person accepts them by the resource's name.
    pub held: Vec<String>,
}

/// What happens to a resource or workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Add,
    /// It changes in place.
    Change,
    /// It goes, and another comes in its place.
    Replace,
    /// It goes.
    Remove,
    /// It stays because it holds data, although nothing uses it any more.
    Keep,
    /// Nothing.
    None,
}

/// What happens to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStep {
    /// What happens.
    pub action: Action,
    /// What it is in the graph: `postgres.default#notes.db`.
    pub node: String,
    /// The definition and revision: `postgres-default@3`.
    pub definition: String,
    /// Why, in words: `revision 2 -> 3`, `params.version: "14" -> "15"`.
    pub reasons: Vec<String>,
    /// Whether it holds data.
    pub holds_data: bool,
}

/// What happens to a workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStep {
    /// What happens.
    pub action: Action,
    /// Field by field, as `containers.web.image: "a" -> "b"`; variables by name, never by value.
    pub changes: Vec<String>,
    /// Its address through the gateway, once deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}
