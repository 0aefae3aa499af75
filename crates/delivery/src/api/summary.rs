//! What an environment holds, and what that takes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PinSummary;
use crate::{engine::Phase, model::InstancePhase};

/// `GET environments/{env}/summary`: what is in it, what it takes, who made it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSummary {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Its team.
    pub team: String,
    /// Its engine.
    pub engine: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// When everything in it is removed, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires: Option<Timestamp>,
    /// Whether its removal was asked for.
    #[serde(default)]
    pub deleting: bool,
    /// What its removal waits for, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
    /// Why it stays although its time is over.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The environment whose resource definitions it was cloned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned_from: Option<String>,
    /// The definitions that hold here at an older revision, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<PinSummary>,
    /// Its workloads, by name.
    pub workloads: Vec<WorkloadSummary>,
    /// Its resources, by name.
    pub resources: Vec<ResourceSummary>,
    /// The addresses that lead into it.
    pub routes: Vec<RouteSummary>,
    /// What its workloads ask for, all together.
    pub compute: ComputeSummary,
}

/// A workload in an [`EnvironmentSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSummary {
    /// Its name.
    pub name: String,
    /// The deployment that its spec is from.
    pub deployment: String,
    /// The release that should run.
    pub release: u64,
    /// The release that gets the traffic; 0: none.
    pub active_release: u64,
    /// How far the release that should run is; none before an engine has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Restarts of its containers, all together.
    pub restarts: u32,
    /// Its address through the gateway; none where it serves no port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why it is not as it should be.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether its removal was asked for.
    #[serde(default)]
    pub deleting: bool,
}

/// A resource in an [`EnvironmentSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSummary {
    /// The instance's name.
    pub name: String,
    /// What it is in the graph: `postgres.default#notes.db`.
    pub node: String,
    /// The definition and its revision: `postgres-default@3`.
    pub definition: String,
    /// How far it is.
    pub phase: InstancePhase,
    /// Since when the server behind it cannot be asked whether it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub unreachable: Option<Timestamp>,
    /// For people: `database tp_dev_notes_db on 127.0.0.1:5432`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Workloads that use it. Empty: kept because it holds data.
    pub used_by: Vec<String>,
    /// Whether it holds data.
    pub holds_data: bool,
}

/// A route in an [`EnvironmentSummary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteSummary {
    /// The address: `http://notes.dev.localhost:7080/`.
    pub url: String,
    /// The workload that it leads to.
    pub workload: String,
}

/// What workloads ask for: containers that name no request count with their limit, and those that name neither, where
/// a quota bounds them, with their default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComputeSummary {
    /// CPU in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Containers that name neither request nor limit.
    pub unbounded_containers: usize,
}
