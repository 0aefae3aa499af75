//! The level-triggered work of teams: idempotent, safe to run twice and to kill. [`Onboarding`] makes of
//! a team what it should be, tells of it again and again, and takes it away; [`Integrations`] keeps other
//! tools in step with it; [`ToolCredentials`] reminds of what comes to its end there.

mod conditions;
mod follow;
mod integrations;
mod leads;
mod leave;
mod measure;
mod pass;
mod people;
mod places;
mod sync;
mod told;
mod tools;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Event, Key, Kind, NewEvent, Next, Outcome, Query, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Teams,
    model::{IntegrationState, Namespace, NamespaceSpec, Taken, Team, TeamStatus},
    service::namespaces::made,
};

pub use self::{
    integrations::{IntegrationChanges, Integrations, integrations_left, integrations_ready},
    measure::Measuring,
    people::PeopleChanges,
    tools::ToolCredentials,
};

/// Whose name the reconciler's events bear.
const PART: &str = "teams";

/// How soon a team is looked at again that waits for something nobody tells of.
const SOON: Duration = Duration::from_secs(5);

/// The same of one that is onboarded.
const LATER: Duration = Duration::from_secs(30);

/// The reconciler of [`Team`].
pub struct Onboarding(pub Arc<Teams>);

#[async_trait]
impl Reconciler for Onboarding {
    fn name(&self) -> &'static str {
        PART
    }

    fn kind(&self) -> &'static str {
        Team::KIND
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        let (teams, ports) = (&self.0, self.0.ports());
        let named = |name: String| Key::of::<Team>("", name);
        if let Some(group) = ports.local.group_of(event) {
            let of_group = teams.registry().of_group(&group);
            return of_group.into_iter().map(named).collect();
        }
        if let Some(team) = ports.credentials.team_of(event) {
            return vec![named(team)];
        }
        let Some(key) = event.subject_key() else {
            return vec![];
        };
        let is_by = |part: &str| event.actor == format!("system:{part}");
        match key.kind.as_str() {
            // Its own words are no news to it.
            Team::KIND if is_by(PART) => vec![],
            Team::KIND => vec![key],
            Namespace::KIND | IntegrationState::KIND => vec![named(key.scope)],
            _ => vec![],
        }
    }

    fn lane(&self, key: &Key) -> String {
        lane_of(&self.0, key)
    }

    async fn survey(&self, _: &Context) -> Result<()> {
        self.0.registry().current().await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(team) = context.store.get::<Team>("", &key.name).await? else {
            return Ok(Next::Idle);
        };
        let mut pass = Pass {
            teams: &self.0,
            context,
            caller: Caller::system(PART, team.meta.uid),
            team,
        };
        if pass.team.spec.is_registered() {
            pass.keep().await
        } else {
            pass.leave().await
        }
    }
}

/// Teams whose sources are asked take turns with all others, and never have all places: however long a source takes
/// to answer, a team that it does not count for is not behind it.
fn lane_of(teams: &Teams, key: &Key) -> String {
    teams.registry().lane(&key.name, teams.ports().local.name())
}

/// One look at one team.
struct Pass<'a> {
    teams: &'a Teams,
    context: &'a Context,
    caller: Caller,
    team: Resource<Team>,
}

impl Pass<'_> {
    fn name(&self) -> &str {
        &self.team.meta.name
    }

    fn change(&self) -> Change {
        Change::new()
            .by(&self.caller)
            .fenced(self.context.fence.clone())
    }

    async fn commit(&self, change: Change) -> Result<()> {
        self.context.store.commit(change).await.map(drop)
    }

    fn event(&self, what: &str, outcome: Option<Outcome>, data: serde_json::Value) -> NewEvent {
        let key = self.team.key();
        NewEvent::caused(what, key, self.name(), &self.caller, outcome, data)
    }

    async fn namespaces(&self) -> Result<Vec<Resource<Namespace>>> {
        self.context
            .store
            .list_all(&Query::scope(self.name()))
            .await
    }

    /// Has the team have all that it should.
    async fn keep(&mut self) -> Result<Next> {
        self.end_credentials().await?;
        if self.end_interactions().await?
            || self.make_namespaces().await?
            || self.follow_group().await?
        {
            // What was written is looked at anew.
            self.context.nudge(self.team.key());
            return Ok(Next::After(SOON));
        }
        self.end_gone().await?;
        let before = self.team.clone();
        let namespaces = self.namespaces().await?;
        let group = self.look_at_group().await;
        let conditions = self.conditions(&namespaces, &group).await?;
        let is_ready = conditions::are_met(&conditions);
        let (now, created) = (Timestamp::now(), self.team.meta.created);
        let status = &mut self.team.status;
        // Once onboarded it stays so: what is not as it should be since is said by its conditions.
        let was_onboarded = status.phase == READY;
        // Taken in again, it is onboarded again.
        let taken_in = if status.phase == LEFT { now } else { created };
        let began = *status.began.get_or_insert(taken_in);
        status.conditions = conditions;
        status.remaining.clear();
        let is_onboarded = is_ready || was_onboarded;
        let is_open = before
            .spec
            .interactions
            .iter()
            .any(|one| one.lacks().is_some());
        status.open_ended = is_open;
        status.phase = if is_onboarded { READY } else { "onboarding" }.into();
        if is_ready && !was_onboarded {
            status.onboarded = Some(now);
        }
        let mut change = self.change();
        let matters = self.team.status != before.status;
        if is_ready && !was_onboarded {
            let seconds = now.duration_since(began).as_secs_f64();
            let data = json!({ "team": self.name(), "seconds": seconds });
            change.event(self.event("team.onboarded", Some(Outcome::Pass), data));
        }
        if is_open && !before.status.open_ended {
            let open = self.team.spec.interactions.iter();
            let open: Vec<_> = open.filter(|one| one.lacks().is_some()).collect();
            let data = json!({ "team": self.name(), "interactions": open });
            change.event(self.event("team.interaction-warning", Some(Outcome::Fail), data));
        }
        let due = self.tell_if_due(&mut change, &group);
        if matters {
            change.status(&self.team)?;
        } else if !change.is_empty() {
            // That it was told of concerns nobody beyond the event that tells.
            change.note(&self.team)?;
        }
        if !change.is_empty() {
            self.commit(change).await?;
        }
        let again = match (is_ready, is_onboarded) {
            (true, _) => None,
            // Most of what it waits for tells when it is there.
            (false, true) => Some(LATER),
            (false, false) => Some(SOON),
        };
        Ok(Next::After(self.wait(due, again)))
    }

    /// Until what comes next.
    fn wait(&self, due: Duration, again: Option<Duration>) -> Duration {
        let ends = self
            .team
            .spec
            .interactions
            .iter()
            .filter_map(|one| one.expires);
        let now = self.teams.settings().clock.now();
        let until =
            |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
        let next_end = ends.min().map(until);
        let least = [Some(due), next_end, again].into_iter().flatten().min();
        least.unwrap_or(due).max(Duration::from_millis(10))
    }

    /// Takes out the interactions whose time is over, and says so.
    async fn end_interactions(&mut self) -> Result<bool> {
        let now = self.teams.settings().clock.now();
        let all = std::mem::take(&mut self.team.spec.interactions);
        let is_over = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let (over, open): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| is_over(one.expires));
        self.team.spec.interactions = open;
        if over.is_empty() {
            return Ok(false);
        }
        let mut change = self.change();
        change.spec(&self.team)?;
        for one in over {
            change.event(self.event("team.interaction-ended", None, json!(one)));
        }
        self.commit(change).await?;
        Ok(true)
    }

    /// Ends what deploys to namespaces that go or are gone. What is recorded of one that is gone is let go of
    /// after that, and only then can another of its name be made.
    async fn end_credentials(&mut self) -> Result<()> {
        let namespaces = self.namespaces().await?;
        let mut left = self.team.status.credentials.clone();
        for (name, uid) in &self.team.status.credentials {
            let found = namespaces.iter().find(|one| one.meta.uid == *uid);
            if found.is_some_and(|namespace| !namespace.is_deleting()) {
                continue;
            }
            let credentials = &self.teams.ports().credentials;
            credentials.end(&self.caller, self.name(), name).await?;
            if found.is_none() {
                left.remove(name);
            }
        }
        if left == self.team.status.credentials {
            return Ok(());
        }
        self.team.status.credentials = left;
        let mut change = self.change();
        change.status(&self.team)?;
        self.commit(change).await?;
        self.team = self.context.store.expect("", self.name()).await?;
        Ok(())
    }

    /// Makes the standard namespaces that are missing. What the team made itself of such a name before it
    /// was a standard one becomes one as it is.
    async fn make_namespaces(&mut self) -> Result<bool> {
        let mut namespaces = self.namespaces().await?;
        let mut change = self.change();
        let (mut changed, mut status) = (false, false);
        let known: BTreeSet<Uuid> = self.team.status.credentials.values().copied().collect();
        for role in &self.team.spec.environments {
            let name = format!("{}-{role}", self.name());
            match namespaces.iter_mut().find(|one| one.meta.name == name) {
                Some(there) if there.spec.standard || there.is_deleting() => {}
                Some(there) => {
                    there.spec.standard = true;
                    change.spec(there)?;
                    changed = true;
                }
                // It has just gone, and what deploys to it has not ended yet.
                None if self.team.status.credentials.contains_key(&name) => changed = true,
                None => {
                    let spec = NamespaceSpec {
                        role: role.clone(),
                        standard: true,
                        ..NamespaceSpec::default()
                    };
                    let new = made(self.name(), &name, spec);
                    change.create(&new)?;
                    namespaces.push(new);
                    changed = true;
                }
            }
        }
        let stay = namespaces.iter().filter(|one| !one.is_deleting());
        let taken = Taken::by(&self.team.spec.environments, stay.map(|one| &one.spec));
        if self.team.status.taken != taken {
            self.team.status.taken = taken;
            status = true;
        }
        for namespace in namespaces.iter().filter(|one| !one.is_deleting()) {
            let (name, uid) = (namespace.meta.name.clone(), namespace.meta.uid);
            let recorded = &mut self.team.status.credentials;
            status |= *recorded.entry(name).or_insert_with(|| uid) == uid && !known.contains(&uid);
        }
        if status {
            change.status(&self.team)?;
        }
        if !change.is_empty() {
            self.commit(change).await?;
        }
        Ok(changed || status)
    }
}

/// The phase of a team whose conditions were met once.
const READY: &str = "ready";

/// The phase of a team that is a customer no longer.
const LEFT: &str = TeamStatus::OFFBOARDED;
