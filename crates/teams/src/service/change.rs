//! Changes of a team that is a customer.

use jiff::Timestamp;
use kernel::{Caller, Change, Error, ErrorKind, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::{
    Teams,
    access::{
        TEAM_ALLOW, TEAM_CHANGE, TEAM_GOVERN, TEAM_REASSIGN, TEAM_SYNC, of_platform, of_team,
    },
    differences::differences,
    onboard::fill,
};
use crate::{
    api::{SourceState, TeamFields},
    model::{Interaction, Team, TeamSpec},
};

impl Teams {
    /// Changes what is said of a team, and nothing else.
    pub async fn team_change(
        &self,
        caller: &Caller,
        name: &str,
        fields: &TeamFields,
        revision: Option<i64>,
    ) -> Result<Resource<Team>> {
        anew(|| async {
            let team = self.store.expect::<Team>("", name).await?;
            self.require_change(caller, &team, fields).await?;
            team.meta.require_revision(revision)?;
            let mut roles = fields.environments.clone().unwrap_or_default();
            roles.retain(|role| !team.spec.environments.contains(role));
            self.refuse_unknown_roles("environments", &roles).await?;
            let mut change = Change::new().by(caller);
            match self
                .change_into(&mut change, caller, team.clone(), fields)
                .await?
            {
                Some(_) => self.store.commit(change).await?.resource(&team.key()),
                None => Ok(team),
            }
        })
        .await
    }

    /// Refuses who may not change of the team what `fields` says otherwise than it is.
    pub(super) async fn require_change(
        &self,
        caller: &Caller,
        team: &Resource<Team>,
        fields: &TeamFields,
    ) -> Result<()> {
        let (name, before) = (team.meta.name.as_str(), &team.spec);
        let mut after = before.clone();
        fill(&mut after, fields);
        let regroups = after.group != before.group || after.source != before.source;
        let allows = after.allowance != before.allowance;
        let leads = after.leads != before.leads;
        let nothing = after == *before;
        let rest = TeamSpec {
            group: before.group.clone(),
            source: before.source.clone(),
            allowance: before.allowance.clone(),
            leads: before.leads.clone(),
            ..after
        };
        let others = rest != *before;
        if regroups {
            self.require(caller, TEAM_GOVERN, &of_platform(name), name)
                .await?;
        }
        if allows {
            self.require(caller, TEAM_ALLOW, &of_team(name), name)
                .await?;
        }
        let governs = self.guard.allows(caller, TEAM_GOVERN, &of_platform(name));
        let own = self.guard.allows(caller, TEAM_CHANGE, &of_team(name));
        if others || ((leads || nothing) && !governs && !own) {
            self.require(caller, TEAM_CHANGE, &of_team(name), name)
                .await?;
        }
        let takes_leads = leads && !own;
        if !(regroups || takes_leads) || self.guard.allows(caller, TEAM_REASSIGN, &of_team(name)) {
            return Ok(());
        }
        match self.belongs_to(team, regroups).await? {
            None => Ok(()),
            Some(whose) => self.refuse_taking(caller, name, whose).await,
        }
    }

    /// Whose a team is already, so that nobody but an operator gives it to others: a group that is there, as
    /// long as it is to be another (`regroups`); and a lead who is in it.
    async fn belongs_to(&self, team: &Resource<Team>, regroups: bool) -> Result<Option<String>> {
        let (spec, group) = (&team.spec, &team.spec.group);
        for answer in self.ask_sources(team).await? {
            let source = &answer.source;
            let is_there = match answer.state {
                SourceState::Complete => true,
                SourceState::Seen => !answer.members.is_empty(),
                SourceState::Missing => false,
                SourceState::Unavailable => {
                    return Err(Error::unavailable(format!(
                        "whether `{source}` has the group `{group}` cannot be asked: {}",
                        answer.message
                    ))
                    .remedy("try again when it answers, or ask a platform engineer"));
                }
            };
            if regroups && is_there {
                return Ok(Some(format!("`{source}` has its group `{group}`")));
            }
            let lead = answer
                .members
                .iter()
                .find(|one| spec.leads.contains(&one.subject));
            if let Some(lead) = lead {
                return Ok(Some(format!("`{}` leads it", lead.subject)));
            }
        }
        Ok(None)
    }

    async fn refuse_taking(&self, caller: &Caller, name: &str, whose: String) -> Result<()> {
        let ruling = self
            .require(caller, TEAM_REASSIGN, &of_team(name), name)
            .await;
        ruling.map_err(|mut error| {
            if error.kind == ErrorKind::Forbidden {
                error.message = format!("team `{name}` is somebody's: {whose}");
                error.remedy = Some("ask one of its leads, or a platform engineer".into());
            }
            error
        })
    }

    /// Writes into `change` what `fields` changes of `team`; answers the team, where it changes.
    pub(super) async fn change_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        mut team: Resource<Team>,
        fields: &TeamFields,
    ) -> Result<Option<Resource<Team>>> {
        let name = team.meta.name.clone();
        if !team.spec.is_registered() {
            return Err(Error::conflict(format!("team `{name}` was offboarded"))
                .remedy("onboard it again, or let what remains of it go"));
        }
        let before = team.spec.clone();
        fill(&mut team.spec, fields);
        if team.spec == before {
            return Ok(None);
        }
        refuse_past(&team.spec, &before, self.settings.clock.now())?;
        let claiming = self.claim_group(&name, &team.spec.group).await?;
        let other = claiming.other.as_deref();
        self.check(caller, &team, &before, other).await?;
        if team.spec.group != before.group {
            claiming.write(change)?;
        }
        if team.spec.environments != before.environments {
            let rooms = self.rooms(&name).await?;
            rooms.refuse_environments(&team.spec.environments)?;
        }
        change.spec(&team)?;
        change.event(NewEvent::caused(
            "team.changed",
            team.key(),
            &name,
            caller,
            Some(Outcome::Pass),
            json!({
                "team": name, "generation": team.meta.generation + 1,
                "before": says_whose(&before), "after": says_whose(&team.spec),
                "changed": differences(&before, &team.spec, &[])?,
            }),
        ));
        Ok(Some(team))
    }

    /// Tells of a team now, and has everything of it looked at.
    pub async fn team_sync(&self, caller: &Caller, name: &str) -> Result<Resource<Team>> {
        // Its reconciler may write in between.
        anew(|| async {
            let team = self.team_for(caller, TEAM_SYNC, name).await?;
            let mut change = Change::new().by(caller);
            change.require(&team)?;
            change.event(sync_event(&team, caller));
            self.store.commit(change).await?;
            Ok(team)
        })
        .await
    }
}

/// What tells that a team is to be looked at.
pub(crate) const SYNC: &str = "team.sync";

/// That a team is to be looked at: its name, and nothing else of it.
pub(crate) fn sync_event(team: &Resource<Team>, caller: &Caller) -> NewEvent {
    let name = &team.meta.name;
    NewEvent::caused(
        SYNC,
        team.key(),
        name,
        caller,
        None,
        json!({ "team": name, "generation": team.meta.generation }),
    )
}

/// Whose a team is.
fn says_whose(spec: &TeamSpec) -> serde_json::Value {
    json!({ "group": spec.group, "source": spec.source, "leads": spec.leads })
}

/// An interaction that is new and over already is a slip.
fn refuse_past(spec: &TeamSpec, before: &TeamSpec, now: Timestamp) -> Result<()> {
    let over = |one: &&Interaction| {
        one.expires.is_some_and(|at| at <= now) && !before.interactions.contains(one)
    };
    match spec.interactions.iter().find(over) {
        Some(over) => Err(Error::invalid(format!(
            "the interaction with `{}` would be over already",
            over.with
        ))
        .remedy("let it end in the future, or leave it out")),
        None => Ok(()),
    }
}
