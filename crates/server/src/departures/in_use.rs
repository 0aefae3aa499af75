//! Whether what somebody knows is still in use, though another value has taken its place.

use std::collections::BTreeSet;

use delivery::model::{ResourceInstance, instance_name};
use identity::service::Told;
use jiff::Timestamp;
use kernel::{EventFilter, Meta, NewEvent, Query, Resource, Result, Store};

use super::Departures;

/// The provisioner that hands a team's secrets to its workloads.
const SECRET: &str = "secret";
/// The provisioner whose outputs are made of those of others.
const TEMPLATE: &str = "template";

type Instance = Resource<ResourceInstance>;

impl Departures {
    /// Whether a version of a team's secret is what workloads run with. Of those that have not taken over the
    /// present one yet, nobody knows which they run with: it may be this one.
    pub(super) async fn is_in_use(&self, team: &str, name: &str, version: u64) -> Result<bool> {
        let users = self.users(team, name).await?;
        let uses = |user: &Instance| version_of(user) == version || !has_moved(user);
        Ok(users.iter().any(uses))
    }

    /// Whether the credentials that an instance had at `rotation` are good, though it has others: its provisioner
    /// does not end them, it was given the same value again, or what it is made of is as it was.
    pub(super) async fn is_login_good(&self, told: &Told, rotation: u32) -> Result<bool> {
        let store = self.delivery.store();
        let found = store
            .get::<ResourceInstance>(&told.scope, &told.name)
            .await?;
        let Some(instance) = found else {
            return Ok(false);
        };
        let not_ended = self.delivery.not_ended_by_rotation(&instance, rotation);
        let is_secret = secret_of(&instance).is_some();
        if not_ended.is_some() || (is_secret && !self.is_taken_over(&instance, told.at).await?) {
            return Ok(true);
        }
        for one in self.beneath(&instance).await? {
            let not_ended = self.not_ended_now(&one);
            if not_ended.is_some() || !self.is_taken_over(&one, told.at).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why no rotation ends the present credentials of an instance; none where one does.
    pub(super) fn not_ended_now(&self, instance: &Instance) -> Option<String> {
        let rotation = instance.status.rotation;
        self.delivery.not_ended_by_rotation(instance, rotation)
    }

    /// Whether every workload runs with a value that an instance has only since `at`; of a team's secret, whatever
    /// hands it out to them.
    pub(super) async fn is_taken_over(&self, instance: &Instance, at: Timestamp) -> Result<bool> {
        let Some(name) = secret_of(instance) else {
            return Ok(has_moved(instance) && self.is_renewed(instance, at).await?);
        };
        let users = self.users(&instance.spec.team, name).await?;
        let version = version_of(instance);
        let has_taken_over = |user: &Instance| has_moved(user) && version_of(user) >= version;
        Ok(is_new_since(instance, at) && users.iter().all(has_taken_over))
    }

    /// Whether the rotation of an instance was asked for since `at`.
    pub(super) async fn is_renewed(&self, instance: &Instance, at: Timestamp) -> Result<bool> {
        let filter = EventFilter {
            type_prefix: Some(format!(
                "{}resource-instance.rotation-requested",
                NewEvent::PREFIX
            )),
            subject: Some(instance.key().to_string()),
            ..EventFilter::default()
        };
        let mut after = 0;
        loop {
            let page = self
                .delivery
                .store()
                .events(&filter, after, Store::MAX_EVENTS)
                .await?;
            if page.iter().any(|event| event.time > at) {
                return Ok(true);
            }
            match page.last() {
                Some(last) => after = last.seq,
                None => return Ok(false),
            }
        }
    }

    /// What hands a team's secret to its workloads.
    pub(super) async fn users(&self, team: &str, name: &str) -> Result<Vec<Instance>> {
        let theirs = Query {
            labels: [(Meta::TEAM.to_owned(), team.to_owned())].into(),
            ..Query::default()
        };
        let store = self.delivery.store();
        let mut all = store.list_all::<ResourceInstance>(&theirs).await?;
        all.retain(|one| secret_of(one) == Some(name) && !one.is_deleting());
        Ok(all)
    }

    /// What the outputs of an instance are made of, where they are made of others', and holds a secret.
    pub(super) async fn beneath(&self, instance: &Instance) -> Result<Vec<Instance>> {
        let store = self.delivery.store();
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        let mut open = vec![instance.clone()];
        while let Some(next) = open.pop() {
            if next.spec.provisioner != TEMPLATE {
                continue;
            }
            for node in next
                .spec
                .depends_on
                .iter()
                .chain(next.spec.aliases.values())
            {
                let name = instance_name(node);
                if !seen.insert(name.clone()) {
                    continue;
                }
                let below = store
                    .get::<ResourceInstance>(&next.meta.scope, &name)
                    .await?;
                let Some(below) = below.filter(|below| !below.is_deleting()) else {
                    continue;
                };
                if !below.status.secret_outputs.is_empty() {
                    found.push(below.clone());
                }
                open.push(below);
            }
        }
        Ok(found)
    }
}

/// Whether every workload runs with the present credentials of an instance.
pub(super) fn has_moved(instance: &Instance) -> bool {
    instance.status.oldest_rotation >= instance.spec.rotation
}

/// The secret that an instance hands to workloads, where it is one of those.
pub(super) fn secret_of(instance: &Instance) -> Option<&str> {
    let is_one = instance.spec.provisioner == SECRET;
    let made_of = instance.status.state.get("name").filter(|_| is_one)?;
    made_of.as_str()
}

/// Whether it hands out its version of the secret only since `at`.
pub(super) fn is_new_since(instance: &Instance, at: Timestamp) -> bool {
    let state = &instance.status.state;
    // What was made before that was kept says when the version was written.
    let since = state["since"].as_str().or(state["written"].as_str());
    let since = since.and_then(|since| since.parse::<Timestamp>().ok());
    since.is_some_and(|since| since > at)
}

/// The version of the secret that it hands out.
pub(super) fn version_of(instance: &Instance) -> u64 {
    instance.status.state["version"]
        .as_u64()
        .unwrap_or_default()
}
