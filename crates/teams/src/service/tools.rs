//! The register of tools: which the organization's teams use, and what is found about each.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Action, Applied, ApplyOutcome, Caller, Change, Document, Error, Kind, NewEvent, Outcome, Page,
    Query, Resource, Result, Target, anew,
};
use serde_json::json;

use super::{Teams, differences::differences};
use crate::{
    api::ToolView,
    model::{
        Authorization, Counted, CredentialKind, InStep, Integration, IntegrationState, Known, Tool,
        ToolSpec,
    },
};

/// To see which tools there are: everybody needs to know.
const READ: Action = Action::see("tool.read");
/// To change what is said of a tool, or of a credential: those who answer for it.
const CHANGE: Action = Action::act("tool.change");
/// To say which tools there are, and who administers each.
const REGISTER: Action = Action::act("tool.register");

/// A tool, as far as it is `team`'s; empty: the platform's.
fn target<'a>(name: &'a str, team: &'a str) -> Target<'a> {
    Target {
        kind: Tool::KIND,
        name,
        team,
        ..Target::default()
    }
}

/// A credential of a person by which automation reaches a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalCredential {
    /// The tool.
    pub tool: String,
    /// The credential's name.
    pub credential: String,
    /// Whose personal one it is.
    pub person: String,
    /// The team that answers for it.
    pub team: String,
}

impl Teams {
    /// A page of the tools, with what is found about each.
    pub async fn tool_list(&self, caller: &Caller, query: &Query) -> Result<Page<Document>> {
        let sees = |document: &Document| {
            let target = target(&document.meta.name, "");
            self.guard.allows(caller, READ, &target)
        };
        let page = self.store.documents_seen(Tool::KIND, query, sees).await?;
        let tools = page.items.into_iter().map(Document::typed::<Tool>);
        let tools = tools.collect::<Result<Vec<_>>>()?;
        let known = self.known_of(tools.iter().map(|tool| &tool.spec)).await?;
        let items = tools.into_iter().map(|tool| told(tool, &known).document());
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            next: page.next,
        })
    }

    /// One tool, with what is found about it.
    pub async fn tool_show(&self, caller: &Caller, name: &str) -> Result<Document> {
        if !self.guard.allows(caller, READ, &target(name, "")) {
            return Err(Tool::not_found("", name));
        }
        let tool = self.store.expect::<Tool>("", name).await?;
        let known = self.known_of([&tool.spec]).await?;
        told(tool, &known).document()
    }

    /// What is so by now of all that these tools name. Teams are not read: a page names any number of them.
    async fn known_of(&self, tools: impl IntoIterator<Item = &ToolSpec> + Send) -> Result<Known> {
        let (mut teams, mut integrations) = (BTreeSet::new(), BTreeMap::<_, bool>::new());
        for tool in tools {
            teams.extend(tool.teams().map(str::to_owned));
            for name in tool.integrations() {
                // Of one that merely keeps a credential it matters that there is one.
                let own = Authorization::Integration(name.clone());
                let keeps_in_step = tool.authorization == own;
                *integrations.entry(name.to_string()).or_default() |= keeps_in_step;
            }
        }
        let mut known = Known {
            now: self.settings.clock.now(),
            ..Known::default()
        };
        self.registry.current().await?;
        for name in teams {
            let registration = self.registry.registration(&name);
            known.teams.insert(name, registration);
        }
        if integrations.is_empty() {
            return Ok(known);
        }
        // There are few, whatever tools name.
        let all = self
            .store
            .list_all::<Integration>(&Query::default())
            .await?;
        for integration in all {
            let name = integration.meta.name;
            let Some(keeps_in_step) = integrations.remove(&name) else {
                continue;
            };
            let mut found = InStep {
                enabled: integration.spec.enabled,
                ..InStep::default()
            };
            if keeps_in_step {
                found.failing = self.marked(&name, IntegrationState::FAILING).await?;
                found.violating = self.marked(&name, IntegrationState::VIOLATING).await?;
            }
            known.integrations.insert(name, found);
        }
        Ok(known)
    }

    /// The teams with which an integration is in a state that has this label. No other state is read, and of these no
    /// more than a page: everybody may ask, however many teams there are.
    async fn marked(&self, integration: &str, label: &str) -> Result<Counted> {
        let labels = [
            (IntegrationState::INTEGRATION, integration),
            (label, IntegrationState::YES),
        ];
        let query = Query {
            labels: labels
                .map(|(name, is)| (name.to_owned(), is.to_owned()))
                .into(),
            ..Query::default()
        };
        let page = self.store.documents(IntegrationState::KIND, &query).await?;
        Ok(Counted {
            teams: page.items.len(),
            more: page.next.is_some(),
        })
    }

    /// Writes what a document says of a tool into `change`.
    pub(super) async fn apply_tool(
        &self,
        caller: &Caller,
        change: &mut Change,
        name: String,
        spec: ToolSpec,
    ) -> Result<Applied> {
        let before = self.store.get::<Tool>("", &name).await?;
        // That nothing changes is told to whoever sees the tool anyhow.
        if !before.as_ref().is_some_and(|before| before.spec == spec)
            || !self.guard.allows(caller, READ, &target(&name, ""))
        {
            let was = before.as_ref().map(|before| &before.spec);
            self.require_tool_change(caller, &name, was, &spec).await?;
        }
        let problems = spec.problems();
        if !problems.is_empty() {
            let what = "what is said of the tool is not as it should be";
            return Err(Error::problems(what, problems));
        }
        let outcome = match before {
            Some(before) if before.spec == spec => ApplyOutcome::Unchanged,
            before => tool_into(change, caller, &name, before, spec)?,
        };
        Ok(Applied::of::<Tool>("", &name, outcome))
    }

    /// Whether the caller may say all that differs: who administers a tool says what it is, who answers for a
    /// credential what that is, and those who operate the platform which tools there are and who administers
    /// them.
    async fn require_tool_change(
        &self,
        caller: &Caller,
        name: &str,
        before: Option<&ToolSpec>,
        after: &ToolSpec,
    ) -> Result<()> {
        let Some(before) = before.filter(|before| before.owner == after.owner) else {
            return self
                .guard
                .require(caller, REGISTER, &target(name, ""))
                .await;
        };
        let mut concerned = BTreeSet::new();
        if before.itself() != after.itself() {
            concerned.insert(before.owner.team());
        }
        for credential in before.credentials.keys().chain(after.credentials.keys()) {
            let [was, is] = [before, after].map(|spec| spec.credentials.get(credential));
            if was != is {
                concerned.extend(was.into_iter().chain(is).map(|one| one.owner.as_str()));
            }
        }
        for team in concerned {
            self.guard
                .require(caller, CHANGE, &target(name, team))
                .await?;
        }
        Ok(())
    }

    /// Takes a tool out of the register: it stays as it is, and nobody is reminded of its credentials.
    pub async fn tool_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.guard
            .require(caller, REGISTER, &target(name, ""))
            .await?;
        anew(|| async {
            let tool = self.store.expect::<Tool>("", name).await?;
            tool.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&tool)?;
            change.event(NewEvent::caused(
                "tool.removed",
                tool.key(),
                tool.spec.owner.team(),
                caller,
                Some(Outcome::Pass),
                json!({ "owner": tool.spec.owner }),
            ));
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// The personal credentials by which automation reaches tools: those of `subject`; none: of everybody. For
    /// whoever has asked already whether they may be told.
    pub async fn personal_credentials(
        &self,
        subject: Option<&str>,
    ) -> Result<Vec<PersonalCredential>> {
        let tools = self.store.list_all::<Tool>(&Query::default()).await?;
        let mut found = Vec::new();
        for tool in tools {
            for (credential, one) in tool.spec.credentials {
                let person = one.person.filter(|_| one.kind == CredentialKind::Personal);
                let theirs =
                    person.filter(|person| subject.is_none_or(|subject| person == subject));
                found.extend(theirs.map(|person| PersonalCredential {
                    tool: tool.meta.name.clone(),
                    credential: credential.to_string(),
                    person,
                    team: one.owner.to_string(),
                }));
            }
        }
        Ok(found)
    }
}

/// A tool as it is told of.
fn told(tool: Resource<Tool>, known: &Known) -> ToolView {
    let findings = tool.spec.findings(known);
    ToolView { tool, findings }
}

/// Writes a tool into `change`, with its event.
fn tool_into(
    change: &mut Change,
    caller: &Caller,
    name: &str,
    before: Option<Resource<Tool>>,
    spec: ToolSpec,
) -> Result<ApplyOutcome> {
    let was_there = before.is_some();
    let mut tool = before.unwrap_or_else(|| Resource::new("", name, spec.clone()));
    let changed = differences(&tool.spec, &spec, &[])?;
    let labels = &mut tool.meta.labels;
    match spec.owner.team() {
        "" => labels.remove(kernel::Meta::TEAM),
        team => labels.insert(kernel::Meta::TEAM.into(), team.into()),
    };
    tool.spec = spec;
    let (what, outcome) = if was_there {
        change.spec(&tool)?;
        ("tool.changed", ApplyOutcome::Changed)
    } else {
        change.create(&tool)?;
        ("tool.created", ApplyOutcome::Created)
    };
    let credentials: BTreeMap<_, _> = tool
        .spec
        .credentials
        .iter()
        .map(|(n, c)| (n, c.kind))
        .collect();
    change.event(NewEvent::caused(
        what,
        tool.key(),
        tool.spec.owner.team(),
        caller,
        Some(Outcome::Pass),
        json!({ "owner": tool.spec.owner, "credentials": credentials, "changed": changed }),
    ));
    Ok(outcome)
}
