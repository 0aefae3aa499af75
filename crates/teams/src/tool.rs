//! The port to tools that are kept in step with teams.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel::{Problem, Result, Secret};
use serde::Serialize;
use serde_json::Value;

/// Where a tool is, and by what right it is spoken to. It has no `Debug`.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// What the integration says, in the adapter's own shape.
    pub config: &'a Value,
    /// The credential, where there is one.
    pub credential: Option<&'a Secret>,
    /// Whether what the tool has of the team was made from here, or taken over because somebody said so.
    pub ours: bool,
    /// Whom the tool knows by what account, by subject: as [`Found::accounts`] has said before.
    pub accounts: &'a BTreeMap<String, String>,
}

/// The one thing at a tool that stands for a team, with all that is kept in step in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Where: its address, which no other thing has.
    pub at: String,
    /// What people call it: ``the team `payments` of `acme` ``.
    pub what: String,
    /// Whether the configuration says that it is taken over where it is there already.
    pub adopted: bool,
    /// What to do where two teams have the same.
    pub remedy: &'static str,
}

/// Whether a team's home is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is there, and ours; or the tool has no one thing that stands for a team.
    #[default]
    There,
    /// It is not: the repair makes it.
    Absent,
    /// It is there, and nothing says that it is ours: it was not looked into.
    Foreign,
}

/// What a tool should know of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The team's name.
    pub name: String,
    /// Its group at the source.
    pub group: String,
    /// For people.
    pub description: String,
    /// Who is in it, by name.
    pub members: Vec<WantedMember>,
    /// Whether these are all: where the source cannot list them, nobody is taken out but those who have left.
    pub complete: bool,
    /// Who was in it, and is told to be out of it, where these are not all.
    pub left: Vec<WantedMember>,
    /// The sources that list all of their people who are in it: of these, whoever is not in `members` is out.
    #[serde(skip)]
    pub listed: Vec<String>,
    /// What its secrets are called, for those who look for copies; none where nobody does, or where that
    /// cannot be told.
    #[serde(skip)]
    pub secrets: Option<Vec<String>>,
}

/// Somebody in a team.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedMember {
    /// What people call them: their login, as a rule.
    pub name: String,
    /// Who they are here: `local:ada`.
    pub subject: String,
    /// Their address, where it is known.
    pub email: Option<String>,
    /// The type of tool whose account the name is: `github`, for who logs in by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether they lead the team.
    pub lead: bool,
}

impl Wanted {
    /// Whether nobody else who is in the team is called as `member` is: only then the name alone says who it
    /// is. Two people of two sources may have one.
    pub fn is_only(&self, member: &WantedMember) -> bool {
        let mut called = self.members.iter().filter(|one| one.name == member.name);
        called.all(|one| one.subject == member.subject)
    }

    /// The same, where those whom a tool `knows` by what account are out, too, whose source lists all and not
    /// them.
    #[must_use]
    pub fn without(&self, knows: &BTreeMap<String, String>) -> Self {
        let mut wanted = self.clone();
        if wanted.complete {
            return wanted;
        }
        for subject in knows.keys() {
            let (source, id) = subject.split_once(':').unwrap_or_default();
            let mut known = self.members.iter().chain(&self.left);
            let is_listed = self.listed.iter().any(|listed| listed == source);
            if is_listed && !known.any(|one| one.subject == *subject) {
                wanted.left.push(WantedMember {
                    name: id.to_owned(),
                    subject: subject.clone(),
                    email: None,
                    account: None,
                    lead: false,
                });
            }
        }
        wanted
    }

    /// What people call `member`: with their subject, where the name alone does not say who it is.
    pub fn called(&self, member: &WantedMember) -> String {
        let WantedMember { name, subject, .. } = member;
        if self.is_only(member) {
            format!("`{name}`")
        } else {
            format!("`{name}` (`{subject}`)")
        }
    }

    /// What an integration's configuration says of `member`, by their subject, or by their name where that is
    /// nobody else's.
    pub fn said_of<'m, T>(
        &self,
        map: &'m BTreeMap<String, T>,
        member: &WantedMember,
    ) -> Option<&'m T> {
        let named = || map.get(&member.name).filter(|_| self.is_only(member));
        map.get(&member.subject).or_else(named)
    }
}

/// What is not as it should be, and what mends it. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What: `members/ada`.
    pub what: String,
    /// As it was found; none: it was not there.
    pub found: Option<String>,
    /// As it should be; none: not there.
    pub wanted: Option<String>,
    /// The request that makes it so.
    pub call: Call,
}

/// A request to a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// Where, whole.
    pub url: String,
    /// What is sent.
    pub body: Option<Value>,
}

/// What was found at a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Whether what stands for the team is there.
    pub presence: Presence,
    /// What is to be mended. Where one thing must be there before the next can be looked at, the next
    /// is found the next time.
    pub repairs: Vec<Repair>,
    /// The accounts of those of the team's people who have one there, by subject: remembered, so that who
    /// leaves is found there whatever the configuration says by then.
    pub accounts: BTreeMap<String, String>,
    /// What only people can mend.
    pub obstacles: Vec<String>,
    /// What the team keeps there against the platform's rules; none where that was not looked at.
    pub violations: Option<Vec<String>>,
}

/// Speaks to one sort of tool.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    /// The sort, as integrations name it: `github`.
    fn kind(&self) -> &'static str;

    /// Everything that is wrong with a configuration.
    fn check(&self, config: &Value) -> Vec<Problem>;

    /// What stands for a team of this name, where one thing does.
    fn home(&self, config: &Value, team: &str) -> Result<Option<Home>>;

    /// Whether it looks for copies of the team's secrets.
    fn audits(&self, _config: &Value) -> bool {
        false
    }

    /// Compares what there is with what should be, and changes nothing. `Unavailable` where the tool
    /// could not be asked: that says nothing of what is there.
    async fn look(&self, place: Place<'_>, wanted: &Wanted) -> Result<Found>;

    /// Makes one thing so. Again is the same as once.
    async fn mend(&self, place: Place<'_>, call: &Call) -> Result<()>;
}
