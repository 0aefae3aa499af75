//! Which team has which place at a tool: looked up by its address, and never held by two.
//!
//! ```text
//! state of (team, integration): holds A ──┐ one transaction
//! place A: team, by integration ──────────┘ its name is free, or the commit fails
//! ```

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Change, Query, Resource, Result, Store, reconciler::Context};

use crate::model::{Holding, IntegrationPlace, IntegrationState, PlaceSpec, Step};

/// Places that are written in one commit where they are made anew.
const TOGETHER: usize = 200;

/// A place as it was read, and who would have to let go of it.
#[derive(Default)]
pub(super) struct Found {
    place: Option<Resource<IntegrationPlace>>,
    /// The states by which another team has it that is not kept in step there any more.
    resting: Vec<Resource<IntegrationState>>,
}

impl Found {
    /// Reads the place at an address, for `team`.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub(super) async fn at(store: &Store, at: &str, team: &str) -> Result<Self> {
        let name = IntegrationPlace::name_of(at);
        let place = store.get::<IntegrationPlace>("", &name).await?;
        let mut resting = Vec::new();
        if let Some(place) = place.as_ref().filter(|place| place.spec.team != team) {
            for by in &place.spec.by {
                let state = store.get::<IntegrationState>(&place.spec.team, by).await?;
                resting.extend(state);
            }
        }
        Ok(Self { place, resting })
    }

    /// The team whose it is, where that is another than `team` and is kept in step there.
    pub(super) fn holder(&self, team: &str) -> Option<&str> {
        let place = self.place.as_ref().filter(|one| one.spec.team != team)?;
        let is_live = |state: &Resource<IntegrationState>| state.status.step != Step::Resting;
        let is_held = self.resting.iter().any(is_live);
        is_held.then_some(place.spec.team.as_str())
    }

    /// Whether `team` has it by `integration` already.
    pub(super) fn is_held(&self, team: &str, integration: &str) -> bool {
        let place = self.place.as_ref();
        place.is_some_and(|one| one.spec.team == team && one.spec.by.contains(integration))
    }

    /// Adds to `change` that `team` has the place by `integration`. The commit fails where somebody else
    /// took it since it was read, or where one that rested goes on there.
    pub(super) fn take(
        &self,
        change: &mut Change,
        at: &str,
        team: &str,
        integration: &str,
    ) -> Result<()> {
        let spec = PlaceSpec {
            at: at.into(),
            team: team.into(),
            by: [integration.to_owned()].into(),
        };
        let label = (kernel::Meta::TEAM.to_owned(), team.to_owned());
        let Some(place) = &self.place else {
            let mut place =
                Resource::<IntegrationPlace>::new("", IntegrationPlace::name_of(at), spec);
            place.meta.labels.extend([label]);
            return change.create(&place);
        };
        let mut place = place.clone();
        if place.spec.team == team {
            place.spec.by.extend(spec.by);
        } else {
            place.spec = spec;
            for state in &self.resting {
                change.require(state)?;
            }
        }
        place.meta.labels.extend([label]);
        // Unchanged, it is still required to be as it was read.
        change.spec(&place)
    }
}

/// Adds to `change` that `team` has what `held` says no more by `integration`: for whoever takes that away
/// from its state.
pub(super) async fn release(
    store: &Store,
    change: &mut Change,
    held: &Holding,
    team: &str,
    integration: &str,
) -> Result<()> {
    let name = IntegrationPlace::name_of(&held.at);
    let place = store.get::<IntegrationPlace>("", &name).await?;
    let Some(mut place) = place.filter(|place| place.spec.team == team) else {
        return Ok(());
    };
    if !place.spec.by.remove(integration) {
        return Ok(());
    }
    if place.spec.by.is_empty() {
        change.remove(&place)
    } else {
        change.spec(&place)
    }
}

/// Makes the places that states tell of and that are not there: of a store that an earlier version wrote.
/// Of two teams in one place it is whose is kept in step, and else whose was there first.
pub(super) async fn rebuild(context: &Context) -> Result<()> {
    let store = &context.store;
    let places = store.keys(<IntegrationPlace as kernel::Kind>::KIND, None);
    let known: BTreeSet<String> = places.await?.into_iter().map(|key| key.name).collect();
    let mut states = store
        .list_all::<IntegrationState>(&Query::default())
        .await?;
    states.sort_by_key(|state| (state.status.step == Step::Resting, state.meta.created));
    let mut missing = BTreeMap::<String, PlaceSpec>::new();
    for state in states {
        let Some(held) = state.status.holds else {
            continue;
        };
        let name = IntegrationPlace::name_of(&held.at);
        if known.contains(&name) {
            continue;
        }
        let spec = missing.entry(name).or_insert_with(|| PlaceSpec {
            at: held.at,
            team: state.meta.scope.clone(),
            by: BTreeSet::new(),
        });
        if spec.team == state.meta.scope {
            spec.by.insert(state.meta.name);
        }
    }
    let missing: Vec<_> = missing.into_iter().collect();
    for part in missing.chunks(TOGETHER) {
        let mut change = Change::new().fenced(context.fence.clone());
        for (name, spec) in part {
            let mut place = Resource::<IntegrationPlace>::new("", name.as_str(), spec.clone());
            let label = (kernel::Meta::TEAM.to_owned(), spec.team.clone());
            place.meta.labels.extend([label]);
            change.create(&place)?;
        }
        store.commit(change).await?;
    }
    Ok(())
}
