//! Documents that people apply: teams, requests for namespaces, integrations, and tools. Written into a change that others
//! fill too: all that is applied together is, or nothing.

use std::collections::BTreeMap;

use kernel::{
    Caller, Change, Error, Key, Kind as _, Problem, Result,
    document::{API_VERSION, Refusals, refused_at, shaped},
};
use serde_json::Value;

use super::{
    Teams,
    access::{TEAM_CREATE, of_platform},
    namespaces::Rooms,
};
use crate::{
    api::{
        Envelope, NamespaceFields, NamespaceRequest, NewIntegration, NewNamespace, NewTeam,
        REQUEST_API_VERSION, TeamFields,
    },
    model::{Integration, Namespace, Team, Tool, ToolSpec},
};

/// What became of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What was done.
    pub outcome: Outcome,
    /// What it is of.
    pub key: Key,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Created,
    /// It was changed.
    Changed,
    /// It is as the document says.
    Unchanged,
}

/// A document of ours.
enum Read {
    Team(NewTeam),
    Namespace(String, NewNamespace),
    Integration(String, Box<NewIntegration>),
    Tool(String, Box<ToolSpec>),
}

impl Teams {
    /// The kinds whose documents are taken here.
    pub const KINDS: [&'static str; 4] = [Team::KIND, Integration::KIND, Tool::KIND, REQUEST];

    /// Whether a document is of a kind that is taken here.
    pub fn takes(document: &Value) -> bool {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let what = (text("apiVersion"), text("kind"));
        let is_request = what.1 == Some(REQUEST);
        // Requests have an API version of their own, of which whoever writes another is told.
        (is_request || what.0 == Some(API_VERSION))
            && what.1.is_some_and(|kind| Self::KINDS.contains(&kind))
    }

    /// Writes what `documents` say into `change`, each with where it stands (`documents[0]`).
    pub async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        let mut problems = Vec::new();
        let mut read = Vec::new();
        for (place, document) in documents {
            match read_one(document, place) {
                Ok(one) => read.push((place, one)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut refusals = Refusals::default();
        if !problems.is_empty() {
            refusals.note(Error::problems("the documents cannot be applied", problems))?;
        }
        let mut applied = Vec::new();
        let mut rooms: Vec<Rooms> = Vec::new();
        let mut groups = BTreeMap::new();
        for (place, document) in read {
            let one = match document {
                Read::Team(team) => self.apply_team(caller, change, &mut groups, team).await,
                Read::Namespace(team, new) => {
                    self.apply_namespace(caller, change, &mut rooms, &team, &new)
                        .await
                }
                Read::Integration(name, new) => {
                    self.apply_integration(caller, change, name, *new).await
                }
                Read::Tool(name, spec) => self.apply_tool(caller, change, name, *spec).await,
            };
            match one {
                Ok(one) => applied.push(one),
                Err(error) => refusals.note(refused_at(error, place))?,
            }
        }
        refusals.end()?;
        for mut room in rooms {
            room.take(change)?;
        }
        Ok(applied)
    }

    async fn apply_team(
        &self,
        caller: &Caller,
        change: &mut Change,
        groups: &mut BTreeMap<String, String>,
        team: NewTeam,
    ) -> Result<Applied> {
        let name = team.name.clone();
        let before = self.store.get::<Team>("", &name).await?;
        let is_there = before
            .as_ref()
            .is_some_and(|there| there.spec.is_registered());
        // Before anything is said of it: whoever may not see a team is answered as if it were not there.
        if !is_there || !self.sees(caller, &name) {
            self.guard
                .require(caller, TEAM_CREATE, &of_platform(&name))
                .await?;
        }
        let fresh = || team.fields.group.clone().unwrap_or_else(|| name.clone());
        let there = before.as_ref().map(|there| there.spec.group.clone());
        let group = team.fields.group.clone().or(there).unwrap_or_else(fresh);
        if let Some(other) = groups.insert(group.clone(), name.clone())
            && other != name
        {
            let why =
                format!("the group `{group}` is that of team `{other}`, in the same documents");
            let problem = Problem::new("team/group", "group", why);
            let problem = problem.remedy("name another group: each team has its own");
            let what = format!("team `{name}` cannot be so");
            return Err(Error::problems(what, vec![problem]));
        }
        let outcome = match before {
            Some(there) if there.spec.is_registered() => {
                if says_what_is(&there.spec, &team.fields) && self.sees(caller, &name) {
                    Outcome::Unchanged
                } else {
                    self.require_change(caller, &there, &team.fields).await?;
                    let changed = self
                        .change_into(change, caller, there, &team.fields)
                        .await?;
                    changed.map_or(Outcome::Unchanged, |_| Outcome::Changed)
                }
            }
            before => {
                self.onboard_into(change, caller, before, &team).await?;
                Outcome::Created
            }
        };
        Ok(Applied {
            kind: Team::KIND,
            key: Key::of::<Team>("", &name),
            name,
            outcome,
        })
    }

    async fn apply_integration(
        &self,
        caller: &Caller,
        change: &mut Change,
        name: String,
        new: NewIntegration,
    ) -> Result<Applied> {
        self.require_integration_change(caller, &name).await?;
        let wanted = self.wanted(new)?;
        let there = self.store.get::<Integration>("", &name).await?;
        let outcome = if there.is_some_and(|there| there.spec == wanted.spec) {
            Outcome::Unchanged
        } else {
            let (_, was_there) = self
                .integration_into(change, caller, &name, &wanted, None)
                .await?;
            if was_there {
                Outcome::Changed
            } else {
                Outcome::Created
            }
        };
        Ok(Applied {
            kind: Integration::KIND,
            key: Key::of::<Integration>("", &name),
            name,
            outcome,
        })
    }

    async fn apply_namespace(
        &self,
        caller: &Caller,
        change: &mut Change,
        rooms: &mut Vec<Rooms>,
        team: &str,
        new: &NewNamespace,
    ) -> Result<Applied> {
        self.require_create(caller, team, new).await?;
        let known = rooms.iter().position(|one| one.team.meta.name == team);
        let index = known.unwrap_or(rooms.len());
        if known.is_none() {
            rooms.push(self.rooms(team).await?);
        }
        let room = &mut rooms[index];
        let outcome = match room.position(&new.name) {
            None => {
                self.room_create_into(change, caller, room, new)?;
                self.refuse_taken(team, &new.name).await?;
                Outcome::Created
            }
            Some(index) => {
                self.require_namespace_change(caller, &room.namespaces[index], &new.fields)
                    .await?;
                if Self::room_change_into(change, caller, room, index, &new.fields)? {
                    Outcome::Changed
                } else {
                    Outcome::Unchanged
                }
            }
        };
        Ok(Applied {
            kind: REQUEST,
            name: new.name.clone(),
            outcome,
            key: Key::of::<Namespace>(team, &new.name),
        })
    }
}

/// The kind of a request for a namespace.
const REQUEST: &str = "NamespaceRequest";

/// Whether nothing of a team would change.
fn says_what_is(spec: &crate::model::TeamSpec, fields: &TeamFields) -> bool {
    let mut after = spec.clone();
    super::onboard::fill(&mut after, fields);
    after == *spec
}

fn read_one(document: &Value, place: &str) -> Result<Read, Problem> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("kind") == Some(Team::KIND) {
        let team: Envelope<TeamFields> = shaped(document, place)?;
        return Ok(Read::Team(NewTeam {
            name: team.metadata.name.to_string(),
            fields: team.spec,
        }));
    }
    if text("kind") == Some(Integration::KIND) {
        if !document["spec"]["credential"].is_null() {
            return Err(Problem::new(
                "integration/credential",
                format!("{place}.spec.credential"),
                "a document that is applied is kept where others read it, and holds no credential",
            )
            .remedy(
                "leave it out, and give it by `towpath integration set NAME --credential-file FILE`",
            ));
        }
        let integration: Envelope<NewIntegration> = shaped(document, place)?;
        let name = integration.metadata.name.to_string();
        return Ok(Read::Integration(name, Box::new(integration.spec)));
    }
    if text("kind") == Some(Tool::KIND) {
        let tool: Envelope<ToolSpec> = shaped(document, place)?;
        let name = tool.metadata.name.to_string();
        return Ok(Read::Tool(name, Box::new(tool.spec)));
    }
    if text("apiVersion") != Some(REQUEST_API_VERSION) {
        return Err(Problem::new(
            "document/api-version",
            format!("{place}.apiVersion"),
            format!("a {REQUEST} is of `{REQUEST_API_VERSION}`"),
        )
        .remedy(format!("write `apiVersion: {REQUEST_API_VERSION}`")));
    }
    let request: Envelope<NamespaceRequest> = shaped(document, place)?;
    let spec = request.spec;
    let fields = NamespaceFields {
        role: None,
        description: spec.description,
        quota: spec.quota,
        network_policies: spec.network_policies,
    };
    let name = request.metadata.name.to_string();
    Ok(Read::Namespace(spec.team, NewNamespace { name, fields }))
}
