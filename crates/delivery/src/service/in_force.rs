//! Which definitions hold in an environment, and the graph that they make of a deployment.

use std::{borrow::Cow, collections::BTreeMap};

use kernel::{Problem, Query, Resource, Result};

use super::{Delivery, deploy::Order, plans::context_of};
use crate::{
    definition::{Catalogue, Revision, graph},
    model::{
        DefinitionRef, Deployment, Environment, NodeId, ResourceDefinition,
        ResourceDefinitionRevision, ResourceDefinitionSpec, ResourceInstance,
    },
};

impl Delivery {
    /// The graph as far as it can be built, what stays on a definition that no longer holds, and what is
    /// wrong with the rest.
    pub(super) async fn graph(
        &self,
        environment: &Resource<Environment>,
        order: &Order,
        catalogue: &Catalogue,
        instances: &[Resource<ResourceInstance>],
    ) -> Result<(graph::Built, Vec<Problem>)> {
        let build = |accepted: &_| {
            graph::partly(&graph::Input {
                environment: &context_of(environment),
                domain: &self.settings.domain,
                workloads: &order.workloads,
                catalogue,
                accepted,
                holds_data: &|provisioner| {
                    self.provisioner(provisioner)
                        .is_some_and(|p| p.describe().holds_data)
                },
            })
        };
        let (built, problems) = build(&BTreeMap::new());
        if problems.is_empty() {
            return Ok((built, problems));
        }
        // Rarely: what is there already may stay on what it was accepted with.
        Ok(build(&self.accepted(instances).await?))
    }

    /// What each instance was last accepted with.
    async fn accepted(
        &self,
        instances: &[Resource<ResourceInstance>],
    ) -> Result<BTreeMap<NodeId, graph::Revised>> {
        let mut accepted = BTreeMap::new();
        for instance in instances.iter().filter(|instance| !instance.is_deleting()) {
            let definition = &instance.spec.definition;
            let spec = self.definition_revision(definition).await?;
            accepted.insert(instance.spec.node.clone(), (definition.clone(), spec));
        }
        Ok(accepted)
    }

    async fn definition_revision(
        &self,
        definition: &DefinitionRef,
    ) -> Result<ResourceDefinitionSpec> {
        let name = format!("r{}", definition.revision);
        let found = self
            .store
            .expect::<ResourceDefinitionRevision>(&definition.name, &name)
            .await?;
        Ok(found.spec)
    }

    /// The definitions that would hold if the environment pinned none, where `in_force` do now.
    pub(super) async fn unpinned<'c>(
        &self,
        environment: &Resource<Environment>,
        in_force: &'c Catalogue,
    ) -> Result<Cow<'c, Catalogue>> {
        if environment.spec.pinned_definitions.is_empty() {
            return Ok(Cow::Borrowed(in_force));
        }
        let mut free = environment.clone();
        free.spec.pinned_definitions.clear();
        Ok(Cow::Owned(self.catalogue(&free, None).await?))
    }

    /// The definitions in force: the newest, the environment's pins, and those of `record`.
    pub(super) async fn catalogue(
        &self,
        environment: &Resource<Environment>,
        record: Option<&Resource<Deployment>>,
    ) -> Result<Catalogue> {
        let mut definitions = BTreeMap::new();
        for found in self
            .store
            .list_all::<ResourceDefinition>(&Query::default())
            .await?
        {
            let revision = Revision {
                revision: found.status.revision,
                spec: found.spec,
            };
            definitions.insert(found.meta.name, revision);
        }
        let Some(record) = record else {
            let pinned = self.pinned(environment).await?;
            // What was made since the clone does not hold beside what is pinned for its type.
            definitions.retain(|_, held: &mut Revision| {
                let same =
                    |pin: &ResourceDefinitionSpec| pin.resource_type == held.spec.resource_type;
                !pinned.values().any(|(_, pin)| same(pin))
            });
            definitions.extend(
                pinned
                    .into_iter()
                    .map(|(name, (revision, spec))| (name, Revision { revision, spec })),
            );
            return Ok(Catalogue::new(definitions));
        };
        // A rollback uses what was used then, not what merely matches now.
        definitions.clear();
        for node in record.spec.graph.nodes.values() {
            let DefinitionRef { name, revision } = &node.definition;
            let revision = Revision {
                revision: *revision,
                spec: self.definition_revision(&node.definition).await?,
            };
            definitions.insert(name.clone(), revision);
        }
        Ok(Catalogue::new(definitions))
    }
}
