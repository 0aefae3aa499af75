//! Resource definitions and roles: applied as data, kept as immutable revisions, explained.

use std::collections::BTreeMap;

use kernel::{
    Caller, Change, Error, ErrorKind, Kind, NewEvent, Outcome, Query, Resource, Result, anew,
    labels,
};
use serde_json::json;

use super::{
    Delivery,
    access::{
        DEFINITION_CHANGE, DEFINITION_DELETE, ENVIRONMENT_CHANGE, ENVIRONMENT_CREATE, ROLE_CHANGE,
        of_platform,
    },
    environments::Roles,
    plans::context_of,
};
use crate::{
    api::{Applied, ApplyOutcome, DefinitionDeleted, ExplainRequest, GraphAnswer, NewEnvironment},
    definition::{
        self, Applicable, Context, Explanation,
        document::{DocumentMeta, Envelope, EnvironmentFields},
    },
    model::{
        Deployment, Environment, EnvironmentRole, EnvironmentRoleSpec, Graph, ResourceDefinition,
        ResourceDefinitionRevision, ResourceDefinitionSpec, ResourceInstance, Workload,
    },
};

impl Delivery {
    /// Applies what comes with the platform: what people have changed since stays as they want it.
    pub async fn install_defaults(&self) -> Result<()> {
        let caller = Caller::system("defaults", uuid::Uuid::now_v7());
        // Another replica, or a person, may have been faster with one of them: the others are still missing.
        anew(|| async {
            let defaults = definition::defaults().into_iter();
            let defaults = defaults.map(|document| (String::new(), document)).collect();
            self.apply_all(&caller, defaults, true).await
        })
        .await
    }

    async fn apply_all(
        &self,
        caller: &Caller,
        documents: Vec<(String, Applicable)>,
        built_in: bool,
    ) -> Result<()> {
        let mut change = Change::new().by(caller);
        self.apply_into(&mut change, caller, documents, built_in)
            .await?;
        if !change.is_empty() {
            self.store.commit(change).await?;
        }
        Ok(())
    }

    pub(super) async fn apply_definition(
        &self,
        change: &mut Change,
        caller: &Caller,
        meta: DocumentMeta,
        spec: ResourceDefinitionSpec,
        built_in: bool,
    ) -> Result<Applied> {
        let name = meta.name.as_str();
        let target = of_platform::<ResourceDefinition>(name);
        self.guard
            .require(caller, DEFINITION_CHANGE, &target)
            .await?;
        labels::check(&meta.labels)?;
        let held = self.store.get::<ResourceDefinition>("", name).await?;
        let (outcome, revision) = match held {
            Some(held) if built_in && !held.status.built_in => {
                return Ok(applied::<ResourceDefinition>(
                    name,
                    ApplyOutcome::Unchanged,
                    Some(held.status.revision),
                ));
            }
            Some(held) if held.spec == spec && held.meta.labels == meta.labels => {
                return Ok(applied::<ResourceDefinition>(
                    name,
                    ApplyOutcome::Unchanged,
                    Some(held.status.revision),
                ));
            }
            Some(mut held) => {
                held.spec = spec.clone();
                held.meta.labels = meta.labels;
                held.status.revision += 1;
                held.status.built_in = built_in;
                change.spec(&held)?;
                (ApplyOutcome::Changed, held.status.revision)
            }
            None => {
                let last = self.last_revision(name).await?;
                if built_in && last > 0 {
                    // Somebody has deleted it: it comes back when somebody applies it.
                    return Ok(applied::<ResourceDefinition>(
                        name,
                        ApplyOutcome::Unchanged,
                        None,
                    ));
                }
                let mut new = Resource::<ResourceDefinition>::new("", name, spec.clone());
                new.meta.labels = meta.labels;
                new.status.revision = last + 1;
                new.status.built_in = built_in;
                change.create(&new)?;
                (ApplyOutcome::Created, new.status.revision)
            }
        };
        let record =
            Resource::<ResourceDefinitionRevision>::new(name, format!("r{revision}"), spec);
        change.create(&record)?;
        change.event(NewEvent::caused(
            "resource-definition.applied",
            kernel::Key::of::<ResourceDefinition>("", name),
            "",
            caller,
            Some(Outcome::Pass),
            json!({ "revision": revision }),
        ));
        Ok(applied::<ResourceDefinition>(name, outcome, Some(revision)))
    }

    /// The highest revision that a definition of this name ever had: numbers are not used again.
    async fn last_revision(&self, name: &str) -> Result<u64> {
        let all = self
            .store
            .list_all::<ResourceDefinitionRevision>(&Query::scope(name))
            .await?;
        let numbers = all
            .iter()
            .filter_map(|r| r.meta.name.strip_prefix('r')?.parse().ok());
        Ok(numbers.max().unwrap_or(0))
    }

    pub(super) async fn apply_role(
        &self,
        change: &mut Change,
        caller: &Caller,
        meta: DocumentMeta,
        spec: EnvironmentRoleSpec,
        built_in: bool,
    ) -> Result<Applied> {
        let name = meta.name.as_str();
        let target = of_platform::<EnvironmentRole>(name);
        self.guard.require(caller, ROLE_CHANGE, &target).await?;
        labels::check(&meta.labels)?;
        let outcome = match self.store.get::<EnvironmentRole>("", name).await? {
            // A role that is there is as people want it.
            Some(held) if built_in || held.spec == spec => ApplyOutcome::Unchanged,
            Some(mut held) => {
                held.spec = spec;
                held.meta.labels = meta.labels;
                change.spec(&held)?;
                ApplyOutcome::Changed
            }
            None => {
                let mut new = Resource::<EnvironmentRole>::new("", name, spec);
                new.meta.labels = meta.labels;
                change.create(&new)?;
                ApplyOutcome::Created
            }
        };
        if outcome != ApplyOutcome::Unchanged {
            change.event(NewEvent::caused(
                "environment-role.applied",
                kernel::Key::of::<EnvironmentRole>("", name),
                "",
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
        }
        Ok(applied::<EnvironmentRole>(name, outcome, None))
    }

    pub(super) async fn apply_environment(
        &self,
        change: &mut Change,
        caller: &Caller,
        document: Envelope<EnvironmentFields>,
        place: &str,
        roles: &Roles,
    ) -> Result<Applied> {
        let Envelope {
            metadata: meta,
            spec: fields,
            ..
        } = document;
        let name = meta.name.to_string();
        if let Some(held) = self.store.get::<Environment>("", &name).await? {
            let held = self.place(held).await?;
            self.require_at(caller, ENVIRONMENT_CHANGE, &held, &held.itself())
                .await
                .map_err(|hidden| hidden.unwrap_or_else(|| taken(&name)))?;
            let mut held = held.environment;
            let changed = self
                .amend_by_document(caller, &mut held, meta, fields, place, roles)
                .await?;
            if !changed {
                return Ok(applied::<Environment>(&name, ApplyOutcome::Unchanged, None));
            }
            self.role_given(change, &held, roles).await?;
            Self::environment_rewrite(change, caller, &held)?;
            return Ok(applied::<Environment>(&name, ApplyOutcome::Changed, None));
        }
        let request = NewEnvironment {
            name,
            role: fields.role,
            team: fields.team,
            engine: fields.engine,
            ttl_seconds: fields.ttl_seconds,
            clone_from: fields.clone_from,
            labels: meta.labels,
        };
        let environment = self
            .environment_draft(caller, ENVIRONMENT_CREATE, request, roles)
            .await?;
        self.role_given(change, &environment, roles).await?;
        Self::environment_write(change, caller, &environment)?;
        Ok(applied::<Environment>(
            &environment.meta.name,
            ApplyOutcome::Created,
            None,
        ))
    }

    /// Takes a definition out of matching. Its revisions stay, for what was made with them; the answer
    /// names that.
    pub async fn definition_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<DefinitionDeleted> {
        let target = of_platform::<ResourceDefinition>(name);
        self.guard
            .require(caller, DEFINITION_DELETE, &target)
            .await?;
        anew(|| async {
            let held = self.store.expect::<ResourceDefinition>("", name).await?;
            held.meta.require_revision(revision)?;
            let instances = self
                .store
                .list_all::<ResourceInstance>(&Query::default())
                .await?;
            let in_use: Vec<String> = instances
                .iter()
                .filter(|instance| instance.spec.definition.name == name)
                .map(|instance| format!("{}/{}", instance.meta.scope, instance.meta.name))
                .collect();
            let mut change = Change::new().by(caller);
            change.remove(&held)?;
            change.event(NewEvent::caused(
                "resource-definition.deleted",
                held.key(),
                "",
                caller,
                Some(Outcome::Pass),
                json!({ "revision": held.status.revision, "inUse": in_use }),
            ));
            self.store.commit(change).await?;
            Ok(DefinitionDeleted {
                in_use,
                built_in: held.status.built_in,
            })
        })
        .await
    }

    /// Which definition meets a need in an environment, and why.
    pub async fn explain(&self, caller: &Caller, request: ExplainRequest) -> Result<Explanation> {
        let place = self.environment_seen(caller, &request.environment).await?;
        let environment = place.environment;
        let mut labels = environment.meta.labels.clone();
        labels.extend(request.labels);
        let context = Context {
            resource_type: request.resource_type,
            class: request.class.unwrap_or_else(|| "default".into()),
            id: request.id.unwrap_or_default(),
            workload: request.workload,
            labels,
            ..context_of(&environment)
        };
        let catalogue = self.catalogue(&environment, None).await?;
        let explanation = catalogue.explain(&context);
        Ok(explanation.with_use(&catalogue, &|provisioner, params| {
            self.provisioner(provisioner)?.outputs(params)
        }))
    }

    /// What the workloads of an environment need, by their present deployments, and how far it is.
    pub async fn environment_graph(&self, caller: &Caller, name: &str) -> Result<GraphAnswer> {
        self.environment_seen(caller, name).await?;
        let mut graph = Graph::default();
        let mut deployments: BTreeMap<String, Resource<Deployment>> = BTreeMap::new();
        for workload in self.store.list_all::<Workload>(&Query::scope(name)).await? {
            let deployment = &workload.spec.deployment;
            if !deployments.contains_key(deployment) {
                let found = self.store.expect::<Deployment>(name, deployment).await?;
                deployments.insert(deployment.clone(), found);
            }
            let theirs = &deployments[deployment].spec.graph;
            for id in theirs.needed_by(&workload.meta.name) {
                if let Some(node) = theirs.nodes.get(&id) {
                    graph.nodes.insert(id, node.clone());
                }
            }
            let names = theirs
                .workloads
                .get(&workload.meta.name)
                .cloned()
                .unwrap_or_default();
            graph.workloads.insert(workload.meta.name, names);
        }
        let instances = self.instances(name).await?;
        let phases = instances
            .into_iter()
            .map(|i| (i.spec.node.to_string(), i.status.phase))
            .collect();
        Ok(GraphAnswer { graph, phases })
    }
}

/// The name of an environment that the caller may not see.
pub(super) fn taken(name: &str) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("the name `{name}` is taken"),
    )
    .remedy(
        "choose another name for the environment, or one of yours: `towpath env list` shows them",
    )
}

fn applied<K: Kind>(name: &str, outcome: ApplyOutcome, revision: Option<u64>) -> Applied {
    Applied {
        revision,
        ..Applied::of::<K>("", name, outcome)
    }
}
