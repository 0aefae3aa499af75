//! Who may do what with teams: every use case asks here first. What a caller may not see is to them as
//! if it were not there.

use kernel::{
    Action, Caller, Document, ErrorKind, Kind, Page, Query, Resource, Result, Surroundings, Target,
};

use super::Teams;
use crate::model::{Namespace, Team};

pub(super) const TEAM_READ: Action = Action::see("team.read");
/// To see all teams that are registered.
const TEAM_OVERSEE: Action = Action::see("team.oversee");
pub(super) const TEAM_CREATE: Action = Action::act("team.create");
pub(super) const TEAM_CHANGE: Action = Action::act("team.change");
/// To say what a team's own leads may not: its group, and who leads it where nobody does.
pub(super) const TEAM_GOVERN: Action = Action::act("team.govern");
/// To give a team that is somebody's to others.
pub(super) const TEAM_REASSIGN: Action = Action::act("team.reassign");
/// To say how much a team may take.
pub(super) const TEAM_ALLOW: Action = Action::act("team.allow");
pub(super) const TEAM_SYNC: Action = Action::act("team.sync");
pub(super) const MEMBERS_CHANGE: Action = Action::act("team.members.change");
pub(super) const TEAM_OFFBOARD: Action = Action::act("team.offboard");
/// To see how long each of a team's people took to get going; or all teams together.
pub(super) const ONBOARDING_READ: Action = Action::see("onboarding.read");
/// To have what is protected go with the rest.
pub(super) const TEAM_UNPROTECT: Action = Action::act("team.unprotect");
const NAMESPACE_READ: Action = Action::see("namespace.read");
pub(super) const NAMESPACE_CREATE: Action = Action::act("namespace.create");
pub(super) const NAMESPACE_CHANGE: Action = Action::act("namespace.change");
/// To say how much of the team's allowance is a namespace's.
pub(super) const NAMESPACE_QUOTA: Action = Action::act("namespace.quota");
pub(super) const NAMESPACE_DELETE: Action = Action::act("namespace.delete");

/// A team, to its members.
pub(super) fn of_team(name: &str) -> Target<'_> {
    Target {
        kind: Team::KIND,
        name,
        team: name,
        ..Target::default()
    }
}

/// A team, to those who are over all.
pub(super) fn of_platform(name: &str) -> Target<'_> {
    Target {
        kind: Team::KIND,
        name,
        ..Target::default()
    }
}

/// A namespace: rules see it as the place that it is.
pub(super) fn of_namespace<'a>(team: &'a str, name: &'a str, role: &'a str) -> Target<'a> {
    Target {
        kind: Namespace::KIND,
        scope: team,
        name,
        team,
        environment: (!name.is_empty()).then_some(Surroundings {
            name,
            role,
            protected: false,
        }),
    }
}

impl Teams {
    /// Whether the caller may see that there is such a team.
    pub(super) fn sees(&self, caller: &Caller, name: &str) -> bool {
        self.guard.allows(caller, TEAM_READ, &of_team(name))
            || self.guard.allows(caller, TEAM_OVERSEE, &of_platform(name))
    }

    /// The team, for one who may see it; else there is none.
    pub(super) async fn team_seen(&self, caller: &Caller, name: &str) -> Result<Resource<Team>> {
        if !self.sees(caller, name) {
            return Err(Team::not_found("", name));
        }
        self.store.expect("", name).await
    }

    /// Refuses who may not do `action` with `target`, which is `team`'s: to whoever may not see the team
    /// it is as if it were not there. The attempt is kept all the same.
    pub(super) async fn require(
        &self,
        caller: &Caller,
        action: Action,
        target: &Target<'_>,
        team: &str,
    ) -> Result<()> {
        match self.guard.require(caller, action, target).await {
            Err(error) if error.kind == ErrorKind::Forbidden && !self.sees(caller, team) => {
                Err(Team::not_found("", team))
            }
            ruling => ruling,
        }
    }

    /// The team, for one who may do `action` with it.
    pub(super) async fn team_for(
        &self,
        caller: &Caller,
        action: Action,
        name: &str,
    ) -> Result<Resource<Team>> {
        self.require(caller, action, &of_team(name), name).await?;
        self.store.expect("", name).await
    }

    /// A page of the teams that the caller may see.
    pub async fn team_list(&self, caller: &Caller, query: &Query) -> Result<Page<Document>> {
        let sees = |document: &Document| self.sees(caller, &document.meta.name);
        self.store.documents_seen(Team::KIND, query, sees).await
    }

    /// One team.
    pub async fn team_show(&self, caller: &Caller, name: &str) -> Result<Document> {
        self.team_seen(caller, name).await?.document()
    }

    /// Whether the caller may see a namespace.
    fn sees_namespace(&self, caller: &Caller, document: &Document) -> bool {
        let role = document.spec["role"].as_str().unwrap_or_default();
        let target = of_namespace(&document.meta.scope, &document.meta.name, role);
        self.guard.allows(caller, NAMESPACE_READ, &target)
    }

    /// A page of a team's namespaces that the caller may see.
    pub async fn namespace_list(
        &self,
        caller: &Caller,
        team: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        self.guard.expect_team(caller, team).await?;
        let query = Query {
            scope: Some(team.into()),
            ..query
        };
        let sees = |document: &Document| self.sees_namespace(caller, document);
        self.store
            .documents_seen(Namespace::KIND, &query, sees)
            .await
    }

    /// One namespace.
    pub async fn namespace_show(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
    ) -> Result<Document> {
        let found = self.store.get::<Namespace>(team, name).await?;
        let document = found.map(|found| found.document()).transpose()?;
        document
            .filter(|document| self.sees_namespace(caller, document))
            .ok_or_else(|| Namespace::not_found(team, name))
    }
}
