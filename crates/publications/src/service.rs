//! Who may publish what has happened, and how much.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Action, Caller, Cause, Change, Error, ErrorKind, Guard, Publication, Result, Store};
use serde_json::Value;

use crate::{
    api::PublishedEvent,
    model::Draft,
    rate::{Rates, weight},
};

/// To publish what has happened, as an event of a team.
pub const PUBLISH: Action = Action::act("event.publish");

/// Takes events from outside into the log.
pub struct Publications {
    store: Store,
    guard: Guard,
    rates: Rates,
}

impl Publications {
    /// Into `store`, for those whom `guard` lets.
    pub fn new(store: Store, guard: Guard) -> Self {
        Self {
            store,
            guard,
            rates: Rates::default(),
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
        let mut weights: BTreeMap<String, f64> = BTreeMap::new();
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
            *weights.entry(team.clone()).or_default() += weight(draft.size);
            publications.push(self.publication(caller, draft, team));
        }
        for (team, weight) in weights {
            self.rates
                .take(&team, weight)
                .map_err(|wait| too_many(&team, wait))?;
        }
        let mut change = Change::new();
        for publication in &publications {
            change.publish(publication.clone());
        }
        let published = self.store.commit(change).await?.published;
        let both = publications.into_iter().zip(published);
        let answers = both.map(|(said, published)| {
            PublishedEvent::new(said.source, said.id, said.team, &published)
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

fn too_many(team: &str, wait: std::time::Duration) -> Error {
    let whose = match team {
        "" => "the platform's own tools publish".to_owned(),
        team => format!("team `{team}` publishes"),
    };
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    Error::new(
        ErrorKind::TooMany,
        format!("{whose} more events than the platform takes; none of these was taken"),
    )
    .remedy(format!(
        "send them again in {seconds} s, and look for a publisher that runs wild"
    ))
    .after(wait)
}
