//! Keeping tools in step: looks at what there is, tells what differs, makes it what it should be.
//!
//! What differs is in the log before anything is sent. A tool that cannot be asked is left alone: its
//! silence says nothing of what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use futures::future::join_all;
use kernel::{
    Caller, Change, Error, Event, Key, Kind, Next, Query, Reconciler, Resource, Result, Store,
    reconciler::Context,
};
use uuid::Uuid;

use super::{lane_of, pass::Pass, places};
use crate::{
    Teams,
    api::SourceState,
    model::{
        Condition, Holding, Integration, IntegrationState, IntegrationStatus, Step, Team, Truth,
    },
    port::Member,
    tool::{Wanted, WantedMember},
};

/// Keeps all tools in step with each team.
pub struct Integrations(pub Arc<Teams>);

/// Has all teams looked at when an integration changes.
pub struct IntegrationChanges(pub Arc<Teams>);

#[async_trait]
impl Reconciler for IntegrationChanges {
    fn name(&self) -> &'static str {
        "integration-changes"
    }

    fn kind(&self) -> &'static str {
        Integration::KIND
    }

    async fn reconcile(&self, context: &Context, _: &Key) -> Result<Next> {
        for team in self.0.store().keys(Team::KIND, None).await? {
            context.nudge(team);
        }
        Ok(Next::Idle)
    }
}

#[async_trait]
impl Reconciler for Integrations {
    fn name(&self) -> &'static str {
        "integrations"
    }

    fn kind(&self) -> &'static str {
        Team::KIND
    }

    /// What tells of a team, `team.sync` with it; not what its reconciler notes in its status.
    fn concerns(&self, event: &Event) -> Vec<Key> {
        let noted = event.kind == format!("{}status-changed", Event::RESOURCE);
        event
            .subject_key()
            .filter(|key| key.kind == Team::KIND && !noted)
            .into_iter()
            .collect()
    }

    fn lane(&self, key: &Key) -> String {
        lane_of(&self.0, key)
    }

    async fn survey(&self, _: &Context) -> Result<()> {
        self.0.registry().current().await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let store = self.0.store();
        let rebuilt = self.0.places();
        rebuilt.get_or_try_init(|| places::rebuild(context)).await?;
        let team = store.get::<Team>("", &key.name).await?;
        let all = store.list_all::<Integration>(&Query::default()).await?;
        let wants = |one: &Resource<Integration>| {
            let team = team.as_ref();
            one.spec.enabled && team.is_some_and(|team| one.spec.teams.selects(team))
        };
        let selected: Vec<_> = all.into_iter().filter(wants).collect();
        let states = store
            .list_all::<IntegrationState>(&Query::scope(&*key.name))
            .await?;
        let mut states: BTreeMap<String, _> = states
            .into_iter()
            .map(|state| (state.meta.name.clone(), state))
            .collect();
        if let Some(team) = &team
            && !selected.is_empty()
        {
            let mut wanted = self.wanted(team).await.inspect_err(|error| {
                let (team, error) = (&team.meta.name, error.chain());
                tracing::warn!(team, error, "what tools should know of a team is not known");
            });
            if let Ok(wanted) = &mut wanted
                && selected.iter().any(|one| self.audits(one))
            {
                wanted.secrets = self.secrets(team).await;
            }
            let names: BTreeSet<&str> = selected.iter().map(|one| one.meta.name.as_str()).collect();
            // Of integrations that there were: one that is made anew under another name goes on with it.
            let former: Vec<Holding> = states
                .iter()
                .filter(|(name, _)| !names.contains(name.as_str()))
                .filter_map(|(_, state)| state.status.rested()?.holds)
                .collect();
            let mut passes = Vec::new();
            for integration in &selected {
                let pass = Pass {
                    teams: &self.0,
                    context,
                    integration,
                    caller: Caller::system("integrations", Uuid::now_v7()),
                    state: states.remove(&integration.meta.name),
                    former: &former,
                    place: places::Found::default(),
                    violations: None,
                    accounts: None,
                };
                passes.push(pass.run(team, &wanted));
            }
            let settled = join_all(passes).await;
            rest(context, Some(team), states.into_values()).await?;
            // One that is away is looked at again soon; the others with it, which costs a look.
            return match settled.into_iter().collect::<Result<Vec<bool>>>()? {
                all if all.iter().all(|settled| *settled) => Ok(Next::Idle),
                _ => Err(Error::unavailable(format!(
                    "not all tools are in step with team `{}`",
                    team.meta.name
                ))),
            };
        }
        rest(context, team.as_ref(), states.into_values()).await?;
        Ok(Next::Idle)
    }
}

/// Notes of tools that are not kept in step with the team any more what is ours there, as long as the
/// team is registered, and takes away all else that is said of them: the tools stay as they are.
async fn rest(
    context: &Context,
    team: Option<&Resource<Team>>,
    states: impl Iterator<Item = Resource<IntegrationState>>,
) -> Result<()> {
    let is_registered = team.is_some_and(|team| team.spec.is_registered());
    for mut state in states {
        let mut change = Change::new().fenced(context.fence.clone());
        match state.status.rested().filter(|_| is_registered) {
            Some(rested) if rested == state.status => continue,
            Some(rested) => {
                state.status = rested;
                if IntegrationState::mark(&mut state) {
                    change.spec(&state)?;
                } else {
                    change.status(&state)?;
                }
            }
            None => {
                change.remove(&state)?;
                if let Some(held) = &state.status.holds {
                    let meta = &state.meta;
                    places::release(&context.store, &mut change, held, &meta.scope, &meta.name)
                        .await?;
                }
            }
        }
        context.store.commit(change).await?;
    }
    Ok(())
}

impl Integrations {
    fn audits(&self, integration: &Resource<Integration>) -> bool {
        let spec = &integration.spec;
        let tool = self.0.tool(&spec.tool);
        tool.is_some_and(|tool| tool.audits(&spec.config))
    }

    /// What a team's secrets are called. Where that cannot be told, all else goes on.
    async fn secrets(&self, team: &Resource<Team>) -> Option<Vec<String>> {
        let names = self.0.ports().secrets.names(&team.meta.name).await;
        names
            .inspect_err(|error| {
                tracing::warn!(
                    error = error.chain(),
                    "copies of secrets are not looked for"
                );
            })
            .ok()
    }

    /// What tools should know of a team. Fails where a source cannot say who is in it.
    async fn wanted(&self, team: &Resource<Team>) -> Result<Wanted> {
        let mut wanted = Wanted {
            name: team.meta.name.clone(),
            group: team.spec.group.clone(),
            description: team.spec.description.clone(),
            members: vec![],
            complete: true,
            left: vec![],
            listed: vec![],
            secrets: None,
        };
        if !team.spec.is_registered() {
            // Nobody is in it any more.
            return Ok(wanted);
        }
        let caller = Caller::system("integrations", Uuid::now_v7());
        let answers = self.0.members(&caller, &team.meta.name).await?.sources;
        let upstreams = self.0.upstreams().await?;
        let accounts: BTreeMap<_, _> = upstreams
            .iter()
            .filter_map(|source| Some((source.name(), source.accounts()?)))
            .collect();
        let (mut known, mut listed) = (false, false);
        for answer in answers {
            match answer.state {
                SourceState::Unavailable => {
                    return Err(Error::unavailable(format!(
                        "{} cannot say who is in the team: {}",
                        answer.source, answer.message
                    )));
                }
                SourceState::Missing => continue,
                SourceState::Seen => wanted.complete &= !answer.some,
                SourceState::Complete => {
                    listed = true;
                    wanted.listed.push(answer.source.clone());
                }
            }
            known = true;
            let account = accounts.get(answer.source.as_str());
            let member = |one: Member| WantedMember {
                account: account.map(|&account| account.to_owned()),
                lead: team.spec.leads.contains(&one.subject),
                email: one.email,
                name: one.name,
                subject: one.subject,
            };
            wanted
                .members
                .extend(answer.members.into_iter().map(member));
            wanted.left.extend(answer.left.into_iter().map(member));
        }
        if !known {
            // Renamed, perhaps: that nobody is in it is not said.
            return Err(Error::unavailable(format!(
                "no source knows the group `{}`",
                team.spec.group
            )));
        }
        // Who has never told of anybody adds nobody to a list; alone, that says nothing of who is in it.
        wanted.complete &= listed;
        // Of a list of all, whoever is not in it is out.
        wanted.left.retain(|_| !wanted.complete);
        wanted.members.sort();
        wanted.left.sort();
        Ok(wanted)
    }
}

/// The tools that do not know yet that a team has left, each with why.
pub async fn integrations_left(store: &Store, team: &Resource<Team>) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for (name, status) in looked_at(store, team).await? {
        let knows = status.step == Step::InStep && status.generation >= team.meta.generation;
        if !knows {
            left.push(match status.message.as_str() {
                "" => format!("integration {name} is yet to be told"),
                why => format!("integration {name}: {why}"),
            });
        }
    }
    Ok(left)
}

/// The tools that a team is kept in step with, and how far each is.
async fn looked_at(
    store: &Store,
    team: &Resource<Team>,
) -> Result<Vec<(String, IntegrationStatus)>> {
    let mut found = Vec::new();
    for integration in store.list_all::<Integration>(&Query::default()).await? {
        if integration.spec.enabled && integration.spec.teams.selects(team) {
            let name = integration.meta.name;
            let state = store
                .get::<IntegrationState>(&team.meta.name, &name)
                .await?;
            found.push((name, state.map(|state| state.status).unwrap_or_default()));
        }
    }
    Ok(found)
}

/// Whether the tools that a team is kept in step with are so: for the team's conditions.
pub async fn integrations_ready(store: &Store, team: &Resource<Team>) -> Result<Condition> {
    let (mut waits, mut unknown, mut done) = (Vec::new(), false, Vec::new());
    for (name, status) in looked_at(store, team).await? {
        match status.step {
            Step::InStep => done.push(name),
            Step::New => waits.push(format!("{name} is yet to be looked at")),
            Step::OutOfStep => waits.push(format!("{name}: {}", status.message)),
            Step::Resting => waits.push(format!("{name} is yet to be looked at again")),
            Step::Unknown => {
                unknown = true;
                waits.push(format!("{name}: {}", status.message));
            }
        }
    }
    let done = match done.len() {
        0 => "none configured".to_owned(),
        _ => format!("in step: {}", done.join(", ")),
    };
    let condition = Condition::waiting_for(Condition::INTEGRATIONS, &waits, done);
    Ok(if unknown {
        Condition::new(Condition::INTEGRATIONS, Truth::Unknown, condition.message)
    } else {
        condition
    })
}
