//! Outputs of instances, sealed ones included: read here, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use kernel::{Resource, Result, Secret, Store, bytes::hex};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    definition::as_written,
    model::{InstancePhase, NodeId, ResourceInstance, instance_name},
    provisioner::Output,
    score::{
        output_at,
        placeholder::{self, Reference},
    },
};

/// The name of the sealed seed of an instance.
pub const SEED: &str = "seed";

/// The name under which a secret output is sealed.
pub fn sealed_name(output: &str) -> String {
    format!("output/{output}")
}

/// The seed of an instance: sealed in the transaction that made it.
pub async fn seed(store: &Store, uid: Uuid) -> Result<Secret> {
    store.secret(uid, SEED).await?.ok_or_else(|| {
        kernel::Error::internal("an instance has no seed", format!("instance {uid}"))
    })
}

/// A digest of `outputs`, keyed so that it reveals nothing of the secret ones.
pub fn digest(seed: &Secret, outputs: &BTreeMap<String, Output>) -> String {
    let mut hash = Sha256::new();
    hash.update(seed.derive("towpath outputs digest", 32).expose());
    for (name, output) in outputs {
        let (mark, bytes) = match output {
            Output::Plain(value) => (0u8, value.to_string().into_bytes()),
            Output::Secret(secret) => (1u8, secret.expose().to_vec()),
        };
        hash.update([mark]);
        for part in [name.as_bytes(), &bytes] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    hex(&hash.finalize())
}

/// What other instances give to one that depends on them.
pub enum Inputs {
    /// All are there.
    Ready(Resolved),
    /// These are not, each with its reason.
    Waiting(Vec<String>),
}

/// Outputs by alias or resource name.
#[derive(Debug, Default)]
pub struct Resolved {
    outputs: BTreeMap<String, BTreeMap<String, Output>>,
    digests: BTreeMap<NodeId, String>,
    /// Servers on this machine's loopback behind them.
    pub reaches: Vec<SocketAddr>,
}

impl Resolved {
    /// Changes with any of the outputs.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (node, digest) in &self.digests {
            hash.update(format!("{node}={digest}\n"));
        }
        hex(&hash.finalize())
    }

    /// One output of what `alias` stands for; `path` may lead into a structured output.
    pub fn get(&self, alias: &str, path: &[&str]) -> Option<Output> {
        output_at(self.outputs.get(alias)?, path)
    }

    /// The secret outputs.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        (self.outputs.values().flat_map(BTreeMap::values)).filter_map(|output| match output {
            Output::Secret(secret) => Some(secret),
            Output::Plain(_) => None,
        })
    }

    /// `params` with every `${resources.ALIAS.OUTPUT}` in place. The error says which is missing.
    pub fn params(&self, params: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut lookup = |reference: &Reference| self.lookup(reference);
        placeholder::expand_map(params, &mut lookup)
            .map(|(params, _)| params)
            .map_err(|error| as_written(&error.to_string()))
    }

    /// The same as far as it is known; what is not stays as it stands. For a removal, which must not
    /// wait for what is being removed along with it.
    pub fn params_as_known(&self, params: &Map<String, Value>) -> Map<String, Value> {
        let mut known = Map::new();
        for (name, value) in params {
            let mut lookup = |reference: &Reference| self.lookup(reference);
            let value = match placeholder::expand_value(value, &mut lookup) {
                Ok(resolved) => resolved.value,
                Err(_) => value.clone(),
            };
            known.insert(name.clone(), value);
        }
        known
    }

    fn lookup(&self, reference: &Reference) -> Result<placeholder::Resolved, String> {
        let names = reference.names();
        let found = match names.as_slice() {
            ["resources", alias, path @ ..] => self.get(alias, path),
            _ => None,
        };
        match found {
            Some(Output::Plain(value)) => Ok(placeholder::Resolved::plain(value)),
            Some(Output::Secret(secret)) => {
                let text = String::from_utf8_lossy(secret.expose()).into_owned();
                Ok(placeholder::Resolved::secret(text))
            }
            None => Err("there is no such output".into()),
        }
    }
}

/// The outputs of what `instance` depends on.
pub async fn of_dependencies(
    store: &Store,
    instance: &Resource<ResourceInstance>,
) -> Result<Inputs> {
    let spec = &instance.spec;
    of_nodes(store, &instance.meta.scope, &spec.depends_on, &spec.aliases).await
}

/// The outputs of what `aliases` stand for in an environment, as they were last recorded, whatever has become of it.
pub async fn recorded(
    store: &Store,
    environment: &str,
    aliases: &BTreeMap<String, NodeId>,
) -> Result<Resolved> {
    let mut resolved = Resolved::default();
    for (alias, node) in aliases {
        let name = instance_name(node);
        let found = store.get::<ResourceInstance>(environment, &name).await?;
        if let Some(found) = found {
            resolved
                .outputs
                .insert(alias.clone(), of_instance(store, &found).await?);
        }
    }
    Ok(resolved)
}

/// The digest of the outputs that `instance` should be made with; none where one is not there.
async fn wanted_inputs(
    store: &Store,
    instance: &Resource<ResourceInstance>,
) -> Result<Option<String>> {
    let mut resolved = Resolved::default();
    for node in instance
        .spec
        .depends_on
        .iter()
        .chain(instance.spec.aliases.values())
    {
        let name = instance_name(node);
        let found = store
            .get::<ResourceInstance>(&instance.meta.scope, &name)
            .await?;
        let Some(found) = found else { return Ok(None) };
        resolved
            .digests
            .insert(node.clone(), found.status.outputs_digest);
    }
    Ok(Some(resolved.digest()))
}

/// The outputs of `nodes` of an environment, by the names that `aliases` gives them. Waits for every
/// node that is not as its spec says.
pub async fn of_nodes(
    store: &Store,
    environment: &str,
    nodes: &[NodeId],
    aliases: &BTreeMap<String, NodeId>,
) -> Result<Inputs> {
    let mut resolved = Resolved::default();
    let mut waiting = Vec::new();
    let mut by_node: BTreeMap<&NodeId, BTreeMap<String, Output>> = BTreeMap::new();
    let all: BTreeSet<&NodeId> = nodes.iter().chain(aliases.values()).collect();
    for node in all {
        let name = instance_name(node);
        let Some(instance) = store.get::<ResourceInstance>(environment, &name).await? else {
            waiting.push(format!("{node}, which does not exist"));
            continue;
        };
        if let Some(reason) = not_ready(&instance) {
            waiting.push(reason);
            continue;
        }
        if wanted_inputs(store, &instance).await?.as_ref() != Some(&instance.status.inputs_digest) {
            // What it was made with has changed: its own outputs are those of before.
            waiting.push(format!("{node}, which follows a change beneath it"));
            continue;
        }
        resolved
            .digests
            .insert(node.clone(), instance.status.outputs_digest.clone());
        resolved.reaches.extend(instance.status.listens);
        by_node.insert(node, of_instance(store, &instance).await?);
    }
    if !waiting.is_empty() {
        return Ok(Inputs::Waiting(waiting));
    }
    for (alias, node) in aliases {
        if let Some(outputs) = by_node.get(node) {
            resolved.outputs.insert(alias.clone(), outputs.clone());
        }
    }
    Ok(Inputs::Ready(resolved))
}

/// All outputs of one instance, secret ones opened.
pub async fn of_instance(
    store: &Store,
    instance: &Resource<ResourceInstance>,
) -> Result<BTreeMap<String, Output>> {
    let plain = instance.status.outputs.iter();
    let mut outputs: BTreeMap<_, _> = plain
        .map(|(name, value)| (name.clone(), Output::Plain(value.clone())))
        .collect();
    for name in &instance.status.secret_outputs {
        let sealed = store.secret(instance.meta.uid, &sealed_name(name)).await?;
        let secret = sealed.ok_or_else(|| {
            kernel::Error::internal(
                "a secret output is not in the store",
                format!("{} {name}", instance.key()),
            )
        })?;
        outputs.insert(name.clone(), Output::Secret(secret));
    }
    Ok(outputs)
}

/// Why an instance is not as its spec says; nothing where it is.
pub fn not_ready(instance: &Resource<ResourceInstance>) -> Option<String> {
    let Resource { meta, spec, status } = instance;
    let node = &spec.node;
    if instance.is_deleting() {
        return Some(format!("{node}, which is being removed"));
    }
    let current = status.observed_generation == meta.generation && status.rotation == spec.rotation;
    match status.phase {
        InstancePhase::Ready if current => None,
        InstancePhase::Retrying | InstancePhase::Failed => Some(match &status.remedy {
            Some(remedy) => format!("{node}: {} ({remedy})", status.message),
            None => format!("{node}: {}", status.message),
        }),
        _ => Some(node.to_string()),
    }
}
