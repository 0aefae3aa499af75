//! The plan: a readable difference between what runs and what a deployment would make of it.

mod compute;
mod difference;
mod text;

use std::collections::BTreeMap;

pub use compute::{Running, RunningResource, Wanted, compute};
use serde::{Deserialize, Serialize};

/// What a deployment would change. `Display` writes it for people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Resources, by instance name.
    pub resources: BTreeMap<String, ResourceStep>,
    /// Workloads, by name.
    pub workloads: BTreeMap<String, WorkloadStep>,
    /// Routes that come: `http://host/path`, with the gateway's port.
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
    /// Nothing: also where a replacement is held.
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

impl Plan {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        let idle = |action: Action| matches!(action, Action::None);
        self.resources.values().all(|step| idle(step.action))
            && self.workloads.values().all(|step| idle(step.action))
            && self.routes_added.is_empty()
            && self.routes_removed.is_empty()
            && self.held.is_empty()
    }

    /// How many resources and workloads have this action.
    pub fn count(&self, action: Action) -> usize {
        let resources = self.resources.values().map(|step| step.action);
        let workloads = self.workloads.values().map(|step| step.action);
        resources.chain(workloads).filter(|a| *a == action).count()
    }
}
