//! Offboarding: a team is a customer no longer. What goes is reconciled; what stays is said.

use jiff::Timestamp;
use kernel::{Caller, Change, Error, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::{
    Teams,
    access::{TEAM_OFFBOARD, TEAM_UNPROTECT, of_team},
};
use crate::{
    api::Offboard,
    model::{Offboarding, Team},
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
                return Err(Error::invalid(format!(
                    "the end of team `{name}` and of all that is its is not confirmed"
                ))
                .remedy(format!("repeat its name: `confirm={name}`")));
            }
            let before = team.spec.offboarding.clone();
            let goes_on = before.as_ref().is_some_and(|b| b.include_protected);
            team.spec.offboarding = Some(Offboarding {
                since: before.as_ref().map_or_else(Timestamp::now, |b| b.since),
                by: before.map_or_else(|| caller.subject.clone(), |b| b.by),
                include_protected: include_protected || goes_on,
            });
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
}
