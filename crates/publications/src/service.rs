//! Who may publish what has happened, and how much.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use kernel::{Action, Caller, Cause, Change, Error, ErrorKind, Guard, Publication, Result, Store};
use serde_json::Value;

use crate::{
    api::PublishedEvent,
    model::Draft,
    rate::{DAILY, Load, Rates, Wait},
};

/// To publish what has happened, as an event of a team.
pub const PUBLISH: Action = Action::act("event.publish");

/// What became of the events that one replica was sent since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They are in the log now.
    pub taken: u64,
    /// They were there before.
    pub known: u64,
    /// Their team has published too many.
    pub held_up: u64,
}

/// Takes events from outside into the log.
pub struct Publications {
    store: Store,
    guard: Guard,
    rates: Rates,
    taken: AtomicU64,
    known: AtomicU64,
    held_up: AtomicU64,
}

impl Publications {
    /// Into `store`, for those whom `guard` lets.
    pub fn new(store: Store, guard: Guard) -> Self {
        Self {
            store,
            guard,
            rates: Rates::default(),
            taken: AtomicU64::new(0),
            known: AtomicU64::new(0),
            held_up: AtomicU64::new(0),
        }
    }

    /// What became of the events so far.
    pub fn counts(&self) -> Counts {
        let [taken, known, held_up] =
            [&self.taken, &self.known, &self.held_up].map(|count| count.load(Ordering::Relaxed));
        Counts {
            taken,
            known,
            held_up,
        }
    }

    /// Publishes all of `drafts`, in their order, or none. What was published before is found again. Who
    /// has published an event is the caller, whatever it says.
    pub async fn publish(
        &self,
        caller: &Caller,
        drafts: Vec<Draft>,
    ) -> Result<Vec<PublishedEvent>> {
        let mut publications = Vec::with_capacity(drafts.len());
        let mut loads: BTreeMap<String, Load> = BTreeMap::new();
        let mut sizes = Vec::with_capacity(drafts.len());
        let mut asked = BTreeSet::new();
        for draft in drafts {
            let team = team_of(caller, draft.team.as_deref())?;
            let place = draft.attributes.get(Publication::ENVIRONMENT);
            let place = place.and_then(Value::as_str).unwrap_or_default();
            if asked.insert((team.clone(), place.to_owned())) {
                let target = Publication::target(&team, place);
                self.guard.require(caller, PUBLISH, &target).await?;
                self.guard.expect_team(caller, &team).await?;
            }
            loads.entry(team.clone()).or_default().add(draft.size);
            sizes.push(draft.size);
            publications.push(self.publication(caller, draft, team));
        }
        for (team, load) in &loads {
            if let Err(wait) = self.rates.take(team, *load) {
                // None is taken: what others had to spare for theirs is theirs again.
                let before = loads.iter().take_while(|(one, _)| *one != team);
                before.for_each(|(one, load)| self.rates.give_back(one, *load));
                count(&self.held_up, publications.len());
                return Err(too_many(team, &wait));
            }
        }
        let named: Vec<_> = publications
            .iter()
            .map(|one| (one.source.clone(), one.id.clone(), one.team.clone()))
            .collect();
        let mut change = Change::new();
        for publication in publications {
            change.publish(publication);
        }
        let committed = self.store.commit(change).await;
        // What the log does not have for it takes nothing of the day: who sends again is not held up.
        let is_new = |at: usize| {
            let committed = committed.as_ref();
            committed.is_ok_and(|committed| committed.published[at].is_new)
        };
        for (at, ((_, _, team), size)) in named.iter().zip(sizes).enumerate() {
            if !is_new(at) {
                self.rates.give_back(team, Load::of_day(size));
            }
        }
        let published = committed?.published;
        let new = published.iter().filter(|one| one.is_new).count();
        count(&self.taken, new);
        count(&self.known, published.len() - new);
        let both = named.into_iter().zip(published);
        let answers = both.map(|((source, id, team), published)| {
            PublishedEvent::new(source, id, team, &published)
        });
        Ok(answers.collect())
    }

    fn publication(&self, caller: &Caller, draft: Draft, team: String) -> Publication {
        let cause = caller.cause();
        Publication {
            source: draft.source,
            id: draft.id,
            kind: draft.kind,
            subject: draft.subject,
            since: self.guard.began(&team),
            team,
            cause: Cause {
                correlation: draft.correlation.unwrap_or(cause.correlation),
                ..cause
            },
            happened: draft.time,
            outcome: draft.outcome,
            attributes: draft.attributes,
            data: draft.data,
        }
    }
}

/// Whose event it is: what it says; else, of who operates the platform, the platform's, and of others the
/// one team's that they are in.
fn team_of(caller: &Caller, said: Option<&str>) -> Result<String> {
    match (said, caller.teams.as_slice()) {
        (Some(team), _) => Ok(team.to_owned()),
        (None, _) if caller.admin => Ok(String::new()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Ok(String::new()),
        (None, _) => Err(Error::invalid(
            "the event does not say which team's it is, and you are in several",
        )
        .remedy("say it in the attribute `team`")),
    }
}

fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

fn too_many(team: &str, wait: &Wait) -> Error {
    let whose = match team {
        "" => "the platform's own tools publish".to_owned(),
        team => format!("team `{team}` publishes"),
    };
    let (what, wait) = match *wait {
        Wait::Rate(wait) => ("more events than the platform takes".to_owned(), wait),
        Wait::Day(wait) => (
            format!("more than the {} MiB of a day", DAILY / 1024 / 1024),
            wait,
        ),
    };
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    Error::new(
        ErrorKind::TooMany,
        format!("{whose} {what}; none of these was taken"),
    )
    .remedy(format!(
        "send them again in {seconds} s, and look for a publisher that runs wild"
    ))
    .after(wait)
}
