//! Documents that people apply: teams, requests for namespaces, integrations, and tools. Written into a change that others
//! fill too: all that is applied together is, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{
    Applied, ApplyOutcome, Caller, Change, Error, Kind as _, Problem, Resource, Result,
    document::{API_VERSION, Refusals, in_full, refused_at},
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
    model::{Integration, Namespace, Peer, Team, Tool, ToolSpec},
};

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
        // Teams that are not taken: of what is asked for by one nothing can be said.
        let mut refused = BTreeSet::new();
        for (place, document) in documents {
            match read_one(document, place) {
                Ok(one) => read.push((place, one)),
                Err(wrong) => {
                    problems.extend(wrong);
                    refused.extend(team_named(document));
                }
            }
        }
        let mut refusals = Refusals::default();
        if !problems.is_empty() {
            refusals.note(Error::problems("the documents cannot be applied", problems))?;
        }
        let mut applied = BTreeMap::new();
        let mut rooms: Vec<Rooms> = Vec::new();
        let mut groups = BTreeMap::new();
        let mut peers = Vec::new();
        // Teams first, wherever they stand: what is asked for by one is written with it.
        let (teams, others): (Vec<_>, Vec<_>) = read
            .into_iter()
            .enumerate()
            .partition(|(_, (_, document))| matches!(document, Read::Team(_)));
        for (index, (place, document)) in teams.into_iter().chain(others) {
            let mut made = None;
            let one = match document {
                Read::Team(team) => {
                    made = Some(team.name.clone());
                    self.apply_team(caller, change, &mut groups, &mut rooms, team)
                        .await
                }
                Read::Namespace(team, _) if refused.contains(&team) => continue,
                Read::Namespace(team, new) => {
                    let policies = new.fields.network_policies.as_ref();
                    peers.extend(policies.map(|policies| (index, policies.allow_ingress.clone())));
                    self.apply_namespace(caller, change, &mut rooms, &team, &new)
                        .await
                }
                Read::Integration(name, new) => {
                    self.apply_integration(caller, change, name, *new).await
                }
                Read::Tool(name, spec) => self.apply_tool(caller, change, name, *spec).await,
            };
            match one {
                Ok(one) => {
                    applied.insert(index, one);
                }
                Err(error) => {
                    refusals.note(refused_at(error, place))?;
                    refused.extend(made);
                }
            }
        }
        refusals.end()?;
        let absent = self.absent(caller, &rooms, &peers).await?;
        for (index, peers) in &peers {
            if let Some(one) = applied.get_mut(index) {
                one.missing = missing(peers, &absent);
            }
        }
        for mut room in rooms {
            room.take(change)?;
        }
        Ok(applied.into_values().collect())
    }

    /// The names among `peers` that are no namespaces which the caller may see.
    async fn absent<'a>(
        &self,
        caller: &Caller,
        rooms: &[Rooms],
        peers: &'a [(usize, Vec<Peer>)],
    ) -> Result<BTreeSet<&'a str>> {
        let named = peers.iter().flat_map(|(_, peers)| peers);
        let mut absent: BTreeSet<&str> = named.map(|peer| peer.from_namespace.as_str()).collect();
        for name in absent.clone() {
            if self.is_namespace(caller, rooms, name).await? {
                absent.remove(name);
            }
        }
        Ok(absent)
    }

    /// Whether there is such a namespace, or is about to be, of a team that the caller may see.
    async fn is_namespace(&self, caller: &Caller, rooms: &[Rooms], name: &str) -> Result<bool> {
        let is_standard = |team: &Resource<Team>, role: &str| {
            team.spec.is_registered() && team.spec.environments.iter().any(|one| one == role)
        };
        // The name begins with that of the team whose it is.
        for (at, _) in name.match_indices('-') {
            let (team, role) = (&name[..at], &name[at + 1..]);
            // Others are not even looked for.
            if !self.sees(caller, team) {
                continue;
            }
            let room = rooms.iter().find(|room| room.team.meta.name == team);
            let found = if let Some(room) = room {
                room.position(name).is_some() || is_standard(&room.team, role)
            } else {
                let there = self.store.get::<Namespace>(team, name).await?.is_some();
                let team = self.store.get::<Team>("", team).await?;
                there || team.is_some_and(|team| is_standard(&team, role))
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn apply_team(
        &self,
        caller: &Caller,
        change: &mut Change,
        groups: &mut BTreeMap<String, String>,
        rooms: &mut Vec<Rooms>,
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
            let what = format!("team `{name}` is not valid");
            return Err(Error::problems(what, vec![problem]));
        }
        let (outcome, written) = match before {
            Some(there) if there.spec.is_registered() => {
                if says_what_is(&there.spec, &team.fields) && self.sees(caller, &name) {
                    (ApplyOutcome::Unchanged, None)
                } else {
                    self.require_change(caller, &there, &team.fields).await?;
                    let changed = self
                        .change_into(change, caller, there, &team.fields)
                        .await?;
                    let outcome = changed
                        .as_ref()
                        .map_or(ApplyOutcome::Unchanged, |_| ApplyOutcome::Changed);
                    (outcome, changed)
                }
            }
            before => {
                let team = self.onboard_into(change, caller, before, &team).await?;
                (ApplyOutcome::Created, Some(team))
            }
        };
        if let Some(written) = written {
            let is_made = outcome == ApplyOutcome::Created;
            rooms.push(self.rooms_of_written(written, is_made).await?);
        }
        Ok(Applied::of::<Team>("", &name, outcome))
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
            ApplyOutcome::Unchanged
        } else {
            let (_, was_there) = self
                .integration_into(change, caller, &name, &wanted, None)
                .await?;
            if was_there {
                ApplyOutcome::Changed
            } else {
                ApplyOutcome::Created
            }
        };
        Ok(Applied::of::<Integration>("", &name, outcome))
    }

    async fn apply_namespace(
        &self,
        caller: &Caller,
        change: &mut Change,
        rooms: &mut Vec<Rooms>,
        team: &str,
        new: &NewNamespace,
    ) -> Result<Applied> {
        let with_team = rooms.iter().any(|one| one.are_made_with(team));
        self.require_create(caller, team, new, with_team).await?;
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
                ApplyOutcome::Created
            }
            Some(index) => {
                self.require_namespace_change(caller, &room.namespaces[index], &new.fields)
                    .await?;
                if Self::room_change_into(change, caller, room, index, &new.fields)? {
                    ApplyOutcome::Changed
                } else {
                    ApplyOutcome::Unchanged
                }
            }
        };
        Ok(Applied {
            kind: REQUEST.into(),
            ..Applied::of::<Namespace>(team, &new.name, outcome)
        })
    }
}

/// The kind of a request for a namespace.
const REQUEST: &str = "NamespaceRequest";

/// Those of `peers` that are `absent`, in words.
fn missing(peers: &[Peer], absent: &BTreeSet<&str>) -> Option<String> {
    let named = peers.iter().map(|peer| peer.from_namespace.as_str());
    let missing: BTreeSet<&str> = named.filter(|name| absent.contains(name)).collect();
    let missing: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "namespace {}, which is not there, or not for you to see, and which `allowIngress` names: until it is \
             there, nobody is let in by that",
            missing.join(", ")
        )
    })
}

/// The team that a document is about which cannot be read as one.
fn team_named(document: &Value) -> Option<String> {
    let is_team = document["kind"].as_str() == Some(Team::KIND);
    let name = document["metadata"]["name"].as_str();
    name.filter(|_| is_team).map(str::to_owned)
}

/// Whether nothing of a team would change.
fn says_what_is(spec: &crate::model::TeamSpec, fields: &TeamFields) -> bool {
    let mut after = spec.clone();
    super::onboard::fill(&mut after, fields);
    after == *spec
}

/// What one document says; else all that is wrong with it.
fn read_one(document: &Value, place: &str) -> Result<Read, Vec<Problem>> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    if text("kind") == Some(Team::KIND) {
        let team: Envelope<TeamFields> = in_full(document, place)?;
        return Ok(Read::Team(NewTeam {
            name: team.metadata.name.to_string(),
            fields: team.spec,
        }));
    }
    if text("kind") == Some(Integration::KIND) {
        if !document["spec"]["credential"].is_null() {
            let problem = Problem::new(
                "integration/credential",
                format!("{place}.spec.credential"),
                "a document that is applied is kept where others read it, and holds no credential",
            )
            .remedy(
                "leave it out, and give it by `towpath integration set NAME --credential-file FILE`",
            );
            return Err(vec![problem]);
        }
        let integration: Envelope<NewIntegration> = in_full(document, place)?;
        let name = integration.metadata.name.to_string();
        return Ok(Read::Integration(name, Box::new(integration.spec)));
    }
    if text("kind") == Some(Tool::KIND) {
        let tool: Envelope<ToolSpec> = in_full(document, place)?;
        let name = tool.metadata.name.to_string();
        return Ok(Read::Tool(name, Box::new(tool.spec)));
    }
    if text("apiVersion") != Some(REQUEST_API_VERSION) {
        let problem = Problem::new(
            "document/api-version",
            format!("{place}.apiVersion"),
            format!("a {REQUEST} is of `{REQUEST_API_VERSION}`"),
        )
        .remedy(format!("write `apiVersion: {REQUEST_API_VERSION}`"));
        return Err(vec![problem]);
    }
    let request: Envelope<NamespaceRequest> = in_full(document, place)?;
    let spec = request.spec;
    let fields = NamespaceFields {
        role: spec.role,
        description: spec.description,
        quota: spec.quota,
        container_defaults: spec.container_defaults,
        network_policies: spec.network_policies,
    };
    let name = request.metadata.name.to_string();
    Ok(Read::Namespace(spec.team, NewNamespace { name, fields }))
}
