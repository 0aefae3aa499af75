//! What teams are told by others, and what others do for them: as much as a tool's reconciling takes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{Action, Authorizer, Caller, Change, Error, Event, Result, Ruling, Target};
use teams::port::{
    Belongings, Credentials, Group, GroupsOf, Left, LocalGroups, Member, MembershipSource,
    SecretNames, Upstreams,
};

/// The one source of who is in the one group; none: it is away.
pub(crate) struct Source(pub(crate) Mutex<Option<BTreeSet<String>>>);

#[async_trait]
impl MembershipSource for Source {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn group(&self, _: &str, _: Option<&str>) -> Result<Group> {
        let members = self.0.lock().unwrap().clone();
        let members = members.ok_or_else(|| Error::unavailable("it is away"))?;
        let member = |name: String| Member {
            subject: format!("local:{name}"),
            email: Some(format!("{name}@acme.example")),
            name,
        };
        Ok(Group::Found(members.into_iter().map(member).collect()))
    }
}

#[async_trait]
impl LocalGroups for Source {
    async fn knows(&self, _: &str) -> Result<bool> {
        Ok(true)
    }

    fn group_of(&self, _: &Event) -> Option<String> {
        None
    }

    async fn ensure(&self, _: &Caller, _: &str, _: &str, _: &[String]) -> Result<bool> {
        Ok(false)
    }

    async fn add(
        &self,
        _: &mut Change,
        _: &Caller,
        _: &str,
        _: &str,
        _: &str,
    ) -> Result<Option<String>> {
        Ok(None)
    }

    async fn remove(&self, _: &mut Change, _: &Caller, _: &str, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn end(&self, _: &Caller, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
}

/// An upstream that tells of those who have logged in, and of those who it says are out.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) seen: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) left: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) some: Arc<Mutex<bool>>,
    /// Why nobody can say which upstreams there are.
    pub(crate) unknown: Arc<Mutex<Option<Error>>>,
}

#[async_trait]
impl MembershipSource for Upstream {
    fn name(&self) -> &'static str {
        "corp"
    }

    async fn group(&self, _: &str, _: Option<&str>) -> Result<Group> {
        let people = |of: &Mutex<BTreeSet<String>>| {
            let member = |name: String| Member {
                subject: format!("corp:{name}"),
                email: Some(format!("{name}@acme.example")),
                name,
            };
            of.lock().unwrap().clone().into_iter().map(member).collect()
        };
        Ok(Group::Seen {
            members: people(&self.seen),
            left: people(&self.left),
            some: *self.some.lock().unwrap() || !self.seen.lock().unwrap().is_empty(),
        })
    }
}

/// Whatever else others do for teams: nothing, here.
pub(crate) struct Nothing;

#[async_trait]
impl Upstreams for Upstream {
    async fn sources(&self, _: Option<Timestamp>) -> Result<Vec<Box<dyn MembershipSource>>> {
        match self.unknown.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(vec![Box::new(self.clone())]),
        }
    }

    async fn groups_of(&self, _: &str) -> Result<Option<GroupsOf>> {
        Ok(None)
    }
}

#[async_trait]
impl SecretNames for Nothing {
    async fn names(&self, _: &str) -> Result<Vec<String>> {
        Ok(vec!["stripe/api-key".into()])
    }
}

#[async_trait]
impl Credentials for Nothing {
    fn team_of(&self, _: &Event) -> Option<String> {
        None
    }

    async fn ensure(&self, _: &Caller, _: &str, _: &str) -> Result<Option<String>> {
        Ok(None)
    }

    async fn end(&self, _: &Caller, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Belongings for Nothing {
    async fn remove(&self, _: &Caller, _: &str, _: bool) -> Result<Vec<Left>> {
        Ok(vec![])
    }
}

/// Operators do everything.
pub(crate) struct Operators;

impl Authorizer for Operators {
    fn decide(&self, caller: &Caller, _: Action, _: &Target<'_>) -> Ruling {
        Ruling {
            allowed: caller.admin,
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}
