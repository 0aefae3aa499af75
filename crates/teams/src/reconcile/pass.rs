//! One look at one tool for one team, and what comes of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::{
    Caller, Change, Error, ErrorKind, Key, NewEvent, Outcome, Resource, Result, reconciler::Context,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    places,
    told::{difference, joined},
};
use crate::{
    Teams,
    model::{Holding, Integration, IntegrationState, Origin, Step, Team, Told},
    tool::{Found, Home, Place, Presence, Repair, Tool, Wanted},
};

/// Looks in a row at the most: what has to be there first, and then what is in it.
const ROUNDS: usize = 4;
/// Differences that one event tells of; the rest is counted.
const TOLD: usize = 50;
/// Failures that one message names; the rest is counted.
const NAMED: usize = 10;
/// Obstacles that one message names; the rest is counted.
const OBSTACLES: usize = 30;

/// One look at one tool for one team.
pub(super) struct Pass<'a> {
    pub(super) teams: &'a Teams,
    pub(super) context: &'a Context,
    pub(super) integration: &'a Resource<Integration>,
    pub(super) caller: Caller,
    pub(super) state: Option<Resource<IntegrationState>>,
    /// What other integrations of the team had, that are no more.
    pub(super) former: &'a [Holding],
    /// What is known of the tool's place for the team.
    pub(super) place: places::Found,
    /// What was found against the rules, where that was looked at.
    pub(super) violations: Option<Vec<String>>,
    /// Whom the tool knows by what account, where that was looked at.
    pub(super) accounts: Option<BTreeMap<String, String>>,
}

impl Pass<'_> {
    /// Says whether there is nothing more to do for now.
    pub(super) async fn run(
        mut self,
        team: &Resource<Team>,
        wanted: &Result<Wanted>,
    ) -> Result<bool> {
        let ended = match wanted {
            Ok(wanted) => self.keep(team, wanted).await,
            Err(error) => Err(error.clone()),
        };
        let generation = team.meta.generation;
        let team = team.meta.name.as_str();
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
                    ErrorKind::Invalid if wanted.is_ok() => Step::OutOfStep,
                    _ => Step::Unknown,
                };
                // Else the log has it once for all tools.
                if wanted.is_ok() {
                    let name = &self.integration.meta.name;
                    tracing::warn!(integration = name, team, error = error.chain(), "a tool");
                }
                let message = match error.remedy {
                    Some(remedy) => format!("{}: {remedy}", error.message),
                    None => error.message,
                };
                self.settle(team, step, message, None).await?;
                Ok(false)
            }
        }
    }

    async fn keep(
        &mut self,
        team: &Resource<Team>,
        wanted: &Wanted,
    ) -> Result<(Step, String, String)> {
        let leaves = !team.spec.is_registered();
        let name = team.meta.name.as_str();
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
        let home = tool.home(&spec.config, name)?;
        let digest = digest(&(&spec.config, wanted))?;
        if let Some(home) = &home {
            self.place = places::Found::at(self.teams.store(), &home.at, name).await?;
            if let Some(other) = self.place.holder(name) {
                if leaves {
                    return Ok((Step::InStep, String::new(), digest));
                }
                return Err(taken(home, other));
            }
        }
        let mut origin = home.as_ref().and_then(|home| self.origin(home));
        let known = self.state.as_ref().map(|state| &state.status.accounts);
        let mut known = known.cloned().unwrap_or_default();
        let was = self
            .state
            .as_ref()
            .map(|state| state.status.wanted.as_str());
        let mut is_drift = was == Some(&digest);
        for _ in 0..ROUNDS {
            let place = Place {
                config: &spec.config,
                credential: credential.as_ref(),
                ours: home.is_none() || origin.is_some(),
                accounts: &known,
            };
            let mut found = tool.look(place, &wanted.without(&known)).await?;
            self.violations = found.violations.take();
            if found.presence == Presence::There {
                known = remembered(wanted, &known, &found.accounts);
                self.accounts = Some(known.clone());
            }
            // Who is in it without a right goes first.
            found.repairs.sort_by_key(|repair| repair.wanted.is_some());
            if leaves {
                // For it nothing is made any more, and nobody is let in.
                found.repairs.retain(|repair| repair.found.is_some());
            }
            if leaves && found.presence != Presence::There {
                // There is nothing of ours that anybody could be in.
                return Ok((Step::InStep, String::new(), digest));
            }
            if let Some(home) = &home {
                origin = self.claim(name, home, origin, found.presence).await?;
            }
            let place = Place {
                config: &spec.config,
                credential: credential.as_ref(),
                ours: true,
                accounts: &known,
            };
            if found.repairs.is_empty() {
                let step = if found.obstacles.is_empty() {
                    Step::InStep
                } else {
                    Step::OutOfStep
                };
                return Ok((step, joined(found.obstacles, OBSTACLES), digest));
            }
            let is_new = self.tell(name, &found, is_drift).await?;
            let mended = mend(tool, place, &found.repairs).await;
            self.mended(name, &found, &mended, !is_new).await?;
            if found.presence == Presence::Absent
                && let Err(error) = &mended
                && error.kind == ErrorKind::Invalid
            {
                // It has not been made: what is there the next time is somebody else's.
                self.hold(name, None).await?;
            }
            mended?;
            is_drift = false;
        }
        let message = "it is not what was written, however often".to_owned();
        Ok((Step::OutOfStep, message, digest))
    }

    /// Where what the tool has of the team comes from, as far as a record or the configuration says.
    fn origin(&self, home: &Home) -> Option<Origin> {
        let state = self.state.as_ref();
        let held = state.and_then(|state| state.status.holds.as_ref());
        let mut held = held.into_iter().chain(self.former);
        let held = held.find(|held| held.at == home.at);
        let adopted = home.adopted.then_some(Origin::Adopted);
        held.map(|held| held.origin).or(adopted)
    }

    /// Records whose what was found is, before anything is sent: what was asked for and not answered is
    /// known again. Fails where it is somebody else's.
    async fn claim(
        &mut self,
        team: &str,
        home: &Home,
        origin: Option<Origin>,
        presence: Presence,
    ) -> Result<Option<Origin>> {
        let origin = match (presence, origin) {
            (Presence::Absent, _) => Origin::Making,
            (Presence::There, Some(Origin::Making)) => Origin::Made,
            (Presence::There, Some(origin)) => origin,
            (Presence::There | Presence::Foreign, _) => {
                return Err(Error::unavailable(format!(
                    "{} is there already, and was not made from here",
                    home.what
                ))
                .remedy(format!(
                    "add `{team}` to `adopt` in the integration's configuration to have it kept in step, \
                     or remove it there"
                )));
            }
        };
        let at = home.at.clone();
        self.hold(team, Some(Holding { at, origin })).await?;
        Ok(Some(origin))
    }

    /// Writes down what is held, and in the same transaction whose the place is, where that is new. Fails
    /// with `Conflict` where another team was given the place meanwhile.
    async fn hold(&mut self, team: &str, holds: Option<Holding>) -> Result<()> {
        let (mut state, is_new) = self.current(team);
        let integration = self.integration.meta.name.as_str();
        let is_same = state.status.holds == holds;
        let is_held = holds.is_none() || self.place.is_held(team, integration);
        if is_same && is_held && state.status.step != Step::Resting {
            return Ok(());
        }
        let mut change = self.change();
        let store = self.teams.store();
        let at = holds.as_ref().map(|held| held.at.clone());
        if let Some(before) = &state.status.holds
            && at.as_ref() != Some(&before.at)
        {
            places::release(store, &mut change, before, team, integration).await?;
        }
        if let Some(at) = &at {
            self.place.take(&mut change, at, team, integration)?;
        }
        if state.status.step == Step::Resting {
            // From here on nobody may take its place over.
            state.status.step = Step::New;
        }
        state.status.holds = holds;
        if is_new {
            change.create(&state)?;
        } else {
            change.status(&state)?;
        }
        let written = self.write(team, change).await;
        written.map_err(|error| match error.kind {
            ErrorKind::AlreadyExists => Error::conflict("a place was given to another team")
                .caused_by(error)
                .overtaken(),
            _ => error,
        })?;
        if let Some(at) = at {
            self.place = places::Found::at(store, &at, team).await?;
        }
        Ok(())
    }

    /// The state as it is, or a new one; and whether it is new.
    fn current(&self, team: &str) -> (Resource<IntegrationState>, bool) {
        if let Some(state) = &self.state {
            return (state.clone(), false);
        }
        let name = &self.integration.meta.name;
        let mut state = Resource::<IntegrationState>::new(team, name.as_str(), ());
        let labels = &mut state.meta.labels;
        labels.insert(kernel::Meta::TEAM.into(), team.into());
        labels.insert(IntegrationState::INTEGRATION.into(), name.clone());
        (state, true)
    }

    fn change(&self) -> Change {
        Change::new()
            .fenced(self.context.fence.clone())
            .by(&self.caller)
    }

    /// Commits, and goes on with the state as it is then.
    async fn write(&mut self, team: &str, change: Change) -> Result<()> {
        self.context.store.commit(change).await?;
        let name = &self.integration.meta.name;
        self.state = self.context.store.get(team, name).await?;
        Ok(())
    }

    fn key(&self, team: &str) -> Key {
        Key::of::<IntegrationState>(team, &*self.integration.meta.name)
    }

    /// Records what differs, before anything is done about it: as drift, where it was otherwise before
    /// and nobody wanted that. What was told the last time, and is still so, is not told again: says
    /// whether it was.
    async fn tell(&mut self, team: &str, found: &Found, is_drift: bool) -> Result<bool> {
        let differences: Vec<Value> = found.repairs.iter().map(difference).collect();
        let (mut state, is_new) = self.current(team);
        let told = Told {
            differences: digest(&differences)?,
            mended: false,
        };
        let before = state.status.told.as_ref();
        if before.is_some_and(|before| before.differences == told.differences) {
            return Ok(false);
        }
        // With the event: whoever is killed after it has counted it.
        let counts = is_drift && before.is_none();
        state.status.drifts += u32::from(counts);
        state.status.told = Some(told);
        let what = if is_drift {
            "integration.drift"
        } else {
            // From here on it is in step with no wish until it is with this one.
            state.status.wanted.clear();
            "integration.update"
        };
        let mut change = self.change();
        if is_new {
            change.create(&state)?;
        } else {
            change.status(&state)?;
        }
        change.event(NewEvent::caused(
            what,
            self.key(team),
            team,
            &self.caller,
            is_drift.then_some(Outcome::Fail),
            json!({
                "type": self.integration.spec.tool,
                "differences": differences.iter().take(TOLD).collect::<Vec<_>>(),
                "more": differences.len().saturating_sub(TOLD),
            }),
        ));
        self.write(team, change).await?;
        Ok(true)
    }

    /// Records what came of it: once that it failed, and once that it went well.
    async fn mended(
        &mut self,
        team: &str,
        found: &Found,
        mended: &Result<()>,
        again: bool,
    ) -> Result<()> {
        let (mut state, _) = self.current(team);
        let known = state.status.told.as_ref().is_some_and(|told| told.mended);
        if again && (known || mended.is_err()) {
            return Ok(());
        }
        if let Some(told) = &mut state.status.told {
            told.mended = mended.is_ok();
        }
        let (outcome, reason) = match mended {
            Ok(()) => (Outcome::Pass, Value::Null),
            Err(error) => (Outcome::Fail, error.message.clone().into()),
        };
        let mut change = self.change();
        change.status(&state)?;
        change.event(NewEvent::caused(
            "integration.mended",
            self.key(team),
            team,
            &self.caller,
            Some(outcome),
            json!({ "differences": found.repairs.len(), "reason": reason }),
        ));
        self.write(team, change).await
    }

    /// Notes how far it is.
    async fn settle(
        &mut self,
        team: &str,
        step: Step,
        message: String,
        wanted: Option<(String, i64)>,
    ) -> Result<()> {
        let mut change = self.change();
        let (mut state, is_new) = self.current(team);
        let before = state.status.clone();
        state.status.step = step;
        state.status.message = message;
        if let Some((digest, generation)) = wanted
            && state.status.step == Step::InStep
        {
            state.status.wanted = digest;
            state.status.generation = generation;
            state.status.told = None;
        }
        if let Some(violations) = self.violations.take()
            && violations != state.status.violations
        {
            let outcome = if violations.is_empty() {
                Outcome::Pass
            } else {
                Outcome::Fail
            };
            change.event(NewEvent::caused(
                "integration.violation",
                self.key(team),
                team,
                &self.caller,
                Some(outcome),
                json!({
                    "type": self.integration.spec.tool,
                    "violations": violations.iter().take(TOLD).collect::<Vec<_>>(),
                    "more": violations.len().saturating_sub(TOLD),
                }),
            ));
            state.status.violations = violations;
        }
        if let Some(accounts) = self.accounts.take() {
            state.status.accounts = accounts;
        }
        let same = state.status == before;
        let is_marked = IntegrationState::mark(&mut state);
        state.status.looked = Some(Timestamp::now());
        if is_new {
            change.create(&state)?;
        } else if is_marked {
            change.spec(&state)?;
        } else if same {
            change.note(&state)?;
        } else {
            change.status(&state)?;
        }
        self.context.store.commit(change).await.map(drop)
    }
}

/// The accounts to keep in mind: those that were found, and those of before as long as somebody may still be
/// found to have left.
fn remembered(
    wanted: &Wanted,
    before: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let all = before.iter().chain(found);
    all.filter(|(subject, _)| !wanted.complete || found.contains_key(*subject))
        .map(|(subject, account)| (subject.clone(), account.clone()))
        .collect()
}

/// Two teams cannot have one place.
fn taken(home: &Home, other: &str) -> Error {
    let error = Error::unavailable(format!("{} is kept for team `{other}`", home.what));
    error.remedy(home.remedy)
}

/// Tries all: what one thing is refused for says nothing of the next. Fails with each that failed, and
/// why; as `Invalid` where the tool has refused all of these.
async fn mend(tool: &dyn Tool, place: Place<'_>, repairs: &[Repair]) -> Result<()> {
    let (mut failed, mut kind) = (Vec::new(), ErrorKind::Invalid);
    for repair in repairs {
        if let Err(error) = tool.mend(place, &repair.call).await {
            tracing::warn!(what = repair.what, error = error.chain(), "a repair");
            if error.kind != ErrorKind::Invalid {
                kind = ErrorKind::Unavailable;
            }
            let remedy = error.remedy.map(|remedy| format!(" ({remedy})"));
            let remedy = remedy.unwrap_or_default();
            failed.push(format!("{}: {}{remedy}", repair.what, error.message));
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(kind, joined(failed, NAMED)))
}

/// Tells whether something is the same as before, and nobody's name.
fn digest(of: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(of).map_err(|error| {
        Error::internal("what is to be compared could not be serialized", error)
    })?;
    Ok(kernel::bytes::hex(&Sha256::digest(text)[..16]))
}
