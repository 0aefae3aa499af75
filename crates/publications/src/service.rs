//! Who may publish what has happened, and how much.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kernel::{
    Action, Caller, Cause, Change, Committed, Error, ErrorKind, Guard, Publication, Result, Store,
};
use serde_json::Value;

use crate::{
    api::PublishedEvent,
    model::Draft,
    rate::{DAILY, Load, Rates, Taken, Wait},
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
    rates: Arc<Rates>,
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
            rates: Arc::default(),
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
        let mut taken = Taken::nothing(self.rates.clone());
        for (team, load) in loads {
            // Else none is taken: what others had to spare for theirs is theirs again.
            taken.add(team.clone(), load).map_err(|wait| {
                count(&self.held_up, publications.len());
                too_many(&team, &wait)
            })?;
        }
        let named: Vec<_> = publications
            .iter()
            .map(|one| (one.source.clone(), one.id.clone(), one.team.clone()))
            .collect();
        let mut change = Change::new();
        for publication in publications {
            change.publish(publication);
        }
        let teams = named.iter().map(|(_, _, team)| team.clone());
        let events: Vec<_> = teams.zip(sizes).collect();
        let store = self.store.clone();
        // To its end also where the caller hangs up: who does cannot publish what is not counted.
        let publishing = tokio::spawn(async move {
            let committed = store.commit(change).await;
            settle(taken, &events, &committed);
            committed
        });
        let published = publishing
            .await
            .map_err(|error| Error::internal("events were not published to the end", error))??
            .published;
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

/// Counts `events`, by team and size, by what has become of them.
fn settle(taken: Taken, events: &[(String, usize)], committed: &Result<Committed>) {
    let is_new = |at: usize| match committed {
        Ok(committed) => committed.published[at].is_new,
        Err(_) => false,
    };
    let is_refused = |error: &Error| error.kind == ErrorKind::Conflict;
    // What the log does not have for another reason takes nothing: who sends again is not held up.
    if committed.as_ref().err().is_none_or(is_refused) {
        let not_kept = events.iter().enumerate().filter(|(at, _)| !is_new(*at));
        taken.settle(not_kept.map(|(_, (team, size))| (team.as_str(), *size)));
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
        .remedy("name it: `towpath events publish --team TEAM`, or `team` of the event")),
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
