//! Pins: a clone keeps the resource definitions that its source had, until somebody lifts that.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Caller, Change, Error, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::super::{Delivery, access::ENVIRONMENT_CHANGE};
use crate::{
    api::{PinQuery, PinSummary},
    model::{Environment, ResourceDefinition, ResourceDefinitionRevision, ResourceDefinitionSpec},
};

impl Delivery {
    /// Lifts the pins of these resource types, or all of them: from the next deployment on the
    /// newest definitions hold. What runs stays as it is until then.
    pub async fn environment_unpin(
        &self,
        caller: &Caller,
        name: &str,
        query: &PinQuery,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        anew(|| self.environment_unpin_once(caller, name, query, revision)).await
    }

    async fn environment_unpin_once(
        &self,
        caller: &Caller,
        name: &str,
        query: &PinQuery,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        let place = self
            .environment_for::<Environment>(caller, ENVIRONMENT_CHANGE, name, name)
            .await?;
        let mut environment = place.environment;
        environment.meta.require_revision(revision)?;
        let pinned = self.pinned(&environment).await?;
        let known: BTreeSet<_> = pinned
            .values()
            .map(|(_, spec)| spec.resource_type.as_str())
            .collect();
        let wanted = query.types();
        if let Some(unknown) = wanted.iter().find(|wanted| !known.contains(*wanted)) {
            let known = Vec::from_iter(known).join(", ");
            return Err(Error::not_found(format!(
                "a pin for resource type `{unknown}` in environment `{name}`"
            ))
            .remedy(if known.is_empty() {
                "nothing is pinned there: only a clone has pins".to_owned()
            } else {
                format!("pinned there: {known}")
            }));
        }
        let lifted: Vec<String> = pinned
            .iter()
            .filter(|(_, (_, spec))| {
                wanted.is_empty() || wanted.contains(&spec.resource_type.as_str())
            })
            .map(|(definition, _)| definition.clone())
            .collect();
        if lifted.is_empty() {
            return Ok(environment);
        }
        for definition in &lifted {
            environment.spec.pinned_definitions.remove(definition);
        }
        let mut change = Change::new().by(caller);
        change.spec(&environment)?;
        change.event(NewEvent::caused(
            "environment.unpinned",
            environment.key(),
            &environment.spec.team,
            caller,
            Some(Outcome::Pass),
            json!({ "definitions": lifted }),
        ));
        self.store
            .commit(change)
            .await?
            .resource(&environment.key())
    }

    /// The pins of an environment, each with what its definition says now.
    pub(super) async fn pins(
        &self,
        environment: &Resource<Environment>,
    ) -> Result<Vec<PinSummary>> {
        let mut pins = Vec::new();
        for (definition, (revision, spec)) in self.pinned(environment).await? {
            let newest = self
                .store
                .get::<ResourceDefinition>("", &definition)
                .await?;
            pins.push(PinSummary {
                resource_type: spec.resource_type,
                revision,
                newest: newest.map(|newest| newest.status.revision),
                definition,
            });
        }
        Ok(pins)
    }

    /// What an environment is pinned to, by definition: the revision and what it says.
    pub(in crate::service) async fn pinned(
        &self,
        environment: &Resource<Environment>,
    ) -> Result<BTreeMap<String, (u64, ResourceDefinitionSpec)>> {
        let mut pinned = BTreeMap::new();
        for (name, revision) in &environment.spec.pinned_definitions {
            let found = self
                .store
                .expect::<ResourceDefinitionRevision>(name, &format!("r{revision}"))
                .await?;
            pinned.insert(name.clone(), (*revision, found.spec));
        }
        Ok(pinned)
    }

    /// The definitions that hold in `source`, by revision: what a clone is pinned to.
    pub(super) async fn definitions_of(
        &self,
        source: &Resource<Environment>,
    ) -> Result<BTreeMap<String, u64>> {
        let mut held: BTreeMap<String, u64> = self
            .catalogue(source, None)
            .await?
            .revisions()
            .map(|(name, revision)| (name.to_owned(), revision))
            .collect();
        // What runs there on an older accepted revision is cloned as it runs.
        for instance in self.instances(&source.meta.name).await? {
            let used = instance.spec.definition;
            if let Some(revision) = held.get_mut(&used.name) {
                *revision = used.revision;
            }
        }
        Ok(held)
    }
}
