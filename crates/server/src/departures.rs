//! Rotation of what somebody who leaves a team knows: its secrets, its keys, and logins of its resources.

mod in_use;

use std::sync::Arc;

use async_trait::async_trait;
use delivery::{
    model::{Remnant, RemnantSpec, ResourceInstance},
    service::Delivery,
};
use identity::service::{DepartureItem, DepartureOutcome, Rotations, Told};
use kernel::{Caller, Error, Kind as _, Resource, Result};
use secrets::{
    Secrets,
    api::Rotation,
    model::{SecretRef, TeamSecret},
};

use self::in_use::{has_moved, is_new_since, secret_of, version_of};

/// Those who rotate.
pub(crate) struct Departures {
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) delivery: Arc<Delivery>,
}

#[async_trait]
impl Rotations for Departures {
    async fn end_keys(
        &self,
        caller: &Caller,
        team: &str,
        account: &str,
        keys: &[String],
    ) -> Result<()> {
        self.secrets.end_keys(caller, team, account, keys).await
    }

    async fn renew(&self, caller: &Caller, told: &Told, number: u64) -> Result<Vec<DepartureItem>> {
        match told.kind.as_str() {
            TeamSecret::KIND => self.secret(caller, &told.scope, &told.name, number).await,
            ResourceInstance::KIND => self.resource(caller, told, rotation(number)).await,
            Remnant::KIND => self.remnant(told).await,
            other => Err(Error::internal(
                "a value of this kind is not rotated",
                other.to_owned(),
            )),
        }
    }

    async fn is_still_good(&self, told: &Told, number: u64) -> Result<bool> {
        match told.kind.as_str() {
            TeamSecret::KIND => self.is_in_use(&told.scope, &told.name, number).await,
            ResourceInstance::KIND => self.is_login_good(told, rotation(number)).await,
            _ => Ok(false),
        }
    }
}

impl Departures {
    /// Renews a team's secret, and what hands it to workloads, so that these run with the new value.
    async fn secret(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        known: u64,
    ) -> Result<Vec<DepartureItem>> {
        let secret = SecretRef::new(team, name)?;
        let rotated = self.secrets.renew(caller, &secret, known).await?;
        let item = |outcome| DepartureItem::new(TeamSecret::KIND, team, name, outcome);
        match rotated.rotation {
            Rotation::Written => {
                let users = self.users(team, name).await?;
                let mut commands = vec![format!("towpath secret set {name} --team {team}")];
                commands.extend(users.iter().map(rotate_command));
                Ok(vec![
                    item(DepartureOutcome::ByHand)
                        .because("somebody wrote it: the next comes from whoever issued it")
                        .by(commands),
                ])
            }
            Rotation::Rotated | Rotation::Already => {
                let newest = rotated.secret.version;
                self.hand_on(caller, team, name, newest).await
            }
            Rotation::Asked => Ok(vec![item(DepartureOutcome::Asked)]),
            Rotation::Failed => {
                let why = rotated.reason.unwrap_or_default();
                Ok(vec![item(DepartureOutcome::Failed).because(why)])
            }
        }
    }

    /// Has every workload run with the newest version of a team's secret, whoever wrote it: until they do, the ones
    /// before are in use.
    async fn hand_on(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        newest: u64,
    ) -> Result<Vec<DepartureItem>> {
        let mut users = Vec::new();
        for user in self.users(team, name).await? {
            if version_of(&user) < newest {
                // The rotation that gave this version: where the next is asked for already, it is not again.
                let known = user.status.rotation;
                users.push(self.rotate(caller, &user, known).await);
            } else if !has_moved(&user) {
                users.push(asked(&user));
            }
        }
        let item = |outcome| DepartureItem::new(TeamSecret::KIND, team, name, outcome);
        let is_failed = |user: &&DepartureItem| user.outcome == DepartureOutcome::Failed;
        let secret = match users.iter().find(is_failed) {
            Some(user) => item(DepartureOutcome::Failed).because(format!(
                "it has a new value, but {}/{}, which hands out one before, was not rotated",
                user.scope, user.name
            )),
            None if users.is_empty() => item(DepartureOutcome::Ended),
            None => item(DepartureOutcome::Asked)
                .because("the former value ends once every workload runs with the new one"),
        };
        users.insert(0, secret);
        Ok(users)
    }

    /// Renews a resource, with what its outputs are made of: that first, since what was told is told of both.
    async fn resource(
        &self,
        caller: &Caller,
        told: &Told,
        known: u32,
    ) -> Result<Vec<DepartureItem>> {
        let item =
            |outcome| DepartureItem::new(ResourceInstance::KIND, &told.scope, &told.name, outcome);
        let store = self.delivery.store();
        let found = store
            .get::<ResourceInstance>(&told.scope, &told.name)
            .await?;
        let Some(instance) = found else {
            return Ok(vec![item(DepartureOutcome::Ended)]);
        };
        if let Some(why) = self.delivery.not_ended_by_rotation(&instance, known) {
            return Ok(vec![by_hand(&instance, &why)]);
        }
        let mut items = Vec::new();
        for one in self.beneath(&instance).await? {
            if let Some(why) = self.not_ended_now(&one) {
                items.push(by_hand(&one, &why));
            } else if self.is_taken_over(&one, told.at).await? {
                // What they know of it has ended.
            } else if secret_of(&one).is_none() && self.is_renewed(&one, told.at).await? {
                items.push(asked(&one));
            } else {
                let known = one.spec.rotation;
                self.one(caller, &one, told, known, &mut items).await;
            }
        }
        let held_up = |outcome: DepartureOutcome| {
            let found = items.iter().find(|item| item.outcome == outcome);
            found.map(|beneath| beneath.name.clone())
        };
        let (failed, people) = (
            held_up(DepartureOutcome::Failed),
            held_up(DepartureOutcome::ByHand),
        );
        if let Some(beneath) = failed {
            let why = format!("it is made of {beneath}, which was not rotated");
            items.push(item(DepartureOutcome::Failed).because(why));
        } else if let Some(beneath) = people {
            let why = format!("it is made of {beneath}, which people rotate");
            items.push(by_hand(&instance, &why));
        } else {
            self.one(caller, &instance, told, known, &mut items).await;
        }
        Ok(items)
    }

    /// What may be left of a resource that was given up no rotation reaches: its login ends when somebody removes it.
    async fn remnant(&self, told: &Told) -> Result<Vec<DepartureItem>> {
        let name = &told.name;
        let item = |outcome| DepartureItem::new(Remnant::KIND, &told.scope, name, outcome);
        let store = self.delivery.store();
        let Some(remnant) = store.get::<Remnant>(&told.scope, name).await? else {
            return Ok(vec![item(DepartureOutcome::Ended)]);
        };
        let RemnantSpec {
            environment,
            node,
            left_by,
            ..
        } = &remnant.spec;
        let left: Vec<_> = left_by.iter().map(ToString::to_string).collect();
        let why = format!(
            "{environment}/{node} could not be removed and was given up: an operator removes what may be left of it \
             ({}), then forgets it",
            left.join(", ")
        );
        let commands = ["get", "delete"].map(|verb| format!("towpath {verb} remnant {name}"));
        let by_hand = item(DepartureOutcome::ByHand).because(why);
        Ok(vec![by_hand.by(commands.to_vec())])
    }

    /// Renews one instance, where its rotation is still `known`: of a team's secret the secret first, unless it hands
    /// out another version since somebody was told, and then all else that hands it out.
    async fn one(
        &self,
        caller: &Caller,
        instance: &Resource<ResourceInstance>,
        told: &Told,
        known: u32,
        items: &mut Vec<DepartureItem>,
    ) {
        let Resource { meta, spec, .. } = instance;
        let Some(name) = secret_of(instance) else {
            items.push(self.rotate(caller, instance, known).await);
            return;
        };
        let (team, version) = (spec.team.as_str(), version_of(instance));
        let is_new = is_new_since(instance, told.at);
        let renewed = if is_new {
            self.hand_on(caller, team, name, version).await
        } else {
            self.secret(caller, team, name, version).await
        };
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(error) => {
                let kind = TeamSecret::KIND;
                items.push(DepartureItem::failed(kind, team, name, &error));
                return;
            }
        };
        let is_by_hand = |item: &DepartureItem| item.outcome == DepartureOutcome::ByHand;
        let is_it = |item: &DepartureItem| {
            item.kind == ResourceInstance::KIND
                && item.scope == meta.scope
                && item.name == meta.name
        };
        let is_said = renewed.iter().any(|item| is_by_hand(item) || is_it(item));
        items.extend(renewed);
        if is_said {
            return;
        }
        items.push(if is_new {
            asked(instance)
        } else {
            self.rotate(caller, instance, known).await
        });
    }

    async fn rotate(
        &self,
        caller: &Caller,
        instance: &Resource<ResourceInstance>,
        known: u32,
    ) -> DepartureItem {
        let (environment, name) = (&instance.meta.scope, &instance.meta.name);
        let renewed = self
            .delivery
            .resource_renew(caller, environment, name, known);
        match renewed.await {
            Ok(now) => asked(&now),
            Err(error) => DepartureItem::failed(ResourceInstance::KIND, environment, name, &error),
        }
    }
}

fn rotation(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// One whose former login ends by the work of reconcilers.
fn asked(instance: &Resource<ResourceInstance>) -> DepartureItem {
    let (meta, message) = (&instance.meta, &instance.status.message);
    let why = match message.as_str() {
        "" => "the former login ends once every workload runs with the new one",
        message => message,
    };
    DepartureItem::new(
        ResourceInstance::KIND,
        &meta.scope,
        &meta.name,
        DepartureOutcome::Asked,
    )
    .because(why)
}

/// One that only people can end; then a rotation has its workloads run with what takes its place.
fn by_hand(instance: &Resource<ResourceInstance>, why: &str) -> DepartureItem {
    let meta = &instance.meta;
    let outcome = DepartureOutcome::ByHand;
    DepartureItem::new(ResourceInstance::KIND, &meta.scope, &meta.name, outcome)
        .because(why)
        .by(vec![rotate_command(instance)])
}

fn rotate_command(instance: &Resource<ResourceInstance>) -> String {
    let meta = &instance.meta;
    format!("towpath resource rotate {} --env {}", meta.name, meta.scope)
}
