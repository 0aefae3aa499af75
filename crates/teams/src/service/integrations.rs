//! Integrations: which tools are kept in step with teams.

use kernel::{
    Action, Caller, Change, Document, Error, Kind, Name, NewEvent, Outcome, Page, Query, Resource,
    Result, Secret, Target, anew,
};
use serde_json::json;

use super::{Teams, differences::differences};
use crate::{
    api::NewIntegration,
    model::{Integration, IntegrationSpec, IntegrationState},
    tool::Tool,
};

const READ: Action = Action::see("integration.read");
const CHANGE: Action = Action::act("integration.change");

/// Where people write what may be secret, whatever they are told.
const MAY_BE_SECRET: [&str; 1] = ["config.headers"];

/// An integration is the platform's.
fn of_platform(name: &str) -> Target<'_> {
    Target {
        kind: Integration::KIND,
        name,
        ..Target::default()
    }
}

/// How far a tool is with a team, the team may see.
fn of_team<'a>(team: &'a str, name: &'a str) -> Target<'a> {
    Target {
        kind: IntegrationState::KIND,
        scope: team,
        name,
        team,
        environment: None,
    }
}

/// What an integration should be, and what it is spoken to with where that is said.
pub(super) struct Wanted {
    pub(super) spec: IntegrationSpec,
    credential: Option<Secret>,
}

impl Teams {
    /// What speaks to tools of this sort.
    pub(crate) fn tool(&self, kind: &str) -> Option<&dyn Tool> {
        let tools = self.ports.tools.iter();
        tools.map(AsRef::as_ref).find(|tool| tool.kind() == kind)
    }

    /// A page of the integrations, for those who may see them.
    pub async fn integration_list(&self, caller: &Caller, query: &Query) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            let target = of_platform(&document.meta.name);
            self.guard.allows(caller, READ, &target)
        };
        self.store
            .documents_seen(Integration::KIND, query, sees)
            .await
    }

    /// One integration.
    pub async fn integration_show(&self, caller: &Caller, name: &str) -> Result<Document> {
        if !self.guard.allows(caller, READ, &of_platform(name)) {
            return Err(Integration::not_found("", name));
        }
        let found = self.store.expect::<Integration>("", name).await?;
        found.document()
    }

    /// How far the tools are with a team, for its members.
    pub async fn integration_states(
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
        let sees = |document: &Document| {
            let target = of_team(team, &document.meta.name);
            self.guard.allows(caller, READ, &target)
        };
        self.store
            .documents_seen(IntegrationState::KIND, &query, sees)
            .await
    }

    /// How far a tool is with each team that the caller may see.
    pub async fn integration_teams(
        &self,
        caller: &Caller,
        name: &str,
        query: Query,
    ) -> Result<Page<Document>> {
        let query = Query {
            labels: [(IntegrationState::INTEGRATION.into(), name.into())].into(),
            ..query
        };
        let sees = |document: &Document| {
            let target = of_team(&document.meta.scope, name);
            self.guard.allows(caller, READ, &target)
        };
        self.store
            .documents_seen(IntegrationState::KIND, &query, sees)
            .await
    }

    /// Makes an integration, or writes what one should be.
    pub async fn integration_put(
        &self,
        caller: &Caller,
        name: &str,
        new: NewIntegration,
        revision: Option<i64>,
    ) -> Result<Resource<Integration>> {
        self.require_integration_change(caller, name).await?;
        let name = Name::new(name)?;
        let wanted = self.wanted(new)?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let (integration, _) = self
                .integration_into(&mut change, caller, name.as_str(), &wanted, revision)
                .await?;
            let committed = self.store.commit(change).await?;
            if committed.documents.is_empty() {
                // A new credential alone leaves the resource as it was.
                return Ok(integration);
            }
            committed.resource(&integration.key())
        })
        .await
    }

    /// Whether the caller may say what an integration should be.
    pub(super) async fn require_integration_change(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<()> {
        self.guard.require(caller, CHANGE, &of_platform(name)).await
    }

    /// What is asked for, once the tool finds nothing wrong with it.
    pub(super) fn wanted(&self, new: NewIntegration) -> Result<Wanted> {
        let credential = new.credential.map(Secret::from);
        let spec = IntegrationSpec {
            description: new.description,
            tool: new.tool,
            config: new.config,
            teams: new.teams,
            enabled: new.enabled,
        };
        let Some(tool) = self.tool(&spec.tool) else {
            let known: Vec<_> = self.ports.tools.iter().map(|tool| tool.kind()).collect();
            return Err(Error::invalid(format!(
                "there is no integration of type `{}`",
                spec.tool.escape_debug()
            ))
            .remedy(format!("choose one of: {}", known.join(", "))));
        };
        let problems = tool.check(&spec.config);
        if !problems.is_empty() {
            return Err(Error::problems(
                "the integration is not as it should be",
                problems,
            ));
        }
        Ok(Wanted { spec, credential })
    }

    /// Writes what an integration should be into `change`, and says whether it was there before.
    pub(super) async fn integration_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        name: &str,
        wanted: &Wanted,
        revision: Option<i64>,
    ) -> Result<(Resource<Integration>, bool)> {
        let Wanted { spec, credential } = wanted;
        let before = self.store.get::<Integration>("", name).await?;
        let was_there = before.is_some();
        let mut integration = match before {
            Some(before) => before,
            None => Resource::new("", name, spec.clone()),
        };
        integration.meta.require_revision(revision)?;
        if integration.spec.tool != spec.tool {
            return Err(
                Error::conflict("the type of an integration stays as it was made")
                    .remedy("make another integration, and remove this one"),
            );
        }
        let changed = differences(&integration.spec, spec, &MAY_BE_SECRET)?;
        integration.spec = spec.clone();
        let what = if was_there {
            change.spec(&integration)?;
            "integration.changed"
        } else {
            change.create(&integration)?;
            "integration.created"
        };
        if let Some(credential) = credential {
            let uid = integration.meta.uid;
            change.seal(uid, Integration::CREDENTIAL, credential.clone());
        }
        change.event(NewEvent::caused(
            what,
            integration.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({
                "type": spec.tool,
                "enabled": spec.enabled,
                "credential": credential.is_some(),
                "changed": changed,
            }),
        ));
        Ok((integration, was_there))
    }

    /// Removes an integration: the tool stays as it is, and is looked at no more.
    pub async fn integration_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.require_integration_change(caller, name).await?;
        anew(|| async {
            let integration = self.store.expect::<Integration>("", name).await?;
            integration.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&integration)?;
            change.event(NewEvent::caused(
                "integration.removed",
                integration.key(),
                "",
                caller,
                Some(Outcome::Pass),
                json!({ "type": integration.spec.tool }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await
    }
}
