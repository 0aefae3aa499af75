//! Who may do what with what identity keeps: every use case asks here first. What a caller may not see is to
//! them as if it were not there.

use kernel::{Action, Caller, Document, Error, Key, Kind, Page, Query, Result, Target};

use super::Identity;

/// To see users, groups, programs, upstreams and signing keys; of a team its service accounts and what it
/// trusts.
const READ: Action = Action::see("identity.read");
/// To change them.
const CHANGE: Action = Action::act("identity.change");

/// What is the platform's own: one, or where no name is given all of a kind.
pub(super) fn of_platform<K: Kind>(name: &str) -> Target<'_> {
    Target {
        kind: K::KIND,
        name,
        ..Target::default()
    }
}

/// What is a team's.
pub(super) fn of_team<'a, K: Kind>(team: &'a str, name: &'a str) -> Target<'a> {
    Target {
        kind: K::KIND,
        scope: team,
        name,
        team,
        environment: None,
    }
}

impl Identity {
    /// Refuses who may not change `target`. Of another team they are not told whether it is there.
    pub(super) async fn may_change(&self, caller: &Caller, target: &Target<'_>) -> Result<()> {
        let ruling = self.guard.require(caller, CHANGE, target).await;
        self.guard.expect_team(caller, target.team).await?;
        ruling
    }

    /// Refuses who may not see what is of `target`'s kind. Of another team they are not told that it is there.
    pub(super) async fn may_list(&self, caller: &Caller, target: &Target<'_>) -> Result<()> {
        self.guard.expect_team(caller, target.team).await?;
        self.guard.require(caller, READ, target).await
    }

    /// Whether `target` is there for `caller`.
    pub(super) fn sees(&self, caller: &Caller, target: &Target<'_>) -> bool {
        self.guard.allows(caller, READ, target)
    }

    /// A page of the platform's own resources of one kind.
    pub async fn of_platform<K: Kind>(
        &self,
        caller: &Caller,
        query: &Query,
    ) -> Result<Page<Document>> {
        self.may_list(caller, &of_platform::<K>("")).await?;
        let sees = |found: &Document| self.sees(caller, &of_platform::<K>(&found.meta.name));
        self.store.documents_seen(K::KIND, query, sees).await
    }

    /// One of the platform's own resources.
    pub async fn one_of_platform<K: Kind>(&self, caller: &Caller, name: &str) -> Result<Document> {
        self.one(caller, &of_platform::<K>(name), || K::not_found("", name))
            .await
    }

    /// A page of the resources of a kind that belong to a team.
    pub async fn of_team<K: Kind>(
        &self,
        caller: &Caller,
        team: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        self.may_list(caller, &of_team::<K>(team, "")).await?;
        let query = Query {
            scope: Some(team.into()),
            ..query
        };
        let sees = |found: &Document| self.sees(caller, &of_team::<K>(team, &found.meta.name));
        self.store.documents_seen(K::KIND, &query, sees).await
    }

    /// One resource that belongs to a team.
    pub async fn one_of_team<K: Kind>(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
    ) -> Result<Document> {
        self.guard.expect_team(caller, team).await?;
        self.one(caller, &of_team::<K>(team, name), || {
            K::not_found(team, name)
        })
        .await
    }

    async fn one(
        &self,
        caller: &Caller,
        target: &Target<'_>,
        missing: impl Fn() -> Error,
    ) -> Result<Document> {
        if !self.sees(caller, target) {
            return Err(missing());
        }
        let key = Key {
            kind: target.kind.into(),
            scope: target.scope.into(),
            name: target.name.into(),
        };
        self.store.document(&key).await?.ok_or_else(missing)
    }
}
