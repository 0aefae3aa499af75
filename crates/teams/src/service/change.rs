//! Changes of a team that is a customer.

use jiff::Timestamp;
use kernel::{Caller, Change, Error, NewEvent, Outcome, Resource, Result, anew};
use serde_json::json;

use super::{
    Teams,
    access::{TEAM_ALLOW, TEAM_CHANGE, TEAM_GOVERN, TEAM_SYNC, of_platform, of_team},
    onboard::fill,
    written,
};
use crate::{
    api::TeamFields,
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
        self.require_change(caller, name, fields).await?;
        anew(|| async {
            let team = self.store.expect::<Team>("", name).await?;
            team.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            match self
                .change_into(&mut change, caller, team.clone(), fields)
                .await?
            {
                Some(_) => written(self.store.commit(change).await?),
                None => Ok(team),
            }
        })
        .await
    }

    /// Refuses who may not change of the team what `fields` says.
    pub(super) async fn require_change(
        &self,
        caller: &Caller,
        name: &str,
        fields: &TeamFields,
    ) -> Result<()> {
        let governs = fields.group.is_some() || fields.source.is_some();
        let allows = fields.allowance.is_some();
        let leads_only = fields.leads.is_some()
            && *fields
                == TeamFields {
                    leads: fields.leads.clone(),
                    ..TeamFields::default()
                };
        let others = TeamFields {
            group: None,
            source: None,
            allowance: None,
            ..fields.clone()
        };
        if governs {
            self.require(caller, TEAM_GOVERN, &of_platform(name), name)
                .await?;
        }
        if allows {
            self.require(caller, TEAM_ALLOW, &of_team(name), name)
                .await?;
        }
        if leads_only && self.guard.allows(caller, TEAM_GOVERN, &of_platform(name)) {
            return Ok(());
        }
        if others != TeamFields::default() || !(governs || allows) {
            self.require(caller, TEAM_CHANGE, &of_team(name), name)
                .await?;
        }
        Ok(())
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
        refuse_past(&team.spec, &before)?;
        self.check(&team).await?;
        change.spec(&team)?;
        change.event(NewEvent::caused(
            "team.changed",
            team.key(),
            &name,
            caller,
            Some(Outcome::Pass),
            json!({ "team": name, "generation": team.meta.generation + 1 }),
        ));
        Ok(Some(team))
    }

    /// Tells of a team now, and has everything of it looked at.
    pub async fn team_sync(&self, caller: &Caller, name: &str) -> Result<Resource<Team>> {
        let team = self.team_for(caller, TEAM_SYNC, name).await?;
        let mut change = Change::new().by(caller);
        change.require(&team)?;
        change.event(sync_event(&team, caller));
        self.store.commit(change).await?;
        Ok(team)
    }
}

/// That a team is to be looked at: its name, and nothing else of it.
pub(crate) fn sync_event(team: &Resource<Team>, caller: &Caller) -> NewEvent {
    let name = &team.meta.name;
    NewEvent::caused(
        "team.sync",
        team.key(),
        name,
        caller,
        None,
        json!({ "team": name, "generation": team.meta.generation }),
    )
}

/// An interaction that is new and over already is a slip.
fn refuse_past(spec: &TeamSpec, before: &TeamSpec) -> Result<()> {
    let now = Timestamp::now();
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
