//! Offboarding: a team is a customer no longer. What goes is reconciled; what stays is said.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kernel::{Caller, Change, Error, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::{
    Teams,
    access::{TEAM_OFFBOARD, TEAM_UNPROTECT, of_team},
};
use crate::{
    api::Offboard,
    model::{Offboarding, Team, TeamStatus},
    port::Held,
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
                let held = self.held(name, None).await?.into_iter();
                let (goes, stays): (Vec<_>, Vec<_>) =
                    held.partition(|one| include_protected || !one.protected);
                let what = format!("team `{name}`");
                let kept = kept(name, &stays);
                return Err(unconfirmed(
                    &what,
                    name,
                    how.confirm.as_deref(),
                    &goes,
                    kept.as_deref(),
                ));
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

    /// What holds data of a team's, of its namespace `namespace` alone where one is named.
    pub(super) async fn held(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for keeper in &self.ports.belongings {
            held.extend(keeper.holds(team, namespace).await?);
        }
        Ok(held)
    }
}

/// What of the team `name` stays, as it is protected, and how to see what that holds.
fn kept(name: &str, stays: &[Held]) -> Option<String> {
    let places: BTreeSet<_> = stays.iter().map(|one| one.environment.as_str()).collect();
    let places: Vec<_> = places
        .into_iter()
        .map(|place| format!("`{place}`"))
        .collect();
    (!places.is_empty()).then(|| {
        format!(
            "what is protected stays, {}: `towpath team offboard {name} --include prod` shows what it holds",
            places.join(", ")
        )
    })
}

/// That the end of `what` is not confirmed: with the data that goes with it, by environment, and how a copy of
/// each is kept. `given` was repeated, and is not its name; `kept` says what stays.
pub(super) fn unconfirmed(
    what: &str,
    name: &str,
    given: Option<&str>,
    goes: &[Held],
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
    if goes.is_empty() {
        return Error::invalid(message).remedy(confirm);
    }
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in goes {
        let place = places.entry(&one.environment).or_default();
        place.push(&one.what);
    }
    let data = places
        .iter()
        .map(|(environment, what)| format!("{} in `{environment}`", what.join(", ")));
    let dumps = goes.iter().filter_map(|one| one.dump.as_ref());
    let dumps: Vec<_> = dumps.map(|dump| format!("  {dump}")).collect();
    let copies = match dumps.as_slice() {
        [] => "there is no dump of such resources".to_owned(),
        dumps => format!(
            "keep a copy first, of what is still needed:\n{}",
            dumps.join("\n")
        ),
    };
    Error::invalid(format!(
        "{message}: with it goes the data of {}",
        data.collect::<Vec<_>>().join("; ")
    ))
    .remedy(format!("{copies}\nthen {confirm}"))
}
