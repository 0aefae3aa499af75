//! What somebody who leaves a team knows is rotated: by whoever may rotate each thing by itself, as far as
//! the platform can. The rest is named, with what people do.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{
    Action, Caller, Change, Error, ErrorKind, Key, NewEvent, Outcome, Reason, Result, Target,
};
use serde::Serialize;
use serde_json::json;

use super::{
    Identity,
    automation::{SeenKey, Told, Webhook, on_people, seen},
    oversight::expect_subject,
    registered::PersonalCredential,
    told::Known,
};
use crate::model::{AccountKind, ServiceAccount};

/// To have what one of a team's people knows rotated. Each thing is asked for by itself beside it.
const ROTATE: Action = Action::act("departure.rotate");

/// What became of a thing that somebody who leaves knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DepartureOutcome {
    /// What they know of it is worth nothing any more.
    Ended,
    /// It will be, with no further asking: what takes its place is on its way to those who use it.
    Asked,
    /// Only people can: `commands` says how.
    ByHand,
    /// It was not rotated: `reason` says why. Asked again, it is tried again.
    Failed,
}

/// A thing that somebody who leaves knows, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepartureItem {
    /// What it is of: `TeamSecret`, `ResourceInstance`, `Remnant`, `ServiceAccount`, `Subscription`, `Tool`.
    pub kind: String,
    /// What its name is unique in: a team, an environment.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// Its name.
    pub name: String,
    /// Which key of it, or which credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What became of it.
    pub outcome: DepartureOutcome,
    /// Why it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What people do, one command after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// What somebody who leaves a team knows of it, and what became of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepartureRotation {
    /// Who.
    pub subject: String,
    /// Whose things these are.
    pub team: String,
    /// Every thing that they know.
    pub items: Vec<DepartureItem>,
}

/// The port to those who rotate what people were told. Each asks whether the caller may, as if the thing were
/// asked for by itself. Asked again they rotate nothing twice.
#[async_trait]
pub trait Rotations: Send + Sync + 'static {
    /// Has these keys of a deploy credential end, by id, as soon as another is kept.
    async fn end_keys(
        &self,
        caller: &Caller,
        team: &str,
        account: &str,
        keys: &[String],
    ) -> Result<()>;

    /// Gives a team's secret, or a resource, another value than the one that is `told`, of this version or
    /// rotation at the most: what became of it, and of what had to be rotated along with it. Of what was given up
    /// says who ends it.
    async fn renew(&self, caller: &Caller, told: &Told, number: u64) -> Result<Vec<DepartureItem>>;

    /// Whether the value that is `told`, of this version or rotation, is still worth something though another has
    /// taken its place: it is still handed out, or no rotation ends it.
    async fn is_still_good(&self, told: &Told, number: u64) -> Result<bool>;
}

impl DepartureItem {
    /// A thing of which nothing more is said.
    pub fn new(kind: &str, scope: &str, name: &str, outcome: DepartureOutcome) -> Self {
        Self {
            kind: kind.to_owned(),
            scope: scope.to_owned(),
            name: name.to_owned(),
            key: None,
            outcome,
            reason: None,
            commands: Vec::new(),
        }
    }

    /// One that was not rotated. Of a fault of ours nothing of the inside is said.
    pub fn failed(kind: &str, scope: &str, name: &str, error: &Error) -> Self {
        let reason = match &error.remedy {
            _ if error.kind == ErrorKind::Internal => {
                "the platform failed; its log says why".to_owned()
            }
            Some(remedy) => format!("{}: {remedy}", error.message),
            None => error.message.clone(),
        };
        tracing::warn!(
            kind,
            scope,
            name,
            error = error.chain(),
            "what somebody who leaves knows was not rotated"
        );
        Self::new(kind, scope, name, DepartureOutcome::Failed).because(reason)
    }

    /// The same, for this reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..self
        }
    }

    /// The same, done by these commands.
    #[must_use]
    pub fn by(self, commands: Vec<String>) -> Self {
        Self { commands, ..self }
    }
}

impl Identity {
    /// Has what people were told rotated by `rotations`. Once: what is said first counts.
    pub fn know_rotations(&self, rotations: Arc<dyn Rotations>) {
        // Somebody has said so already.
        let _ = self.rotations.set(rotations);
    }

    /// Rotates all of a team that one person knows, as far as the platform can and the caller may. One that
    /// fails holds up no other; asked again, it goes on with what is left, and rotates nothing twice.
    pub async fn team_departure_rotate(
        &self,
        caller: &Caller,
        team: &str,
        subject: &str,
    ) -> Result<DepartureRotation> {
        let target = Target {
            scope: team,
            team,
            ..on_people(subject)
        };
        let ruling = self.guard.require(caller, ROTATE, &target).await;
        self.guard.expect_team(caller, team).await?;
        ruling?;
        expect_subject(subject)?;
        let mut caller = caller.clone();
        if caller.reason.is_none() {
            // A subject that no reason can hold is told without one.
            caller.reason = Reason::new(&format!("departure of {subject}")).ok();
        }
        let mut items = Vec::new();
        for one in self.known(subject).await? {
            if one.told.team == team {
                self.renew(&caller, &one, &mut items).await;
            }
        }
        for key in seen(&self.store, subject).await? {
            if let Some((of, account)) = key.account.split_once('/')
                && of == team
            {
                items.push(self.end_seen(&caller, team, account, &key).await);
            }
        }
        let webhooks = self.webhooks_of(subject).await?.into_iter();
        items.extend(
            webhooks
                .filter(|one| one.team == team)
                .map(|one| told_anew(&one)),
        );
        let tools = self.tools_of(Some(subject)).await?.into_iter();
        items.extend(tools.filter(|one| one.team == team).map(replaced));
        let found = DepartureRotation {
            subject: subject.to_owned(),
            team: team.to_owned(),
            items,
        };
        self.tell_rotation(&caller, &found).await?;
        Ok(found)
    }

    async fn tell_rotation(&self, caller: &Caller, found: &DepartureRotation) -> Result<()> {
        let count = |outcome| {
            let items = found.items.iter();
            items.filter(|item| item.outcome == outcome).count()
        };
        let failed = count(DepartureOutcome::Failed);
        let outcome = if failed == 0 {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        let about = Key {
            kind: on_people("").kind.to_owned(),
            scope: found.team.clone(),
            name: found.subject.clone(),
        };
        let mut change = Change::new().by(caller);
        change.event(NewEvent::caused(
            "member.departure-rotated",
            about,
            &found.team,
            caller,
            Some(outcome),
            json!({
                "subject": found.subject,
                "ended": count(DepartureOutcome::Ended),
                "asked": count(DepartureOutcome::Asked),
                "byHand": count(DepartureOutcome::ByHand),
                "failed": failed,
            }),
        ));
        self.store.commit(change).await.map(drop)
    }

    async fn renew(&self, caller: &Caller, known: &Known, items: &mut Vec<DepartureItem>) {
        let Told {
            kind, scope, name, ..
        } = &known.told;
        let Some(rotations) = self.rotations.get() else {
            items.push(DepartureItem::failed(kind, scope, name, &nobody()));
            return;
        };
        let renewed = match &known.keys {
            Some((account, keys)) => {
                let ended = rotations.end_keys(caller, scope, account, keys).await;
                ended.map(|()| {
                    vec![DepartureItem::new(
                        kind,
                        scope,
                        name,
                        DepartureOutcome::Asked,
                    )]
                })
            }
            None => rotations.renew(caller, &known.told, known.number).await,
        };
        match renewed {
            Ok(renewed) => {
                // What goes along with several is named once.
                for one in renewed {
                    let is_it = |it: &DepartureItem| {
                        (&it.kind, &it.scope, &it.name) == (&one.kind, &one.scope, &one.name)
                    };
                    if !items.iter().any(is_it) {
                        items.push(one);
                    }
                }
            }
            Err(error) => items.push(DepartureItem::failed(kind, scope, name, &error)),
        }
    }

    /// What becomes of a key that somebody drew: one of what deploys ends, since the next is kept where those
    /// find it who use it. Of another account only people know who uses it.
    async fn end_seen(
        &self,
        caller: &Caller,
        team: &str,
        account: &str,
        key: &SeenKey,
    ) -> DepartureItem {
        let kind = "ServiceAccount";
        let command = |verb: &str| {
            let of = match verb {
                "create" => format!("{account} --team {team} --out {account}.key"),
                _ => format!("{account} {} --team {team}", key.key),
            };
            format!("towpath service-account key {verb} {of}")
        };
        let ended = self.end_deploy_key(caller, team, account, &key.key).await;
        let item = match ended {
            Ok(true) => DepartureItem::new(kind, team, account, DepartureOutcome::Asked),
            Ok(false) => DepartureItem::new(kind, team, account, DepartureOutcome::ByHand)
                .because("where its next key belongs only those know who use it")
                .by(["create", "revoke"].map(command).to_vec()),
            Err(error) => DepartureItem::failed(kind, team, account, &error),
        };
        DepartureItem {
            key: Some(key.key.clone()),
            ..item
        }
    }

    /// Has a key end, where it is one of what deploys.
    async fn end_deploy_key(
        &self,
        caller: &Caller,
        team: &str,
        account: &str,
        key: &str,
    ) -> Result<bool> {
        let found = self.store.get::<ServiceAccount>(team, account).await?;
        if found.is_none_or(|found| found.spec.kind != AccountKind::Deploy) {
            return Ok(false);
        }
        let rotations = self.rotations.get().ok_or_else(nobody)?;
        let keys = [key.to_owned()];
        rotations.end_keys(caller, team, account, &keys).await?;
        Ok(true)
    }
}

/// Nothing here rotates what people were told.
fn nobody() -> Error {
    Error::unavailable("nothing of this platform rotates it")
        .remedy("`towpath secret rotate`, `towpath resource rotate`")
}

fn told_anew(webhook: &Webhook) -> DepartureItem {
    let Webhook { team, name, .. } = webhook;
    DepartureItem::new("Subscription", team, name, DepartureOutcome::ByHand)
        .because("its receiver is told the next secret by people")
        .by(vec![format!(
            "towpath subscription secret {name} --team {team}"
        )])
}

fn replaced(one: PersonalCredential) -> DepartureItem {
    let tool = DepartureItem::new("Tool", "", &one.tool, DepartureOutcome::ByHand)
        .because("their own credential there: register a service account in its place")
        .by(vec![format!("towpath tool show {}", one.tool)]);
    DepartureItem {
        key: Some(one.credential),
        ..tool
    }
}
