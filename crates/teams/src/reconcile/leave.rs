//! A team that is a customer no longer: what is its goes; what stays is said, with its reason.

use std::time::Duration;

use kernel::{Next, Outcome, Resource, Result};
use serde_json::json;

use super::{LEFT, Pass, SOON, integrations_left, sync::Found};
use crate::{
    model::{Namespace, Team, TeamOnboarding},
    service::change::sync_event,
};

/// How often what is kept is looked at.
const KEPT: Duration = Duration::from_hours(1);

impl Pass<'_> {
    pub(super) async fn leave(&mut self) -> Result<Next> {
        let all = self
            .team
            .spec
            .offboarding
            .as_ref()
            .is_some_and(|how| how.include_protected);
        let before = self.team.status.clone();
        let mut change = self.change();
        let mut remaining = Vec::new();
        let mut goes_on = false;
        for mut namespace in self.namespaces().await? {
            let name = namespace.meta.name.clone();
            let goes = namespace.is_deleting() || all || namespace.status.may_go();
            if !goes {
                remaining.push(kept(&namespace, self.name()));
                goes_on |= namespace.status.protected.is_none();
                continue;
            }
            goes_on = true;
            remaining.push(match namespace.status.message.as_str() {
                "" => format!("namespace {name} is being removed"),
                why => format!("namespace {name}: {why}"),
            });
            if !namespace.is_deleting() || (all && !namespace.spec.include_protected) {
                namespace.spec.include_protected = all;
                change.spec(&namespace)?;
                change.delete(&namespace)?;
            }
        }
        let team = self.name().to_owned();
        for belongings in &self.teams.ports().belongings {
            if belongings.go_last() && !remaining.is_empty() {
                continue;
            }
            if !self.still_leaves().await? {
                self.context.nudge(self.team.key());
                return Ok(Next::After(SOON));
            }
            match belongings.remove(&self.caller, &team, all).await {
                Ok(left) => {
                    goes_on |= left.iter().any(|one| !one.kept);
                    remaining.extend(left.into_iter().map(|one| one.what));
                }
                Err(error) => {
                    goes_on = true;
                    remaining.push(error.message);
                }
            }
        }
        let tools = integrations_left(&self.context.store, &self.team).await?;
        goes_on |= !tools.is_empty();
        remaining.extend(tools);
        if remaining.is_empty() {
            let local = &self.teams.ports().local;
            local
                .end(&self.caller, &team, &self.team.spec.group)
                .await?;
            // Whoever was in it is named nowhere any more.
            if let Some(kept) = self.context.store.get::<TeamOnboarding>("", &team).await? {
                change.remove(&kept)?;
            }
            change.remove(&self.team)?;
            let data = json!({ "team": team, "generation": self.team.meta.generation });
            change.event(self.event("team.deleted", Some(Outcome::Pass), data));
            self.commit(change).await?;
            return Ok(Next::Idle);
        }
        self.team.status.phase = LEFT.into();
        (self.team.status.began, self.team.status.onboarded) = (None, None);
        self.team.status.conditions.clear();
        self.team.status.remaining = remaining;
        if self.team.status.synced.as_ref().map(|last| last.generation)
            != Some(self.team.meta.generation)
        {
            // Whoever keeps something in step with the team hears that it has gone.
            change.event(sync_event(&self.team, &self.caller));
            let now = self.teams.settings().clock.now();
            self.team.status.synced = Some(Found::nobody(self.team.meta.generation, now));
        }
        if self.team.status != before {
            change.status(&self.team)?;
        } else if !change.is_empty() {
            // What goes does so with a team that leaves, and with no other.
            change.require(&self.team)?;
        }
        if !change.is_empty() {
            self.commit(change).await?;
        }
        Ok(Next::After(if goes_on { SOON } else { KEPT }))
    }

    /// Whether the team is as it was read: taken in again, what others keep for it is not to go.
    async fn still_leaves(&self) -> Result<bool> {
        let now = self.context.store.get::<Team>("", self.name()).await?;
        let same = |now: &Resource<Team>| {
            now.meta.uid == self.team.meta.uid && now.spec.offboarding == self.team.spec.offboarding
        };
        Ok(now.as_ref().is_some_and(same))
    }
}

fn kept(namespace: &Resource<Namespace>, team: &str) -> String {
    let (name, role) = (&namespace.meta.name, &namespace.spec.role);
    if namespace.status.protected.is_none() {
        return format!(
            "namespace {name}: whether its role `{role}` is protected is not known yet"
        );
    }
    // What backs one that is ready has its role.
    let protected = if namespace.status.ready {
        format!("its role `{role}`")
    } else {
        "the role of its environment".into()
    };
    format!(
        "namespace {name} is kept with all that is in it: {protected} is protected; `towpath team offboard \
         {team} --confirm {team} --include prod` takes it too"
    )
}
