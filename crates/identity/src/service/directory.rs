//! Groups of upstreams, and who is in them: as the upstream lists them where it can be asked, else as
//! those tell who are logged in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kernel::{Result, Secret};

use super::{
    Identity,
    upstreams::{DIRECTORY, SECRET},
};
use crate::{
    model::UpstreamKind,
    source::github::{Directory, GitHub, Members, Team},
    state::Person,
};

/// A group of an upstream that has a lasting id there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamGroup {
    /// Never another group's.
    pub id: String,
    /// What it is called now.
    pub name: String,
}

/// Somebody, as other tools may know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whom {
    /// What people call them.
    pub name: String,
    /// Their address, where it is known.
    pub email: Option<String>,
}

/// Who is in a group of an upstream, by subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamMembers {
    /// The upstream lists them.
    Listed {
        /// All of them.
        members: BTreeMap<String, Whom>,
        /// Before it was asked. An answer serves all who ask within some seconds, but those who will have none from
        /// before: what has happened since is not in it.
        asked: Timestamp,
    },
    /// The upstream lists nobody.
    Seen {
        /// Those who are logged in.
        members: BTreeMap<String, Whom>,
        /// Those who were in it, and of whom it has said since that they are not.
        left: BTreeMap<String, Whom>,
        /// Whether somebody was in it when it last spoke of them, logged in or not.
        some: bool,
    },
    /// There is no such group.
    Missing,
}

impl Identity {
    /// The group of an upstream with the lasting id `id`, where that is known, else of this name. None
    /// where its groups have no ids, or nobody has told of one. What the upstream listed before `since` does not
    /// count; without it what it listed half a minute ago will do.
    pub async fn upstream_group(
        &self,
        upstream: &str,
        name: &str,
        id: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<Option<UpstreamGroup>> {
        if let Some(directory) = self.directory(upstream, since).await? {
            let team = directory.find(name, id).await?;
            return Ok(team.map(|team| UpstreamGroup {
                id: team.id.to_string(),
                name: directory.github.group(&team.slug),
            }));
        }
        self.view.current().await?;
        let known = self.view.known().logins.group(upstream, name, id);
        Ok(known.map(|(id, name)| UpstreamGroup { id, name }))
    }

    /// Who is in that group. What the upstream listed before `since` does not count; without it what it listed some
    /// seconds ago will do.
    pub async fn upstream_members(
        &self,
        upstream: &str,
        name: &str,
        id: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<UpstreamMembers> {
        let Some(directory) = self.directory(upstream, since).await? else {
            let seen = self.view.members(upstream, name, id).await?;
            let left = self.upstream_left(upstream, name, id).await?;
            let now = self.clock.now();
            let some = !seen.is_empty()
                || self
                    .view
                    .known()
                    .people
                    .knows_of_some(upstream, name, id, now);
            return Ok(UpstreamMembers::Seen {
                members: self.known_as(self.newest(seen)),
                left,
                some,
            });
        };
        let members = match directory.find(name, id).await? {
            Some(team) => directory.members(&team).await?,
            None => None,
        };
        Ok(match members {
            Some(Members { asked, logins }) => {
                let subject = |id| format!("{upstream}:{id}");
                let members = logins.into_iter();
                let members = members.map(|(id, name)| (subject(id), name)).collect();
                self.view.current().await?;
                UpstreamMembers::Listed {
                    members: self.known_as(members),
                    asked,
                }
            }
            None => UpstreamMembers::Missing,
        })
    }

    /// Those who are logged in with that group, by subject, whether or not the upstream lists its members.
    pub async fn upstream_seen(
        &self,
        upstream: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<BTreeSet<String>> {
        let seen = self.view.members(upstream, name, id).await?;
        Ok(seen.into_keys().collect())
    }

    /// Whether somebody, by subject, was in a group of their upstream when that last spoke of them, logged in or not;
    /// none: it has not spoken of them.
    pub async fn upstream_last_said(
        &self,
        subject: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<Option<bool>> {
        self.view.current().await?;
        let (known, now) = (self.view.known(), self.clock.now());
        let person = known.people.of(subject);
        Ok(person.map(|person| person.is_in(name, id, now)))
    }

    /// Those who were in a group of an upstream, and of whom it has said since that they are not.
    async fn upstream_left(
        &self,
        upstream: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<BTreeMap<String, Whom>> {
        self.view.current().await?;
        let known = self.view.known();
        let left = known.people.left(upstream, name, id, self.clock.now());
        let whom = |person: &Person| Whom {
            name: person.name.clone(),
            email: person.email.clone(),
        };
        Ok(left
            .into_iter()
            .map(|person| (person.subject.clone(), whom(person)))
            .collect())
    }

    /// Those who are logged in, by what their upstream called them last: a session knows what it did when the
    /// session was last renewed, and that may be somebody else's by now.
    fn newest(&self, people: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let known = self.view.known();
        let newest = |(subject, name): (String, String)| {
            let person = known.people.of(&subject);
            let name = person.map_or(name, |person| person.name.clone());
            (subject, name)
        };
        people.into_iter().map(newest).collect()
    }

    /// People of an upstream, with what it has told of them when they logged in.
    fn known_as(&self, people: BTreeMap<String, String>) -> BTreeMap<String, Whom> {
        let known = self.view.known();
        let whom = |(subject, name): (String, String)| {
            let email = known
                .people
                .of(&subject)
                .and_then(|person| person.email.clone());
            (subject, Whom { name, email })
        };
        people.into_iter().map(whom).collect()
    }

    /// What lists the groups of an upstream, as they were after `since`, where it can and was given a token for that.
    async fn directory(&self, name: &str, since: Option<Timestamp>) -> Result<Option<Directory>> {
        let Some(upstream) = self.upstream_there(name).await? else {
            return Ok(None);
        };
        let UpstreamKind::Github { org, url, api_url } = upstream.spec.provider else {
            return Ok(None);
        };
        let token = self.store.secret(upstream.meta.uid, DIRECTORY).await?;
        let Some(token) = token.filter(|token| !token.expose().is_empty()) else {
            return Ok(None);
        };
        let secret = self.store.secret(upstream.meta.uid, SECRET).await?;
        let github = GitHub {
            outbound: self.outbound.clone(),
            client_id: upstream.spec.client_id,
            client_secret: secret.unwrap_or_else(|| Secret::from("")),
            org,
            url,
            api_url,
        };
        Ok(Some(Directory {
            github,
            token,
            kept: self.directories.clone(),
            clock: self.clock.clone(),
            since,
        }))
    }
}

impl Directory {
    /// The team that a group is.
    async fn find(&self, name: &str, id: Option<&str>) -> Result<Option<Team>> {
        let id = match id.map(str::parse) {
            None => None,
            Some(Ok(id)) => Some(id),
            // No id of GitHub's.
            Some(Err(_)) => return Ok(None),
        };
        match (self.github.slug(name), id) {
            (None, None) => Ok(None),
            (slug, id) => self.team(slug.unwrap_or_default(), id).await,
        }
    }
}
