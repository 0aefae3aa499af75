//! Keeps when teams and their people got how far: to access, to a login, to a first deployment.
//!
//! What the log says (logins, deployments, who was taken in by the platform) is read from it, from where it was
//! read to the last time; who else is in a group, and since when, is known only as it is seen. So an event that
//! is missed costs no more than exactness, and none is counted twice. Sources are asked who is in a team where
//! something is told of that, and now and then: of a deployment the log alone says all.

mod awaited;
mod said;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Change, Event, EventFilter, Key, Kind, NewEvent, Next, Reconciler, Resource, Result, Store,
    reconciler::Context,
};

use self::{
    awaited::{Awaited, Hints},
    said::{is_said, source_of, stays},
};
use super::{PART, lane_of};
use crate::{
    Teams,
    api::{SourceAnswer, SourceState},
    model::{Heard, JoinedBy, Milestones, Newcomer, Team, TeamOnboarding},
    service::change::SYNC,
};

/// Where in the log the platform began to keep who comes when: of whoever is there since before it is unknown.
const BEGAN: &str = "teams.onboarding";

/// So far the log is read before that is noted where there was nothing to count: what is read again after a
/// restart, for each team, at the most.
const NOTED: i64 = 1000;

/// The role in which what runs is production.
const PRODUCTION: &str = "prod";

/// How soon a team is looked at again of which somebody is awaited who was not before.
const SOON: Duration = Duration::from_secs(1);

const LOGGED_IN: &str = "session.started";
const REGROUPED: &str = "session.groups-changed";
const MEMBER_ADDED: &str = "team.member-added";
const REQUESTED: &str = "deployment.requested";
const SUCCEEDED: &str = "deployment.succeeded";

/// Whether an event is of this type, which is written without what all begin with.
fn is(event: &Event, what: &str) -> bool {
    event.kind.strip_prefix(NewEvent::PREFIX) == Some(what)
}

fn of_type(what: &str) -> EventFilter {
    EventFilter {
        type_prefix: Some(format!("{}{what}", NewEvent::PREFIX)),
        ..EventFilter::default()
    }
}

/// Keeps [`TeamOnboarding`] of each team.
pub struct Measuring {
    teams: Arc<Teams>,
    awaited: Awaited,
}

impl Measuring {
    /// Keeps in mind of what sort what is told of these teams is.
    fn mark<'a>(&self, teams: impl IntoIterator<Item = &'a str>, how: fn(&Awaited, &str)) {
        for team in teams {
            how(&self.awaited, team);
        }
    }

    /// Notes where in the log the platform begins to keep who comes, where it has not begun: before anything is
    /// asked of it, so that all of a team that comes after is kept.
    pub async fn start(teams: Arc<Teams>) -> Result<Self> {
        let store = teams.store();
        if store.cursor(BEGAN).await? == 0 {
            store.set_cursor(BEGAN, store.head().await?.max(1)).await?;
        }
        // With nobody awaited yet: all teams are looked at in the beginning.
        let awaited = Awaited::default();
        Ok(Self { teams, awaited })
    }
}

#[async_trait]
impl Reconciler for Measuring {
    fn name(&self) -> &'static str {
        "onboarding-measured"
    }

    fn kind(&self) -> &'static str {
        Team::KIND
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        let named = |name: String| Key::of::<Team>("", name);
        if is(event, LOGGED_IN) || is(event, REGROUPED) {
            let teams = self.awaited.came(&event.actor);
            return teams.into_iter().map(named).collect();
        }
        if is(event, SUCCEEDED) {
            let of_team = Some(event.team.clone()).filter(|team| !team.is_empty());
            self.mark(of_team.as_deref(), Awaited::told);
            return of_team.map(named).into_iter().collect();
        }
        if let Some(group) = self.teams.ports().local.group_of(event) {
            let teams = self.teams.registry().of_group(&group);
            self.mark(teams.iter().map(String::as_str), Awaited::changed);
            return teams.into_iter().map(named).collect();
        }
        let of_team = event.subject_key().filter(|key| key.kind == Team::KIND);
        // Again and again it is told of without any news; of what is new others tell as well.
        let is_tick = is(event, SYNC) && event.actor == format!("system:{PART}");
        let Some(key) = of_team.filter(|_| !is_tick) else {
            return vec![];
        };
        let is_noted = event.kind == format!("{}status-changed", Event::RESOURCE);
        let mark = if is_noted {
            Awaited::told
        } else {
            Awaited::changed
        };
        self.mark([key.name.as_str()], mark);
        vec![key]
    }

    fn lane(&self, key: &Key) -> String {
        lane_of(&self.teams, key)
    }

    async fn survey(&self, _: &Context) -> Result<()> {
        self.teams.registry().current().await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let (store, name) = (&context.store, key.name.as_str());
        let kept = store.get::<TeamOnboarding>("", name).await?;
        let team = store.get::<Team>("", name).await?;
        let Some(team) = team.filter(|team| team.spec.is_registered()) else {
            self.awaited.forget(name);
            if let Some(kept) = kept {
                let mut change = Change::new().fenced(context.fence.clone());
                change.remove(&kept)?;
                store.commit(change).await?;
            }
            return Ok(Next::Idle);
        };
        let Some(asked) = team.status.began else {
            // Nobody has looked at it yet: that will be told.
            return Ok(Next::Idle);
        };
        let term = context.fence.epoch;
        let hints = self.awaited.asked(term, name, Instant::now());
        let look = Look {
            teams: &self.teams,
            store,
            team: &team,
            asked,
            hints: &hints,
        };
        match look.run(context, kept).await {
            Ok(milestones) => {
                let people = milestones.people.into_iter();
                let waits_for = people
                    .filter(|(_, one)| one.waits())
                    .map(|(subject, _)| subject);
                let some_new = self.awaited.settle(name, &hints, waits_for.collect());
                Ok(if some_new {
                    Next::After(SOON)
                } else {
                    Next::Idle
                })
            }
            Err(error) => {
                self.awaited.again(name, hints);
                Err(error)
            }
        }
    }
}

/// One look at one team.
struct Look<'a> {
    teams: &'a Teams,
    store: &'a Store,
    team: &'a Resource<Team>,
    asked: Timestamp,
    hints: &'a Hints,
}

impl Look<'_> {
    async fn run(
        &self,
        context: &Context,
        kept: Option<Resource<TeamOnboarding>>,
    ) -> Result<Milestones> {
        let is_new = kept.is_none();
        let mut kept = kept.unwrap_or_else(|| {
            Resource::<TeamOnboarding>::new("", self.team.meta.name.as_str(), ())
        });
        let before = kept.status.clone();
        // Before anybody is asked: what happens meanwhile is seen by the next look.
        let (head, now) = (self.store.head().await?, Timestamp::now());
        // A team that is made or taken in anew begins anew.
        let first = before.of != self.team.meta.uid || before.asked != Some(self.asked);
        if first {
            let place = self.store.place_before(self.asked).await?;
            kept.status = Milestones {
                of: self.team.meta.uid,
                asked: Some(self.asked),
                read_to: place,
                people_to: place,
                ..Milestones::default()
            };
        }
        let status = &mut kept.status;
        status.met = self.team.status.onboarded;
        let began = self.store.cursor(BEGAN).await?;
        let from_the_start = first.then_some(status.read_to + 1 >= began);
        // Another group has other people, whatever was told of it.
        let regrouped = status.group != self.team.spec.group;
        if self.hints.asks || first || regrouped {
            self.people(status, from_the_start, (head, now)).await?;
        }
        self.logins(status).await?;
        self.access(status, now).await?;
        self.deployments(status, head).await?;
        let mut change = Change::new().fenced(context.fence.clone());
        let matters = is_news(&before, &kept.status);
        if is_new {
            change.create(&kept)?;
        } else if matters {
            change.status(&kept)?;
        } else if kept.status.read_to - before.read_to >= NOTED {
            change.note(&kept)?;
        }
        if !change.is_empty() {
            self.store.commit(change).await?;
        }
        Ok(kept.status)
    }

    /// Takes in who has come, and lets go of who has left. `from_the_start`: this is the first look, and whether all
    /// that happened to the team was kept; `head` and `now`: when the look began. Whoever was in the group before
    /// their source first answered came at a time that nobody knows.
    async fn people(
        &self,
        status: &mut Milestones,
        from_the_start: Option<bool>,
        (head, now): (i64, Timestamp),
    ) -> Result<()> {
        let answers = self.teams.ask_sources(self.team).await?;
        let local = self.teams.ports().local.name();
        let regrouped = status.group != self.team.spec.group;
        status.group.clone_from(&self.team.spec.group);
        status
            .people
            .retain(|subject, _| stays(&answers, local, subject, regrouped));
        let found = answers.iter().flat_map(|answer| {
            let members = answer.members.iter();
            members.map(move |one| (one.subject.clone(), answer))
        });
        let found: BTreeMap<String, &SourceAnswer> = found
            .filter(|(subject, _)| !status.people.contains_key(subject))
            .collect();
        let heard_of = |answer: &SourceAnswer| {
            let heard = status.heard.get(&answer.source).copied();
            heard.unwrap_or(Heard {
                to: status.people_to,
                answered: true,
            })
        };
        let found: Vec<(String, SourceState, Heard)> = found
            .into_iter()
            .map(|(subject, answer)| (subject, answer.state, heard_of(answer)))
            .collect();
        let added = match found.iter().map(|(_, _, heard)| heard.to).min() {
            Some(after) => self.added(after).await?,
            None => BTreeMap::new(),
        };
        for (subject, state, heard) in found {
            // Of whoever was there when the source last answered it tells of an earlier coming.
            let added = added.get(&subject).filter(|(_, seq)| *seq > heard.to);
            let (joined, by, after) = match (added, from_the_start) {
                (Some((at, seq)), _) => (Some(*at), JoinedBy::Member, *seq),
                (None, Some(true)) => (Some(self.asked), JoinedBy::Team, status.read_to),
                (None, Some(false)) => (None, JoinedBy::Before, head),
                (None, None) if !heard.answered => (None, JoinedBy::Before, head),
                (None, None) if state == SourceState::Seen => (Some(now), JoinedBy::Login, head),
                (None, None) => (Some(now), JoinedBy::Group, head),
            };
            let one = Newcomer {
                joined,
                by,
                after,
                access: None,
                login: (by == JoinedBy::Login).then_some(now),
                deployed: None,
            };
            status.people.insert(subject, one);
        }
        for answer in answers {
            let is_said = is_said(&answer, local);
            let in_vain = Heard {
                to: status.people_to,
                answered: false,
            };
            let heard = status.heard.entry(answer.source).or_insert(in_vain);
            if is_said {
                *heard = Heard {
                    to: head,
                    answered: true,
                };
            }
        }
        status.people_to = head;
        Ok(())
    }

    /// Whom the platform was told to take in after place `after` of the log, last when.
    async fn added(&self, mut after: i64) -> Result<BTreeMap<String, (Timestamp, i64)>> {
        let filter = EventFilter {
            team: Some(self.team.meta.name.clone()),
            ..of_type(MEMBER_ADDED)
        };
        let mut added = BTreeMap::new();
        loop {
            let events = self.store.events(&filter, after, Store::MAX_EVENTS).await?;
            for event in &events {
                if let Some(subject) = event.data["member"].as_str() {
                    added.insert(subject.to_owned(), (event.time, event.seq));
                }
            }
            match events.last() {
                Some(last) if events.len() == Store::MAX_EVENTS => after = last.seq,
                _ => return Ok(added),
            }
        }
    }

    /// Who has logged in since they came.
    async fn logins(&self, status: &mut Milestones) -> Result<()> {
        let waits = status
            .people
            .iter_mut()
            .filter(|(_, one)| one.login.is_none());
        for (subject, one) in waits {
            let came = self.hints.came.as_ref();
            if came.is_some_and(|came| !came.contains(subject)) {
                continue;
            }
            let filter = EventFilter {
                actor: Some(subject.clone()),
                ..of_type(LOGGED_IN)
            };
            let first = self.store.events(&filter, one.after, 1).await?;
            one.login = first.first().map(|event| event.time);
        }
        Ok(())
    }

    /// Who has the team's rights. The local source says who is in a group at each call, so that whoever is in it
    /// has them at once; others say it with a token.
    async fn access(&self, status: &mut Milestones, now: Timestamp) -> Result<()> {
        let nobody_came = self.hints.came.as_ref().is_some_and(BTreeSet::is_empty);
        if nobody_came && !self.hints.asks {
            // What is looked at says nothing of it.
            return Ok(());
        }
        let local = self.teams.ports().local.name();
        let mut let_in = BTreeSet::new();
        let waits = |source: &str| {
            let people = status.people.iter();
            let mut of_it = people.filter(|(subject, _)| source_of(subject) == source);
            of_it.any(|(_, one)| one.access.is_none())
        };
        for source in self.teams.upstreams().await? {
            let name = source.name();
            if !self.team.spec.counts(name) || !waits(name) {
                continue;
            }
            let bound = self.team.status.bound_to(&status.group);
            let id = bound.get(name).map(|one| one.id.as_str());
            let_in.extend(source.let_in(&status.group, id).await?);
        }
        let waits = status
            .people
            .iter_mut()
            .filter(|(_, one)| one.access.is_none());
        for (subject, one) in waits {
            if source_of(subject) == local {
                one.access = one.joined;
            } else if let_in.contains(subject) {
                one.access = Some(now);
            }
        }
        Ok(())
    }

    /// Counts the deployments that succeeded up to `head`, the first of the team and of each of its people.
    async fn deployments(&self, status: &mut Milestones, head: i64) -> Result<()> {
        let filter = EventFilter {
            team: Some(self.team.meta.name.clone()),
            upto: Some(head),
            ..of_type(SUCCEEDED)
        };
        loop {
            let after = status.read_to;
            let events = self.store.events(&filter, after, Store::MAX_EVENTS).await?;
            for event in &events {
                self.deployed(status, event).await?;
            }
            match events.last() {
                Some(last) if events.len() == Store::MAX_EVENTS => status.read_to = last.seq,
                _ => break,
            }
        }
        status.read_to = status.read_to.max(head);
        Ok(())
    }

    async fn deployed(&self, status: &mut Milestones, event: &Event) -> Result<()> {
        status.deployed.get_or_insert(event.time);
        match event.data["role"].as_str() {
            Some(PRODUCTION) if !status.role_unknown => {
                status.production.get_or_insert(event.time);
            }
            None if status.production.is_none() => status.role_unknown = true,
            _ => {}
        }
        if status.people.values().all(|one| one.deployed.is_some()) {
            return Ok(());
        }
        if let Some(by) = self.requester(event).await?
            && let Some(one) = status.people.get_mut(&by)
            && one.joined.is_none_or(|joined| joined <= event.time)
        {
            one.deployed.get_or_insert(event.time);
        }
        Ok(())
    }

    /// Who asked for the deployment that an event tells of: one id joins all events of it.
    async fn requester(&self, event: &Event) -> Result<Option<String>> {
        let filter = EventFilter {
            correlation: Some(event.correlation),
            upto: Some(event.seq),
            ..of_type(REQUESTED)
        };
        let requests = self.store.events(&filter, 0, Store::MAX_EVENTS).await?;
        let request = requests
            .into_iter()
            .rfind(|request| request.subject == event.subject);
        Ok(request.map(|request| request.actor))
    }
}

/// Whether something was found out that is to be kept: that the same sources were asked once more is not.
fn is_news(before: &Milestones, after: &Milestones) -> bool {
    let answered = |one: &Milestones| -> Vec<(String, bool)> {
        let all = one.heard.iter();
        all.map(|(source, heard)| (source.clone(), heard.answered))
            .collect()
    };
    answered(before) != answered(after)
        || Milestones {
            read_to: before.read_to,
            people_to: before.people_to,
            heard: before.heard.clone(),
            ..after.clone()
        } != *before
}
