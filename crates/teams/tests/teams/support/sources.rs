//! Sources of teams: what they say is what the test says.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{Caller, Change, Error, Event, Result};
use teams::port::{Group, GroupsOf, Identified, LocalGroups, Member, MembershipSource, Upstreams};

use super::Outside;

/// The local source: people are whom a test names, but `nobody`.
pub(super) struct Local(pub(super) Arc<Outside>);

#[async_trait]
impl MembershipSource for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn group(&self, group: &str, _: Option<&str>) -> Result<Group> {
        self.0.asked.fetch_add(1, Relaxed);
        if *self.0.local_away.lock().unwrap() {
            return Err(Error::unavailable("the local source is away"));
        }
        let groups = self.0.groups.lock().unwrap();
        let member = |name: &String| Member {
            subject: format!("local:{name}"),
            name: name.clone(),
            email: None,
        };
        Ok(match groups.get(group) {
            Some(members) => Group::Found(members.iter().map(member).collect()),
            None => Group::Missing,
        })
    }
}

#[async_trait]
impl LocalGroups for Local {
    async fn knows(&self, who: &str) -> Result<bool> {
        Ok(who != "nobody")
    }

    fn group_of(&self, event: &Event) -> Option<String> {
        let key = event.subject_key()?;
        (key.kind == "LocalGroup").then_some(key.name)
    }

    async fn ensure(&self, _: &Caller, team: &str, group: &str, people: &[String]) -> Result<bool> {
        let mut groups = self.0.groups.lock().unwrap();
        if groups.contains_key(group) {
            return Ok(false);
        }
        groups.insert(group.into(), people.iter().cloned().collect());
        let mut made = self.0.made.lock().unwrap();
        made.insert(group.into(), team.into());
        Ok(true)
    }

    async fn add(
        &self,
        _: &mut Change,
        _: &Caller,
        _: &str,
        group: &str,
        who: &str,
    ) -> Result<Option<String>> {
        if who == "nobody" {
            return Err(Error::invalid("there is no user `nobody`"));
        }
        let meanwhile = self.0.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
            // What is written goes with the rest of the change.
            return Ok(Some(format!("local:{who}")));
        }
        let mut groups = self.0.groups.lock().unwrap();
        let is_new = groups.entry(group.into()).or_default().insert(who.into());
        Ok(is_new.then(|| format!("local:{who}")))
    }

    async fn remove(
        &self,
        _: &mut Change,
        _: &Caller,
        group: &str,
        who: &str,
    ) -> Result<Option<String>> {
        let mut groups = self.0.groups.lock().unwrap();
        let members = groups.get_mut(group);
        let was_there = members.is_some_and(|members| members.remove(who));
        Ok(was_there.then(|| format!("local:{who}")))
    }

    async fn end(&self, _: &Caller, team: &str, group: &str) -> Result<()> {
        let mut made = self.0.made.lock().unwrap();
        if made.get(group).is_some_and(|of| of == team) {
            made.remove(group);
            self.0.groups.lock().unwrap().remove(group);
        }
        Ok(())
    }
}

/// An upstream that lists nobody, and may be away.
pub(super) struct Upstream(pub(super) Arc<Outside>);

#[async_trait]
impl MembershipSource for Upstream {
    fn name(&self) -> &'static str {
        "github"
    }

    async fn identify(&self, group: &str, id: Option<&str>) -> Result<Option<Identified>> {
        let hangs = *self.0.hangs.lock().unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
        if self.0.upstream.lock().unwrap().is_none() {
            return Err(Error::unavailable("github is away"));
        }
        let ids = self.0.ids.lock().unwrap();
        let found = ids.iter().find(|(name, known)| match id {
            Some(id) => *known == id,
            None => *name == group,
        });
        let group = |(name, id): (&String, &String)| Identified {
            id: id.clone(),
            name: name.clone(),
        };
        Ok(found.map(group))
    }

    async fn group(&self, group: &str, id: Option<&str>) -> Result<Group> {
        self.0.asked.fetch_add(1, Relaxed);
        let found = self.identify(group, id).await?;
        if *self.0.hides.lock().unwrap() {
            return Ok(Group::Missing);
        }
        let group = found.map_or_else(|| group.to_owned(), |found| found.name);
        let group = group.as_str();
        let all = self.0.upstream.lock().unwrap();
        let all = all
            .as_ref()
            .ok_or_else(|| Error::unavailable("github is away"))?;
        let people = all.get(group).cloned().unwrap_or_default();
        let member = |name: String| Member {
            subject: format!("github:{name}"),
            name,
            email: None,
        };
        if *self.0.lists.lock().unwrap() {
            return Ok(Group::Found(people.into_iter().map(member).collect()));
        }
        let left = self.0.left.lock().unwrap().clone();
        Ok(Group::Seen {
            members: people.iter().cloned().map(member).collect(),
            left: left.into_iter().map(member).collect(),
            some: !people.is_empty(),
        })
    }

    async fn last_said(&self, subject: &str, _: &str, _: Option<&str>) -> Result<Option<bool>> {
        Ok(self.0.said.lock().unwrap().get(subject).copied())
    }

    async fn let_in(&self, group: &str, id: Option<&str>) -> Result<BTreeSet<String>> {
        let lists = *self.0.lists.lock().unwrap();
        let (Group::Found(members) | Group::Seen { members, .. }) = self.group(group, id).await?
        else {
            return Ok(BTreeSet::new());
        };
        let logged_in = self.0.logged_in.lock().unwrap();
        let members = members.into_iter().map(|one| one.subject);
        Ok(members
            .filter(|subject| !lists || logged_in.contains(subject))
            .collect())
    }

    async fn end_gone(&self, _: &Caller, group: &str, id: Option<&str>) -> Result<usize> {
        let asked = (group.to_owned(), id.map(str::to_owned));
        self.0.looked.lock().unwrap().push(asked);
        self.identify(group, id).await.map(|_| 1)
    }
}

#[async_trait]
impl Upstreams for Upstream {
    async fn sources(&self, since: Option<Timestamp>) -> Result<Vec<Box<dyn MembershipSource>>> {
        if since.is_some() {
            *self.0.since.lock().unwrap() = since;
        }
        if *self.0.alone.lock().unwrap() {
            return Ok(vec![]);
        }
        Ok(vec![Box::new(Self(self.0.clone()))])
    }

    /// People are whom the test names, and in what it says.
    async fn groups_of(&self, person: &str) -> Result<Option<GroupsOf>> {
        Ok(Some(GroupsOf {
            source: "github".into(),
            names: self.0.of("github", person),
            ids: self.0.ids_of("github", person),
        }))
    }
}
