//! The resource graph of a deployment: what is needed, met by which definition, in which order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A resource graph: deterministic, acyclic. Nodes by [`NodeId`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Graph {
    /// The nodes, by their id as text.
    #[schema(value_type = BTreeMap<String, Node>)]
    pub nodes: BTreeMap<NodeId, Node>,
    /// For each workload, what its resource names stand for.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, String>>)]
    pub workloads: BTreeMap<String, BTreeMap<String, NodeId>>,
}

impl Graph {
    /// Everything that `workload` needs, directly or through others, sorted.
    pub fn needed_by(&self, workload: &str) -> Vec<NodeId> {
        let mut needed = std::collections::BTreeSet::new();
        let mut open: Vec<&NodeId> = self
            .workloads
            .get(workload)
            .into_iter()
            .flat_map(BTreeMap::values)
            .collect();
        while let Some(id) = open.pop() {
            if !needed.insert(id.clone()) {
                continue;
            }
            if let Some(node) = self.nodes.get(id) {
                open.extend(&node.depends_on);
                open.extend(node.aliases.values());
            }
            // What was made along with it is needed as it is, though nothing refers to it.
            let asker = id.to_string();
            let along = self
                .nodes
                .iter()
                .filter(|(_, other)| other.asked_by.contains(&asker));
            open.extend(along.map(|(other, _)| other));
        }
        needed.into_iter().collect()
    }
}

/// What identifies a resource within an environment: `postgres.default#notes.db`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    /// The type.
    pub resource_type: String,
    /// The class.
    pub class: String,
    /// The id: `WORKLOAD.NAME` for what belongs to one workload.
    pub id: String,
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}#{}", self.resource_type, self.class, self.id)
    }
}

impl From<NodeId> for String {
    fn from(id: NodeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for NodeId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let shape = || format!("`{text}` is not of the shape TYPE.CLASS#ID");
        let (front, id) = text.split_once('#').ok_or_else(shape)?;
        let (resource_type, class) = front.split_once('.').ok_or_else(shape)?;
        Ok(Self {
            resource_type: resource_type.into(),
            class: class.into(),
            id: id.into(),
        })
    }
}

/// A resource in the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The definition that meets it, and its revision.
    pub definition: DefinitionRef,
    /// The provisioner that makes it.
    pub provisioner: String,
    /// Its parameters. `${context.*}` and `${params.*}` are resolved; `${resources.ALIAS.*}` stands
    /// until the resource behind the alias is made.
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// What its aliases stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub aliases: BTreeMap<String, NodeId>,
    /// What must be made before it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub depends_on: Vec<NodeId>,
    /// Who asked for it, sorted: `notes.resources.db`, or the id of another node.
    pub asked_by: Vec<String>,
    /// The workload that it belongs to; none where it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Whether it holds data.
    #[serde(default)]
    pub holds_data: bool,
}

/// A revision of a definition: `postgres-default@3`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionRef {
    /// The definition.
    pub name: String,
    /// The revision, from 1.
    pub revision: u64,
}

impl std::fmt::Display for DefinitionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.revision)
    }
}
