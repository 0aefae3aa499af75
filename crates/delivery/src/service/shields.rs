//! No shields: what the platform shows of its own work.

use kernel::{Caller, Error, Kind as _, Meta, Resource, Result};
use serde_json::{Value, json};

use super::{Delivery, access::Seen as _, outputs};
use crate::{
    api::{DifferenceQuery, PolicyDecision, RenderedRelease, RevisionDifference},
    definition,
    engine::{Release, ReleaseRef},
    model::{Deployment, Environment, ResourceDefinition, ResourceDefinitionRevision, Workload},
    provisioner::Output,
    score::{self, placeholder::join_path},
};

/// What the engine is handed is not known yet: it waits for this.
pub(crate) type Waits = String;

impl Delivery {
    /// One revision of a definition.
    ///
    /// # Errors
    /// `NotFound` where there never was one, or the caller may not see it.
    pub async fn definition_revision_show(
        &self,
        caller: &Caller,
        name: &str,
        revision: u64,
    ) -> Result<Resource<ResourceDefinitionRevision>> {
        let called = format!("r{revision}");
        let missing = || {
            Error::not_found(format!(
                "revision {revision} of resource definition `{name}`"
            ))
            .remedy(format!(
                "see which there are: `towpath get revisions {name}`"
            ))
        };
        let target = kernel::Target {
            kind: ResourceDefinitionRevision::KIND,
            scope: name,
            name: &called,
            ..kernel::Target::default()
        };
        if !self
            .guard
            .allows(caller, ResourceDefinitionRevision::READ, &target)
        {
            return Err(missing());
        }
        let found = self.store.get(name, &called).await?;
        found.ok_or_else(missing)
    }

    /// What one revision of a definition says otherwise than another; the last change where the query does
    /// not say which.
    ///
    /// # Errors
    /// `NotFound` where a revision never was, or the caller may not see it; `Invalid` where there is none
    /// before the first.
    pub async fn definition_difference(
        &self,
        caller: &Caller,
        name: &str,
        query: DifferenceQuery,
    ) -> Result<RevisionDifference> {
        let to = if let Some(to) = query.to {
            to
        } else {
            let newest = self.show_shared::<ResourceDefinition>(caller, name).await?;
            newest.typed::<ResourceDefinition>()?.status.revision
        };
        let from = match query.from {
            Some(from) => from,
            None if to > 1 => to - 1,
            None => {
                return Err(Error::invalid(format!(
                    "there is no revision before revision {to} of resource definition `{name}`"
                ))
                .remedy(format!(
                    "say which two are compared, once there are two: `towpath diff definition {name} FROM TO` \
                     (`from=FROM&to=TO`)"
                )));
            }
        };
        let earlier = self.definition_revision_show(caller, name, from).await?;
        let later = self.definition_revision_show(caller, name, to).await?;
        Ok(RevisionDifference {
            definition: name.into(),
            from,
            to,
            changes: definition::difference(&earlier.spec, &later.spec),
        })
    }

    /// What policy decided over when a deployment was asked for, and what it said.
    ///
    /// # Errors
    /// `NotFound` where there is no such deployment, or the caller may not see it.
    pub async fn deployment_decision(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<PolicyDecision> {
        let found = self
            .show_in::<Deployment>(caller, environment, name)
            .await?;
        let spec = found.typed::<Deployment>()?.spec;
        let mut input = spec.policy_context;
        if let Some(fields) = input.as_object_mut() {
            let engine = fields
                .get("environment")
                .and_then(|environment| environment.get("engine")?.as_str());
            // One that is not here any more cannot say: policy then sees more, not less.
            let engine = engine.and_then(|name| self.engine(name).ok());
            let runs_images = engine.is_none_or(|engine| engine.runs_images());
            let workloads = seen_by_policy(&spec.workloads, runs_images)?;
            fields.insert("workloads".into(), workloads);
            let plan = serde_json::to_value(&spec.plan)
                .map_err(|e| Error::internal("a plan could not be serialized", e))?;
            fields.insert("plan".into(), plan);
        }
        Ok(PolicyDecision {
            input,
            decision: spec.decision,
        })
    }

    /// What the engine is handed of a workload: everything resolved, and no secret shown.
    ///
    /// # Errors
    /// `NotFound` where there is no such workload, or the caller may not see it; `Conflict` while something
    /// that it uses is not there yet.
    pub async fn workload_release(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<RenderedRelease> {
        let found = self.show_in::<Workload>(caller, environment, name).await?;
        let workload = found.typed::<Workload>()?;
        let inputs = self.inputs_of(&workload).await?;
        let waits = |waits: Waits| {
            Error::conflict(format!(
                "what workload `{name}` is handed is not known yet: {waits}"
            ))
            .remedy("wait until it is there; `towpath status` says how far it is")
        };
        let inputs = match inputs {
            outputs::Inputs::Ready(inputs) => inputs,
            outputs::Inputs::Waiting(names) => {
                return Err(waits(format!("it waits for {}", names.join("; "))));
            }
        };
        // Resolved as for the engine, with a word in the place of each secret.
        let lookup = |resource: &str, path: &[&str]| match inputs.get(resource, path)? {
            Output::Secret(_) => {
                let names = ["resources", resource].into_iter();
                let reference = join_path(names.chain(path.iter().copied()));
                Some(Output::Plain(json!(format!("(secret ${{{reference}}})"))))
            }
            plain @ Output::Plain(_) => Some(plain),
        };
        let release = self
            .release_with(&workload, &inputs, &lookup)
            .map_err(waits)?;
        let engine = self.store.expect::<Environment>("", environment).await?;
        let engine = engine.spec.engine;
        Ok(RenderedRelease::of(
            release,
            &workload.spec.deployment,
            &engine,
        ))
    }

    /// What the resources of a workload give to it, by the names that its description has for them.
    pub(crate) async fn inputs_of(&self, workload: &Resource<Workload>) -> Result<outputs::Inputs> {
        let Resource { meta, spec, .. } = workload;
        let deployment = self
            .store
            .expect::<Deployment>(&meta.scope, &spec.deployment)
            .await?;
        let graph = deployment.spec.graph;
        let names = graph.workloads.get(&meta.name).cloned().unwrap_or_default();
        let nodes = graph.needed_by(&meta.name);
        outputs::of_nodes(&self.store, &meta.scope, &nodes, &names).await
    }

    /// The release in the spec of a workload, resolved by `lookup`; else what it waits for.
    pub(crate) fn release_with(
        &self,
        workload: &Resource<Workload>,
        inputs: &outputs::Resolved,
        lookup: &score::Lookup<'_>,
    ) -> std::result::Result<Release, Waits> {
        let id = ReleaseRef {
            environment: workload.meta.scope.clone(),
            workload: workload.meta.name.clone(),
            release: workload.spec.release,
        };
        let team = workload.meta.labels.get(Meta::TEAM).cloned();
        let of = (id, team.unwrap_or_default());
        let reaches = inputs.reaches.clone();
        let score = &workload.spec.score;
        score::release(score, of, reaches, lookup, self.digest_key()).map_err(|problems| {
            let all: Vec<_> = problems.into_iter().map(|p| p.message).collect();
            all.join("; ")
        })
    }
}

/// Workloads as policy sees them: which variables and files there are, not what is in them. Where the engine does
/// not run images, a container with a command of its own is marked: nothing of its image is used.
pub(super) fn seen_by_policy(
    workloads: &std::collections::BTreeMap<String, score::Workload>,
    runs_images: bool,
) -> Result<Value> {
    let mut seen = serde_json::to_value(workloads)
        .map_err(|e| Error::internal("workloads could not be serialized", e))?;
    hide_values(&mut seen);
    for (name, workload) in workloads.iter().filter(|_| !runs_images) {
        let with_commands = workload.containers.iter();
        for (container, _) in with_commands.filter(|(_, it)| !it.command.is_empty()) {
            seen[name]["containers"][container]["imageUnused"] = Value::Bool(true);
        }
    }
    Ok(seen)
}

/// Policy sees which variables and files there are, not what is in them.
fn hide_values(workloads: &mut Value) {
    let containers = workloads
        .as_object_mut()
        .into_iter()
        .flat_map(|all| all.values_mut())
        .filter_map(|workload| workload.get_mut("containers")?.as_object_mut())
        .flat_map(|all| all.values_mut());
    for container in containers {
        for value in container
            .get_mut("variables")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            *value.1 = Value::Null;
        }
        for file in container
            .get_mut("files")
            .and_then(Value::as_object_mut)
            .into_iter()
            .flatten()
        {
            if let Some(fields) = file.1.as_object_mut() {
                fields.remove("content");
                fields.remove("binaryContent");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_beside_a_command_is_unused_where_images_are_not_run() {
        let workload = serde_json::from_value(json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "shop" },
            "containers": {
                "web": { "image": "python3", "command": ["python3", "server.py"] },
                "side": { "image": "/bin/side" },
            },
        }));
        let workload: score::Workload = workload.expect("it is a workload");
        let workloads = [("shop".to_owned(), workload)].into();
        for (runs_images, unused) in [(false, json!(true)), (true, Value::Null)] {
            let seen = seen_by_policy(&workloads, runs_images).expect("it is JSON");
            let containers = &seen["shop"]["containers"];
            assert_eq!(containers["web"]["imageUnused"], unused);
            assert_eq!(containers["side"]["imageUnused"], Value::Null);
        }
    }
}
