//! Resource definitions: how the platform meets a need, in a context. Data, applied by people.

use std::collections::BTreeMap;

use kernel::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How the platform meets a need, in a context: the newest revision. Scope: the platform.
#[derive(Debug)]
pub enum ResourceDefinition {}

impl Kind for ResourceDefinition {
    const KIND: &'static str = "ResourceDefinition";
    type Spec = ResourceDefinitionSpec;
    type Status = ResourceDefinitionStatus;

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath get resource-definitions".into())
    }
}

/// One immutable revision of a definition. Scope: the definition's name; name: `r<revision>`.
#[derive(Debug)]
pub enum ResourceDefinitionRevision {}

impl Kind for ResourceDefinitionRevision {
    const KIND: &'static str = "ResourceDefinitionRevision";
    type Spec = ResourceDefinitionSpec;
    type Status = ();
}

/// What a definition says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceDefinitionSpec {
    /// The resource type that it meets: `postgres`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The provisioner that makes it: `postgres`, `template`, `command` ...
    pub provisioner: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where people learn to use what it makes: a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learn: Option<String>,
    /// The contexts that it is for: any of these. Empty: every context, at the lowest specificity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Criterion>,
    /// Parameters of the provisioner. Placeholders: `${context.*}`, `${params.*}` (of the asker),
    /// `${resources.ALIAS.OUTPUT}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// Further resources that it needs, by alias: made before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Dependency>,
    /// Resources made along with it that nobody asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub coprovision: Vec<CoProvision>,
    /// The names of its outputs, where the provisioner cannot tell before it has made them: a
    /// placeholder for another one is then refused with the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Whether it holds data; the provisioner's own word where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_data: Option<bool>,
}

/// A context: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Criterion {
    /// The resource's class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The resource's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The environment's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The environment's team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The workload that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Labels of the environment and annotations of the resource: all of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A resource that a definition asks for. `@` in `class` or `id` stands for the asker's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dependency {
    /// The type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The class; `default` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The id; where it is not given, one that belongs to the asker alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Parameters, with the placeholders of the definition.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
}

/// A resource made along with another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CoProvision {
    /// What to make.
    #[serde(flatten)]
    pub resource: Dependency,
    /// When: after its parent (it needs the outputs, as `${resources.parent.*}`), or beside it
    /// (whoever waits for the parent waits for it too).
    #[serde(default)]
    pub order: CoProvisionOrder,
}

/// When a co-provisioned resource is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CoProvisionOrder {
    /// After its parent.
    #[default]
    After,
    /// Beside its parent.
    Beside,
}

/// Which revision is the newest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDefinitionStatus {
    /// The newest revision, from 1.
    pub revision: u64,
    /// Whether it came with the platform.
    #[serde(default)]
    pub built_in: bool,
}
