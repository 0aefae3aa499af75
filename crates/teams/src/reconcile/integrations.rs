//! Keeping tools in step: looks at what there is, tells what differs, makes it what it should be.
//!
//! What differs is in the log before anything is sent. A tool that cannot be asked is left alone: its
//! silence says nothing of what is there.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::future::join_all;
use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, ErrorKind, Event, Key, Kind, NewEvent, Next, Outcome, Query, Reconciler,
    Resource, Result, Store, reconciler::Context,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    Teams,
    api::SourceState,
    model::{Condition, Integration, IntegrationState, IntegrationStatus, Step, Team, Truth},
    tool::{Found, Place, Repair, Tool, Wanted, WantedMember},
};

/// Looks in a row at the most: what has to be there first, and then what is in it.
const ROUNDS: usize = 4;
/// Differences that one event tells of; the rest is counted.
const TOLD: usize = 50;
/// The longest text of a difference.
const LONGEST: usize = 300;

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

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let store = self.0.store();
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
            let wanted = self.wanted(team).await;
            let mut passes = Vec::new();
            for integration in &selected {
                let pass = Pass {
                    teams: &self.0,
                    context,
                    integration,
                    caller: Caller::system("integrations", Uuid::now_v7()),
                    state: states.remove(&integration.meta.name),
                    drifted: false,
                };
                passes.push(pass.run(team, &wanted));
            }
            let settled = join_all(passes).await;
            forget(context, states.into_values()).await?;
            // One that is away is looked at again soon; the others with it, which costs a look.
            return match settled.into_iter().collect::<Result<Vec<bool>>>()? {
                all if all.iter().all(|settled| *settled) => Ok(Next::Idle),
                _ => Err(Error::unavailable(format!(
                    "not all tools are in step with team `{}`",
                    team.meta.name
                ))),
            };
        }
        forget(context, states.into_values()).await?;
        Ok(Next::Idle)
    }
}

/// Takes away what is said of tools that are not kept in step with the team any more: these stay as they
/// are.
async fn forget(
    context: &Context,
    states: impl Iterator<Item = Resource<IntegrationState>>,
) -> Result<()> {
    for state in states {
        let mut change = Change::new().fenced(context.fence.clone());
        change.remove(&state)?;
        context.store.commit(change).await?;
    }
    Ok(())
}

impl Integrations {
    /// What tools should know of a team. Fails where a source cannot say who is in it.
    async fn wanted(&self, team: &Resource<Team>) -> Result<Wanted> {
        let mut wanted = Wanted {
            name: team.meta.name.clone(),
            group: team.spec.group.clone(),
            description: team.spec.description.clone(),
            members: vec![],
            complete: true,
        };
        if !team.spec.is_registered() {
            // Nobody is in it any more.
            return Ok(wanted);
        }
        let caller = Caller::system("integrations", Uuid::now_v7());
        let answers = self.0.members(&caller, &team.meta.name).await?.sources;
        let mut known = false;
        for answer in answers {
            match answer.state {
                SourceState::Unavailable => {
                    return Err(Error::unavailable(format!(
                        "{} cannot say who is in the team: {}",
                        answer.source, answer.message
                    )));
                }
                SourceState::Missing => continue,
                SourceState::Seen => wanted.complete = false,
                SourceState::Complete => {}
            }
            known = true;
            wanted
                .members
                .extend(answer.members.into_iter().map(|one| WantedMember {
                    lead: team.spec.leads.contains(&one.subject),
                    name: one.name,
                    subject: one.subject,
                }));
        }
        if !known {
            // Renamed, perhaps: that nobody is in it is not said.
            return Err(Error::unavailable(format!(
                "no source knows the group `{}`",
                team.spec.group
            )));
        }
        wanted.members.sort();
        wanted.members.dedup_by(|one, other| one.name == other.name);
        Ok(wanted)
    }
}

/// One look at one tool for one team.
struct Pass<'a> {
    teams: &'a Teams,
    context: &'a Context,
    integration: &'a Resource<Integration>,
    caller: Caller,
    state: Option<Resource<IntegrationState>>,
    /// Whether it was found otherwise than it was left.
    drifted: bool,
}

impl Pass<'_> {
    /// Says whether there is nothing more to do for now.
    async fn run(mut self, team: &Resource<Team>, wanted: &Result<Wanted>) -> Result<bool> {
        let generation = team.meta.generation;
        let team = team.meta.name.as_str();
        let ended = match wanted {
            Ok(wanted) => self.keep(team, wanted).await,
            Err(error) => Err(Error::unavailable(error.message.clone())),
        };
        match ended {
            Ok((step, message, digest)) => {
                let settled = step == Step::InStep;
                let wanted = Some((digest, generation));
                self.settle(team, step, message, wanted).await?;
                Ok(settled)
            }
            // Another replica's turn: nothing was found out about the tool.
            Err(error) if error.kind == ErrorKind::Conflict => Err(error),
            Err(error) => {
                let step = match error.kind {
                    ErrorKind::Invalid => Step::OutOfStep,
                    _ => Step::Unknown,
                };
                let name = &self.integration.meta.name;
                tracing::warn!(integration = name, team, error = error.chain(), "a tool");
                let message = match error.remedy {
                    Some(remedy) => format!("{}: {remedy}", error.message),
                    None => error.message,
                };
                self.settle(team, step, message, None).await?;
                Ok(false)
            }
        }
    }

    async fn keep(&mut self, team: &str, wanted: &Wanted) -> Result<(Step, String, String)> {
        let spec = &self.integration.spec;
        let tool = self.teams.tool(&spec.tool).ok_or_else(|| {
            Error::invalid(format!(
                "this platform has no integration of type `{}`",
                spec.tool
            ))
        })?;
        let uid = self.integration.meta.uid;
        let credential = self
            .teams
            .store()
            .secret(uid, Integration::CREDENTIAL)
            .await?;
        let place = Place {
            config: &spec.config,
            credential: credential.as_ref(),
        };
        let digest = digest(&spec.config, wanted)?;
        let was = self
            .state
            .as_ref()
            .map(|state| state.status.wanted.as_str());
        let mut is_drift = was == Some(&digest);
        for _ in 0..ROUNDS {
            let found = tool.look(place, wanted).await?;
            if found.repairs.is_empty() {
                let step = if found.obstacles.is_empty() {
                    Step::InStep
                } else {
                    Step::OutOfStep
                };
                return Ok((step, found.obstacles.join("; "), digest));
            }
            self.tell(team, &found, is_drift).await?;
            self.drifted |= is_drift;
            let mended = mend(tool, place, &found.repairs).await;
            self.mended(team, &found, &mended).await?;
            mended?;
            is_drift = false;
        }
        let message = "it is not what was written, however often".to_owned();
        Ok((Step::OutOfStep, message, digest))
    }

    fn key(&self, team: &str) -> Key {
        Key::of::<IntegrationState>(team, &*self.integration.meta.name)
    }

    /// Records what differs, before anything is done about it: as drift, where it was otherwise before
    /// and nobody wanted that.
    async fn tell(&self, team: &str, found: &Found, is_drift: bool) -> Result<()> {
        let what = if is_drift {
            "integration.drift"
        } else {
            "integration.update"
        };
        let differences: Vec<Value> = found.repairs.iter().take(TOLD).map(difference).collect();
        let mut change = Change::new()
            .fenced(self.context.fence.clone())
            .by(&self.caller);
        change.event(NewEvent::caused(
            what,
            self.key(team),
            team,
            &self.caller,
            is_drift.then_some(Outcome::Fail),
            json!({
                "type": self.integration.spec.tool,
                "differences": differences,
                "more": found.repairs.len().saturating_sub(TOLD),
            }),
        ));
        self.context.store.commit(change).await.map(drop)
    }

    /// Records what came of it.
    async fn mended(&self, team: &str, found: &Found, mended: &Result<()>) -> Result<()> {
        let (outcome, reason) = match mended {
            Ok(()) => (Outcome::Pass, Value::Null),
            Err(error) => (Outcome::Fail, error.message.clone().into()),
        };
        let mut change = Change::new()
            .fenced(self.context.fence.clone())
            .by(&self.caller);
        change.event(NewEvent::caused(
            "integration.mended",
            self.key(team),
            team,
            &self.caller,
            Some(outcome),
            json!({ "differences": found.repairs.len(), "reason": reason }),
        ));
        self.context.store.commit(change).await.map(drop)
    }

    /// Notes how far it is.
    async fn settle(
        &mut self,
        team: &str,
        step: Step,
        message: String,
        wanted: Option<(String, i64)>,
    ) -> Result<()> {
        let name = &self.integration.meta.name;
        let mut change = Change::new()
            .fenced(self.context.fence.clone())
            .by(&self.caller);
        let is_new = self.state.is_none();
        let mut state = match self.state.take() {
            Some(state) => state,
            None => Resource::<IntegrationState>::new(team, name.as_str(), ()),
        };
        let before = state.status.clone();
        state.status.step = step;
        state.status.message = message;
        if let Some((digest, generation)) = wanted {
            state.status.wanted = digest;
            state.status.generation = generation;
        }
        state.status.drifts += u32::from(self.drifted);
        let same = state.status == before;
        state.status.looked = Some(Timestamp::now());
        if is_new {
            let labels = &mut state.meta.labels;
            labels.insert(kernel::Meta::TEAM.into(), team.into());
            labels.insert(IntegrationState::INTEGRATION.into(), name.clone());
            change.create(&state)?;
        } else if same {
            change.note(&state)?;
        } else {
            change.status(&state)?;
        }
        self.context.store.commit(change).await.map(drop)
    }
}

async fn mend(tool: &dyn Tool, place: Place<'_>, repairs: &[Repair]) -> Result<()> {
    for repair in repairs {
        tool.mend(place, &repair.call).await?;
    }
    Ok(())
}

/// A difference as it is told.
fn difference(repair: &Repair) -> Value {
    let short = |text: &Option<String>| {
        let text = text.as_ref();
        text.map(|text| text.chars().take(LONGEST).collect::<String>())
    };
    json!({
        "what": repair.what,
        "found": short(&repair.found),
        "wanted": short(&repair.wanted),
    })
}

/// Tells whether the same is wanted as before, and nobody's name.
fn digest(config: &Value, wanted: &Wanted) -> Result<String> {
    let text = serde_json::to_vec(&(config, wanted))
        .map_err(|error| Error::internal("what is wanted could not be serialized", error))?;
    let digest = Sha256::digest(text);
    Ok(digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect())
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
