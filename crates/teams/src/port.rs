//! What others do for teams: the sources that know who is in a group, and what draws credentials.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{Caller, Change, Event, Result};
use serde::{Deserialize, Serialize};

/// Somebody in a group.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who: `local:ada`.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// Their address, where it is known: for tools that know people by it. Shown to nobody.
    #[serde(skip)]
    pub email: Option<String>,
}

/// What a source says of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Its members.
    Found(Vec<Member>),
    /// The source cannot list them all.
    Seen {
        /// Those of its members whom it has told of so far.
        members: Vec<Member>,
        /// Those who were in it, and of whom the source has said since that they are not. Of everybody else
        /// nobody knows.
        left: Vec<Member>,
        /// Whether somebody was in it when the source last spoke of them, whether or not it does now.
        some: bool,
    },
    /// It has no such group.
    Missing,
}

/// A group that has a lasting id at its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Never another group's there.
    pub id: String,
    /// What it is called now.
    pub name: String,
}

/// Knows who is in a group.
#[async_trait]
pub trait MembershipSource: Send + Sync + 'static {
    /// Its name, with which its subjects begin: `local`.
    fn name(&self) -> &str;

    /// The type of tool whose accounts its people's names are: `github`; none where they are nobody's.
    fn accounts(&self) -> Option<&'static str> {
        None
    }

    /// The group with the lasting id `id`, where that is known, else the one that is called `group`. None
    /// where its groups have no ids, or it knows of no such group.
    async fn identify(&self, _group: &str, _id: Option<&str>) -> Result<Option<Identified>> {
        Ok(None)
    }

    /// Who is in the group with the lasting id `id`, where that is known, else in the one that is called
    /// `group`. An error where it cannot be asked.
    async fn group(&self, group: &str, id: Option<&str>) -> Result<Group>;

    /// Whether somebody, by subject, was in that group when the source last spoke of them, where it says that when
    /// they log in; none: it has not spoken of them.
    async fn last_said(
        &self,
        _subject: &str,
        _group: &str,
        _id: Option<&str>,
    ) -> Result<Option<bool>> {
        Ok(None)
    }

    /// Those of that group, by subject, to whom the platform has given its rights by now: whoever has come with it,
    /// where the source says who is in a group when they log in, and not at each call.
    async fn let_in(&self, _group: &str, _id: Option<&str>) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }

    /// Has whoever is no longer in that group lose it here, from the next call on, where the source can list
    /// it; how many were taken out. An error where it cannot be asked: that takes out nobody. Where it says
    /// who is in a group at each call, or lists nobody, there is nothing to do.
    async fn end_gone(&self, _caller: &Caller, _group: &str, _id: Option<&str>) -> Result<usize> {
        Ok(0)
    }
}

/// The groups of one of a source's people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupsOf {
    /// The source.
    pub source: String,
    /// Their names.
    pub names: Vec<String>,
    /// The lasting ids of those that have one, by name.
    pub ids: BTreeMap<String, String>,
}

/// The sources that are configured beside the platform's own: they come and go.
#[async_trait]
pub trait Upstreams: Send + Sync + 'static {
    /// Those there are. An answer may be one that was given a moment before, to another question: not where `since`
    /// is said, from before that.
    async fn sources(&self, since: Option<Timestamp>) -> Result<Vec<Box<dyn MembershipSource>>>;

    /// The groups that one of their people is in or has left: of whoever an event tells that a source says
    /// something else of them than before, by the name that the event gives them. None where nothing is
    /// known of them.
    async fn groups_of(&self, person: &str) -> Result<Option<GroupsOf>>;
}

/// The source whose groups the platform itself keeps, and so can change.
#[async_trait]
pub trait LocalGroups: MembershipSource {
    /// Whether there is somebody with `who` as the part of their subject after the source's name.
    async fn knows(&self, who: &str) -> Result<bool>;

    /// The group whose members an event may have changed.
    fn group_of(&self, event: &Event) -> Option<String>;

    /// Makes `group` for `team` with these people of its, where it is not there: each is the part of their
    /// subject after the source's name. Answers whether it made it.
    async fn ensure(
        &self,
        caller: &Caller,
        team: &str,
        group: &str,
        people: &[String],
    ) -> Result<bool>;

    /// Writes into `change` that `caller` takes somebody into `group`, which is made for `team` where it is not
    /// there. `who` is their subject, the part of it after the source, or a name, which is whose it is now.
    /// Answers their subject; none where that changes nothing. Whoever calls has seen that `caller` may.
    async fn add(
        &self,
        change: &mut Change,
        caller: &Caller,
        team: &str,
        group: &str,
        who: &str,
    ) -> Result<Option<String>>;

    /// Writes into `change` that `caller` takes somebody out. Answers their subject; none where they are not in
    /// it. Whoever calls has seen that `caller` may.
    async fn remove(
        &self,
        change: &mut Change,
        caller: &Caller,
        group: &str,
        who: &str,
    ) -> Result<Option<String>>;

    /// Takes `group` away, where it was made for `team`: again is the same as once.
    async fn end(&self, caller: &Caller, team: &str, group: &str) -> Result<()>;
}

/// Draws what deploys to a team's namespaces.
#[async_trait]
pub trait Credentials: Send + Sync + 'static {
    /// The team whose credentials an event may have changed.
    fn team_of(&self, event: &Event) -> Option<String>;

    /// Has `namespace` of `team` have its deploy credential: again is the same as once. Answers what is waited
    /// for; none: its newest key is kept, and good. An error where that could not be asked.
    async fn ensure(&self, caller: &Caller, team: &str, namespace: &str) -> Result<Option<String>>;

    /// Ends all that deploys to `namespace` of `team`, whoever drew it: again is the same as once.
    async fn end(&self, caller: &Caller, team: &str, namespace: &str) -> Result<()>;
}

/// Knows what teams keep secret, by name.
#[async_trait]
pub trait SecretNames: Send + Sync + 'static {
    /// What the secrets of `team` are called. An error where that cannot be told.
    async fn names(&self, team: &str) -> Result<Vec<String>>;
}

/// What of a team is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What, and why.
    pub what: String,
    /// Whether it stays until somebody says otherwise; else it is going.
    pub kept: bool,
}

/// What holds data of a team's, which goes with the team or with the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Where it is.
    pub environment: String,
    /// What it is: `postgres.default#orders.db`.
    pub what: String,
    /// The command that keeps a copy of it, where there is one.
    pub dump: Option<String>,
    /// Whether it stays with a team that is offboarded, until somebody says otherwise.
    pub protected: bool,
}

/// What of one kind people have made in a team beside data, which goes with the team or with the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// As people call them: `service accounts`.
    pub what: &'static str,
    /// What each is called.
    pub names: Vec<String>,
    /// How a copy of it is kept, where nobody has another.
    pub keep: Option<String>,
}

/// A role that what backs a namespace may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether new teams get a namespace of it where nothing else is said.
    pub standard: bool,
}

/// What another domain keeps for teams, and takes away when one is a customer no longer.
#[async_trait]
pub trait Belongings: Send + Sync + 'static {
    /// Whether what else is left may still use them, so that they go last.
    fn go_last(&self) -> bool {
        false
    }

    /// The team whose that is which would back a namespace of this name; none: there is no such thing.
    async fn holder(&self, namespace: &str) -> Result<Option<String>> {
        let _ = namespace;
        Ok(None)
    }

    /// The roles that what backs a namespace may have; none: another domain knows them.
    async fn roles(&self) -> Result<Option<Vec<Role>>> {
        Ok(None)
    }

    /// What of a kind there is of `team`'s, as people call it, `environments`; none: nothing. An error where that
    /// cannot be told.
    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let _ = team;
        Ok(None)
    }

    /// What holds data of `team`'s, of its namespace `namespace` alone where one is named.
    async fn holds(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Held>> {
        let _ = (team, namespace);
        Ok(vec![])
    }

    /// What else of `team`'s people have made, of its namespace `namespace` alone where one is named: not what the
    /// platform makes for every team. An error where that cannot be told.
    async fn made(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Made>> {
        let _ = (team, namespace);
        Ok(vec![])
    }

    /// Takes away what is `team`'s, as far as it may go: what is protected with the rest where that is
    /// said. Says what is left; asked again, it goes on.
    async fn remove(&self, caller: &Caller, team: &str, protected: bool) -> Result<Vec<Left>>;
}
