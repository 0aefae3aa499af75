//! Resource instances: what was, or is to be, made for a node of the graph.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use kernel::{Kind, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{DefinitionRef, NodeId};

/// The resource types of whose data `towpath resource dump` keeps a copy.
pub const DUMPED: [&str; 4] = ["postgres", "mysql", "volume", "s3"];

/// The rotation of an instance that is new.
pub const FIRST_ROTATION: u32 = 1;

/// One resource of an environment. Scope: the environment; name: [`instance_name`].
#[derive(Debug)]
pub enum ResourceInstance {}

impl Kind for ResourceInstance {
    const KIND: &'static str = "ResourceInstance";
    type Spec = ResourceInstanceSpec;
    type Status = ResourceInstanceStatus;

    fn noun() -> String {
        "resource".into()
    }

    fn listed_by(scope: &str) -> Option<String> {
        Some(format!("towpath resource list --env {scope}"))
    }
}

/// What an instance should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceInstanceSpec {
    /// What it is in the graph.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The accepted definition and its revision.
    pub definition: DefinitionRef,
    /// The provisioner.
    pub provisioner: String,
    /// Parameters; `${resources.ALIAS.*}` unresolved.
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// What the aliases stand for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub aliases: BTreeMap<String, NodeId>,
    /// Made before it; removed after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub depends_on: Vec<NodeId>,
    /// The workload that it belongs to; none where it is shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Whether it holds data.
    #[serde(default)]
    pub holds_data: bool,
    /// Counts up with each rotation of its credentials, from 1.
    pub rotation: u32,
    /// Counts up with each accepted replacement: what was made before is removed, then made anew.
    #[serde(default)]
    pub replacements: u32,
    /// Joins the events of its making: the deployment's that last changed it.
    pub correlation: Uuid,
    /// The environment's team.
    pub team: String,
    /// The environment's role.
    pub role: String,
}

/// How far an instance is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstancePhase {
    /// Waits for what it depends on, or for its turn.
    #[default]
    Pending,
    /// As the spec says.
    Ready,
    /// The last try failed; tried again with back-off.
    Retrying,
    /// Trying again will not help.
    Failed,
    /// Being removed.
    Removing,
}

/// What an instance is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInstanceStatus {
    /// How far.
    pub phase: InstancePhase,
    /// Workloads that need it, sorted: recorded with each deployment, struck out when a later one
    /// has succeeded without it. Empty: unused, kept because it holds data.
    #[serde(default)]
    pub used_by: Vec<String>,
    /// The generation that the phase speaks of.
    pub observed_generation: i64,
    /// Plain outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub outputs: BTreeMap<String, Value>,
    /// Names of sealed outputs: in the store under the instance's uid, as `output/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_outputs: Vec<String>,
    /// Changes with any output, sealed ones too (a keyed digest): what dependents compare.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outputs_digest: String,
    /// What the provisioner wants to know next time.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub state: Value,
    /// The server on this machine's loopback behind it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub listens: Option<SocketAddr>,
    /// For people: `database tp_dev_notes_db on 127.0.0.1:5432`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The provisioner that made what is there; empty: nothing was made yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub made_by: String,
    /// Who made what is there, and from what. None: nothing was made yet, or before this was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Making>,
    /// What was begun beside, the oldest first, recorded before it is asked for: some of it may be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Making>,
    /// The replacement that what is there belongs to.
    #[serde(default)]
    pub replacements: u32,
    /// The rotation whose credentials the outputs carry.
    #[serde(default)]
    pub rotation: u32,
    /// The oldest rotation whose credentials may still work.
    #[serde(default)]
    pub oldest_rotation: u32,
    /// What went wrong last, in the server's own words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What was told of a route that it claims and does not have; empty where it has what it claims.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route_lost: String,
    /// Tries since the last success. Counted without an event: only what is new has one.
    #[serde(default)]
    pub attempts: u32,
    /// Since when its removal fails, where it was tried and did: only then may it be given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub removal_fails: Option<Timestamp>,
    /// The digest of the outputs of others that its parameters were resolved with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inputs_digest: String,
    /// When it is tried again, after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_try: Option<Timestamp>,
    /// Somebody removed it by hand, and it is to be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vanished: bool,
    /// Since when the server behind it cannot be asked whether it is there. It stays what it was,
    /// ready as a rule, and is asked again with back-off; `message` has the server's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub unreachable: Option<Timestamp>,
    /// When it was last seen to be there, give or take a few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub seen: Option<Timestamp>,
}

/// Who was asked to make an instance, and from what: nobody else can remove it, and from nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Making {
    /// The provisioner.
    pub provisioner: String,
    /// Its parameters; `${resources.ALIAS.*}` unresolved.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub params: Map<String, Value>,
    /// What the aliases stood for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub aliases: BTreeMap<String, NodeId>,
    /// The replacement that it belongs to.
    #[serde(default)]
    pub replacements: u32,
}

impl Making {
    /// As `spec` says.
    pub fn of(spec: &ResourceInstanceSpec) -> Self {
        Self {
            provisioner: spec.provisioner.clone(),
            params: spec.params.clone(),
            aliases: spec.aliases.clone(),
            replacements: spec.replacements,
        }
    }

    /// Whether what `spec` asks for changes this in place. Else it takes its place.
    pub fn is_changed_by(&self, spec: &ResourceInstanceSpec) -> bool {
        self.provisioner == spec.provisioner && self.replacements == spec.replacements
    }

    /// Whether one of the two changes the other in place.
    pub fn is_one_with(&self, other: &Self) -> bool {
        self.provisioner == other.provisioner && self.replacements == other.replacements
    }
}

/// How what is there of `instance` was made; none where it never was. Where it is not recorded, the spec says it.
pub fn made(instance: &Resource<ResourceInstance>) -> Option<Making> {
    let Resource { spec, status, .. } = instance;
    let unrecorded = || Making {
        provisioner: status.made_by.clone(),
        replacements: status.replacements,
        ..Making::of(spec)
    };
    let is_made = !status.made_by.is_empty();
    status.made.clone().or_else(|| is_made.then(unrecorded))
}

/// How what may be there of `instance` was made: what is there, then what was begun beside. Where nothing is
/// recorded, its spec says it.
pub fn makings(instance: &Resource<ResourceInstance>) -> Vec<Making> {
    let mut all = Vec::new();
    for making in made(instance)
        .into_iter()
        .chain(instance.status.begun.clone())
    {
        if !all.contains(&making) {
            all.push(making);
        }
    }
    if all.is_empty() {
        all.push(Making::of(&instance.spec));
    }
    all
}

/// Writes down how `instance` was made, where that was before it was recorded: to be called before its spec changes.
pub fn record_making(instance: &mut Resource<ResourceInstance>) {
    let Resource { meta, spec, status } = instance;
    let is_unrecorded = status.made.is_none() && !status.made_by.is_empty();
    if is_unrecorded
        && status.phase == InstancePhase::Ready
        && status.observed_generation == meta.generation
    {
        status.made = Some(Making::of(spec));
    }
}

/// The name of the instance of `node`: `postgres-default-notes-db`, with a digest where the plain
/// form would not be a name or not be unique.
pub fn instance_name(node: &NodeId) -> String {
    use sha2::{Digest, Sha256};
    let plain = format!("{}-{}-{}", node.resource_type, node.class, node.id);
    let digest = kernel::bytes::hex(&Sha256::digest(node.to_string())[..4]);
    let mut name: String = plain
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .take(kernel::Name::MAX - 9)
        .collect();
    name.push('-');
    name.push_str(&digest);
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nothing_is_recorded_of_is_known_by_its_maker_and_its_spec() {
        let spec = json!({
            "node": "thing.default#web.thing",
            "definition": { "name": "thing", "revision": 2 },
            "provisioner": "two", "params": { "room": 3 }, "rotation": 1, "replacements": 1,
            "correlation": Uuid::nil(), "team": "default", "role": "dev",
        });
        let spec = serde_json::from_value(spec).expect("a spec");
        let mut thing = Resource::<ResourceInstance>::new("dev", "thing", spec);
        let by_spec = Making::of(&thing.spec);
        assert_eq!(makings(&thing), std::slice::from_ref(&by_spec));

        thing.status.made_by = "one".into();
        let by_one = Making {
            provisioner: "one".into(),
            replacements: 0,
            ..by_spec
        };
        assert!(!by_one.is_changed_by(&thing.spec));
        assert_eq!(makings(&thing), [by_one]);
    }
}
