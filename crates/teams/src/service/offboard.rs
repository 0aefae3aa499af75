//! Offboarding: a team is a customer no longer. What goes is reconciled; what stays is said.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kernel::{Caller, Change, Error, NewEvent, Outcome, Query, Resource, Result, anew};
use serde_json::json;

use super::{
    Teams,
    access::{TEAM_OFFBOARD, TEAM_UNPROTECT, of_team},
};
use crate::{
    api::Offboard,
    model::{Namespace, Offboarding, Team, TeamStatus},
    port::{Held, Made},
};

impl Teams {
    /// Offboards a team: from the next call on it gives nobody anything. All that is its goes, but what
    /// is protected, which stays until that is said too.
    pub async fn team_offboard(
        &self,
        caller: &Caller,
        name: &str,
        how: &Offboard,
        revision: Option<i64>,
    ) -> Result<Resource<Team>> {
        self.require(caller, TEAM_OFFBOARD, &of_team(name), name)
            .await?;
        let include_protected = match how.include.as_deref() {
            None => false,
            Some("prod" | "protected") => {
                self.require(caller, TEAM_UNPROTECT, &of_team(name), name)
                    .await?;
                true
            }
            Some(other) => {
                return Err(Error::invalid(format!(
                    "`include` cannot be `{}`",
                    other.escape_debug()
                ))
                .remedy("write `prod`, or leave it out"));
            }
        };
        anew(|| async {
            let mut team = self.store.expect::<Team>("", name).await?;
            team.meta.require_revision(revision)?;
            if how.confirm.as_deref() != Some(name) {
                let given = how.confirm.as_deref();
                return Err(self
                    .offboard_unconfirmed(&team, include_protected, given)
                    .await?);
            }
            let before = team.spec.offboarding.clone();
            let goes_on = before.as_ref().is_some_and(|b| b.include_protected);
            team.spec.offboarding = Some(Offboarding {
                since: before.as_ref().map_or_else(Timestamp::now, |b| b.since),
                by: before.map_or_else(|| caller.subject.clone(), |b| b.by),
                include_protected: include_protected || goes_on,
            });
            // Whoever looks before the reconciler has is not told that all is as it should be.
            team.status.phase = TeamStatus::OFFBOARDED.into();
            (team.status.began, team.status.onboarded) = (None, None);
            team.status.conditions.clear();
            let mut change = Change::new().by(caller);
            change.spec(&team)?;
            change.event(NewEvent::caused(
                "team.offboarded",
                team.key(),
                name,
                caller,
                Some(Outcome::Pass),
                json!({ "team": name, "includeProtected": include_protected }),
            ));
            let team = self.store.commit(change).await?.resource(&team.key())?;
            self.registry.current().await?;
            Ok(team)
        })
        .await
    }

    /// That the end of `team` is not confirmed: with what goes, with what is protected too where `all` is, and what
    /// stays.
    async fn offboard_unconfirmed(
        &self,
        team: &Resource<Team>,
        all: bool,
        given: Option<&str>,
    ) -> Result<Error> {
        let name = &team.meta.name;
        let held = self.held(name, None).await?.into_iter();
        let (data, stays): (Vec<_>, Vec<_>) = held.partition(|one| all || !one.protected);
        let namespaces = Query::scope(name);
        let namespaces = self.store.list_all::<Namespace>(&namespaces).await?;
        let (gone, kept): (Vec<_>, Vec<_>) = namespaces
            .into_iter()
            .partition(|one| all || one.is_deleting() || one.status.may_go());
        let places = stays.iter().map(|one| one.environment.as_str());
        let places: BTreeSet<&str> = places
            .chain(kept.iter().map(|one| one.meta.name.as_str()))
            .collect();
        let mut made = self.made(name, None, places.is_empty()).await?;
        let roles = &team.spec.environments;
        let own = gone
            .iter()
            .filter(|one| !(one.spec.standard && roles.contains(&one.spec.role)));
        let own: Vec<_> = own.map(|one| one.meta.name.clone()).collect();
        if !own.is_empty() {
            made.push(Made {
                what: "namespaces",
                names: own,
                keep: None,
            });
        }
        Ok(unconfirmed(
            &format!("team `{name}`"),
            name,
            given,
            &Goes { data, made },
            kept_text(name, &places).as_deref(),
        ))
    }

    /// What holds data of a team's, of its namespace `namespace` alone where one is named.
    pub(super) async fn held(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for keeper in &self.ports.belongings {
            held.extend(keeper.holds(team, namespace).await?);
        }
        Ok(held)
    }

    /// What else people have made in a team, in its namespace `namespace` alone where one is named; what goes last
    /// only where `last` is.
    pub(super) async fn made(
        &self,
        team: &str,
        namespace: Option<&str>,
        last: bool,
    ) -> Result<Vec<Made>> {
        let mut made = Vec::new();
        for keeper in &self.ports.belongings {
            if last || !keeper.go_last() {
                made.extend(keeper.made(team, namespace).await?);
            }
        }
        made.retain(|one| !one.names.is_empty());
        Ok(made)
    }
}

/// What goes with a team or a namespace.
pub(super) struct Goes {
    /// What holds data.
    pub(super) data: Vec<Held>,
    /// What else people have made.
    pub(super) made: Vec<Made>,
}

/// Names of one kind that are told; of more, how many there are.
const NAMES: usize = 30;

/// What of the team `name` stays, as it is protected, and how to see what that holds.
fn kept_text(name: &str, places: &BTreeSet<&str>) -> Option<String> {
    let places: Vec<_> = places.iter().map(|place| format!("`{place}`")).collect();
    (!places.is_empty()).then(|| {
        format!(
            "what is protected stays, {}: `towpath team offboard {name} --include prod` shows what it holds",
            places.join(", ")
        )
    })
}

/// That the end of `what` is not confirmed: with what goes with it, data by environment, and how a copy of
/// each is kept. `given` was repeated, and is not its name; `kept` says what stays.
pub(super) fn unconfirmed(
    what: &str,
    name: &str,
    given: Option<&str>,
    goes: &Goes,
    kept: Option<&str>,
) -> Error {
    let mut confirm = format!("repeat its name, `--confirm {name}`");
    if let Some(kept) = kept {
        confirm = format!("{confirm}\n{kept}");
    }
    let mut message = format!("the end of {what} and of all that is in it is not confirmed");
    if let Some(given) = given {
        message = format!("{message} by `{}`", given.escape_debug());
    }
    let Goes { data, made } = goes;
    let mut told = Vec::new();
    let mut before = Vec::new();
    if !data.is_empty() {
        told.push(format!("the data of {}", places(data)));
        before.push(copies(data));
    }
    if !made.is_empty() {
        let kinds: Vec<_> = made.iter().map(kind).collect();
        told.push(format!("what people have made: {}", kinds.join("; ")));
        before.extend(made.iter().filter_map(|one| one.keep.clone()));
    }
    if told.is_empty() {
        return Error::invalid(message).remedy(confirm);
    }
    let remedy = match before.as_slice() {
        [] => confirm,
        before => format!("{}\nthen {confirm}", before.join("\n")),
    };
    Error::invalid(format!("{message}: with it goes {}", told.join("; and "))).remedy(remedy)
}

/// What holds data, by environment.
fn places(data: &[Held]) -> String {
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in data {
        let place = places.entry(&one.environment).or_default();
        place.push(&one.what);
    }
    let places: Vec<_> = places
        .into_iter()
        .map(|(environment, what)| format!("{} in `{environment}`", what.join(", ")))
        .collect();
    places.join("; ")
}

/// How copies of it are kept.
fn copies(data: &[Held]) -> String {
    let dumps = data.iter().filter_map(|one| one.dump.as_ref());
    let dumps: Vec<_> = dumps.map(|dump| format!("  {dump}")).collect();
    match dumps.as_slice() {
        [] => "there is no dump of such resources".to_owned(),
        dumps => format!(
            "keep a copy first, of what is still needed:\n{}",
            dumps.join("\n")
        ),
    }
}

/// What there is of one kind, by name.
fn kind(made: &Made) -> String {
    let names = made.names.iter().take(NAMES);
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let more = match made.names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {}{more}", made.what, names.join(", "))
}
