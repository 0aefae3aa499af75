//! What the HTTP API of delivery takes and gives, beside the resources themselves (which travel as
//! [`kernel::Document`]). Shared by the routes and by the client; no I/O.
//!
//! Requests refuse fields that they do not know. Answers may grow: a client ignores what it does
//! not know.

mod deployments;
mod environments;
mod shields;
mod summary;

use std::collections::BTreeMap;

pub use kernel::{Applied, ApplyOutcome};
use kernel::{Error, Problem, Result, http::PageQuery};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    deployments::{CreateEnvironment, EnvironmentStep, NewDeployment, PlanAnswer, Rollback},
    environments::{End, EnvironmentChange, PinQuery, PinSummary},
    shields::{
        DifferenceQuery, PolicyDecision, RenderedContainer, RenderedFile, RenderedMount,
        RenderedRelease, RevisionDifference,
    },
    summary::{ComputeSummary, EnvironmentSummary, ResourceSummary, RouteSummary, WorkloadSummary},
};
use crate::model::{Graph, InstancePhase};

/// `POST environments`: makes an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewEnvironment {
    /// Its name: a DNS label, part of its workloads' hosts.
    pub name: String,
    /// The role, by name. Where it is not given: `ephemeral` with a time to live, else the role that
    /// has the environment's name, else `dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The team that it belongs to; the default team where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// In so many seconds everything in it is removed, data too. The role's own where it is not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// The environment whose resource definitions hold here, at the revisions that they have now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_from: Option<String>,
    /// The engine that runs its workloads; the platform's default where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// For selection, and for the criteria of resource definitions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What a deletion does with what holds data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    /// It stays, and is found again by a later deployment.
    #[default]
    Keep,
    /// It goes, for ever.
    Remove,
}

/// The query of a `DELETE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removal {
    /// What happens to databases, buckets, volumes and queues.
    #[serde(default)]
    pub data: Data,
}

/// The query of every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListQuery {
    /// The cursor that the page before gave as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items on the page at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those with all of these labels: `KEY=VALUE`, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl From<PageQuery> for ListQuery {
    fn from(page: PageQuery) -> Self {
        Self {
            after: page.after,
            limit: page.limit,
            label: None,
        }
    }
}

impl ListQuery {
    /// The labels, taken apart.
    pub fn labels(&self) -> Result<BTreeMap<String, String>> {
        let Some(text) = self.label.as_deref() else {
            return Ok(BTreeMap::new());
        };
        text.split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
                _ => Err(Error::problems(
                    "the query is not valid",
                    vec![
                        Problem::new("api/label", "label", format!("`{pair}` is not KEY=VALUE"))
                            .remedy("write label=team=shop, several separated by commas"),
                    ],
                )),
            })
            .collect()
    }

    /// The same as the store's query.
    pub fn query(&self, scope: Option<String>) -> Result<kernel::Query> {
        Ok(kernel::Query {
            scope,
            labels: self.labels()?,
            after: self.after.clone(),
            limit: self.limit.unwrap_or(0),
        })
    }
}

/// `POST apply`: documents of apiVersion `towpath.dev/v1`, applied together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyRequest {
    /// The documents, as objects with `apiVersion`, `kind`, `metadata` and `spec`.
    #[schema(value_type = Vec<Object>)]
    pub documents: Vec<Value>,
}

/// What became of each document, in the order of the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyAnswer {
    /// One for each document.
    pub items: Vec<Applied>,
}

/// What the deletion of a resource definition leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionDeleted {
    /// Resources that were made with it, as `ENVIRONMENT/NAME`: they stay as they are, on the revision
    /// that was accepted last.
    pub in_use: Vec<String>,
    /// Whether it came with the platform. It does not return by itself.
    pub built_in: bool,
}

/// The query of a workload's logs. With `follow` the answer is a stream of server-sent events, each
/// with a [`LogLine`](crate::engine::LogLine) as its data; else a JSON list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogParams {
    /// Only this container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Only this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// Begin with the last so many lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<usize>,
    /// Go on as lines come.
    #[serde(default)]
    pub follow: bool,
}

/// The query of a resource's outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OutputsQuery {
    /// The secret output whose value is asked for, by name. Recorded as an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal: Option<String>,
}

/// `GET .../resources/{name}/outputs`: what the resource gives to those who use it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceOutputs {
    /// Plain outputs.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub outputs: BTreeMap<String, Value>,
    /// Names of secret outputs.
    pub secrets: Vec<String>,
    /// The secret that was asked for by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revealed: BTreeMap<String, String>,
}

impl std::fmt::Debug for ResourceOutputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceOutputs")
            .field("outputs", &self.outputs)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

/// `GET environments/{env}/graph`: what its workloads need, and how far it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphAnswer {
    /// The graph of all workloads of the environment.
    pub graph: Graph,
    /// How far each node is, by its id; a node that is missing here has not been begun.
    pub phases: BTreeMap<String, InstancePhase>,
}

/// `POST explain`: which definition meets a resource, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplainRequest {
    /// The environment.
    pub environment: String,
    /// The resource type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The workload that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The class; `default` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Annotations of the resource, on top of the environment's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `GET policies`: the source of every policy that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyList {
    /// The policies, by name.
    pub items: Vec<PolicySource>,
}

/// A policy as it is evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySource {
    /// Its name.
    pub name: String,
    /// Its Rego source.
    pub source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_taken_apart() {
        let list = |label: &str| ListQuery {
            label: Some(label.into()),
            ..ListQuery::default()
        };
        let expected = BTreeMap::from([
            ("a".to_owned(), "1=2".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        assert_eq!(list("a=1=2, b=,").labels().unwrap(), expected);
        assert!(list("novalue").labels().unwrap_err().remedy.is_none());
        assert_eq!(
            list("=x").labels().unwrap_err().problems[0].rule,
            "api/label"
        );
    }

    #[test]
    fn requests_refuse_unknown_fields() {
        let error = serde_json::from_str::<NewDeployment>(r#"{"workloads":{},"acept":[]}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `acept`"), "{error}");
    }

    #[test]
    fn a_revealed_secret_is_not_in_debug_output() {
        let outputs = ResourceOutputs {
            revealed: BTreeMap::from([("password".into(), "canary".into())]),
            ..ResourceOutputs::default()
        };
        assert!(!format!("{outputs:?}").contains("canary"));
    }
}
