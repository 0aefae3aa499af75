//! Deployments: the record of a change of what runs. Never changed once written; its status is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Graph, RouteSpec};
use crate::{plan::Plan, score, verify::Decision};

/// A deployment. Scope: the environment; name: `d-<number>`.
#[derive(Debug)]
pub enum Deployment {}

impl Kind for Deployment {
    const KIND: &'static str = "Deployment";
    type Spec = DeploymentSpec;
    type Status = DeploymentStatus;

    fn listed_by(scope: &str) -> Option<String> {
        Some(format!("towpath get deployments --env {scope}"))
    }
}

/// What was asked for, and how it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeploymentSpec {
    /// The workloads that it sets.
    pub workloads: BTreeMap<String, score::Workload>,
    /// The release that each gets.
    pub releases: BTreeMap<String, u64>,
    /// The graph of these workloads, with the revisions that were used.
    pub graph: Graph,
    /// The difference from what ran.
    pub plan: Plan,
    /// What policy said.
    pub decision: Decision,
    /// Who asked, and the environment, as policy saw them: with the workloads and the plan they are what it
    /// decided over. Null of a deployment of before this was kept.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub policy_context: Value,
    /// The routes that it claims, by name.
    pub claims: BTreeMap<String, RouteSpec>,
    /// Who asked.
    pub requested_by: String,
    /// Joins its events.
    pub correlation: Uuid,
    /// Why, in the caller's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The deployment that it returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<String>,
    /// How long its workloads have to get ready, resources included.
    pub timeout_seconds: u64,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentPhase {
    /// Written; nothing made yet.
    #[default]
    Pending,
    /// Resources are being made.
    Creating,
    /// Workloads are being handed to the engine.
    Deploying,
    /// Waiting until they are ready.
    Observing,
    /// It did not get ready; waiting until the last good release serves again.
    RollingBack,
    /// Everything is ready.
    Succeeded,
    /// It did not get ready, and no last good release serves: there was none, or the return failed too.
    Failed,
    /// It did not get ready; the last good release serves.
    RolledBack,
    /// A later deployment took its place before it was done.
    Superseded,
}

impl DeploymentPhase {
    /// Whether it will not change again.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::RolledBack | Self::Superseded
        )
    }

    /// Whether all of it worked: what may be returned to.
    pub fn is_good(self) -> bool {
        self == Self::Succeeded
    }

    /// Whether `next` may follow: forwards one or more steps, and from any open phase to an end.
    pub fn may_become(self, next: Self) -> bool {
        !self.is_final() && (next.is_final() || (next as u8) >= (self as u8))
    }
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// How far.
    pub phase: DeploymentPhase,
    /// When it began to be worked on; the deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub finished: Option<Timestamp>,
    /// What it is waiting for now, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_for: Vec<String>,
    /// The one place of the diagnosis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Its return, while that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning: Option<Returning>,
}

impl DeploymentStatus {
    /// For people, of a deployment: `d-3 failed`.
    pub fn how_it_went(&self) -> &'static str {
        use DeploymentPhase as P;
        match self.phase {
            P::Pending | P::Creating | P::Deploying | P::Observing => "is not done yet",
            P::Succeeded => "succeeded",
            P::Failed | P::RollingBack | P::RolledBack => "failed",
            P::Superseded if self.failure.is_some() => "failed, and gave way to a later one",
            P::Superseded => "gave way to a later one before it was ready",
        }
    }
}

/// A return to the last good releases that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Returning {
    /// When it began; its deadline, as long as the deployment's own, counts from here.
    #[schema(value_type = String)]
    pub started: Timestamp,
    /// The deployment that each workload returns to.
    pub workloads: BTreeMap<String, String>,
}

/// Why a deployment failed: step, resource, the server's own words, the log, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// `create`, `deploy` or `observe`.
    pub step: String,
    /// The workload or resource that did it.
    pub subject: String,
    /// In the server's, or the system's, own words.
    pub message: String,
    /// The last lines of its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The deployment that its workloads were returned to, to serve in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_to: Option<String>,
    /// The workloads that had to be brought back to it: the last good release did not serve them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brought_back: Vec<String>,
    /// Why it does not serve all the same, where the return failed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_failure: Option<String>,
}
