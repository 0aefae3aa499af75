//! Whom an answer lists, and whom it should.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use teams::tool::{Wanted, WantedMember};

use super::{
    answer::Question,
    shape::{Find, Pages},
};

/// Where an answer lists people.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Listed {
    /// The list, by JSON pointer into the answer.
    pub(super) at: String,
    /// Whether the tool leaves the list out where it is empty. Else an answer without it is not understood:
    /// the list may be elsewhere, with everybody in it.
    #[serde(default)]
    optional: bool,
    /// What stands for somebody in an item of it, by JSON pointer into that; the item itself where nothing is
    /// said.
    #[serde(default)]
    pub(super) item: String,
    /// Which of their names that is.
    #[serde(default)]
    pub(super) by: By,
    /// What says in an item that they lead, by JSON pointer, where something does.
    #[serde(default)]
    lead: Option<String>,
    /// What `remove` may speak of, by JSON pointer into the item of whom it removes.
    #[serde(default)]
    pub(super) capture: BTreeMap<String, String>,
    /// What is asked about somebody before they are added, where the tool calls them by an id of its own.
    #[serde(default)]
    pub(super) lookup: Option<Lookup>,
}

/// What is asked about one person.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Lookup {
    /// The path that is asked for. 404: the tool does not know them.
    pub(super) get: String,
    /// How the answer goes on, where it is a list in pages.
    #[serde(default)]
    pages: Option<Pages>,
    /// Which item of a list they are, where the answer lists several.
    #[serde(default)]
    pub(super) find: Option<Find>,
    /// What `add` may speak of, by JSON pointer into the answer.
    pub(super) capture: BTreeMap<String, String>,
}

/// How a tool knows people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    #[default]
    Name,
    Email,
    Subject,
}

impl By {
    pub(super) fn of(self, member: &WantedMember) -> Option<String> {
        match self {
            Self::Name => Some(member.name.clone()),
            Self::Email => member.email.as_ref().map(|email| email.to_lowercase()),
            Self::Subject => Some(member.subject.clone()),
        }
    }
}

impl Lookup {
    pub(super) fn question(&self) -> Question<'_> {
        Question {
            get: &self.get,
            pages: self.pages.as_ref(),
            find: self.find.as_ref(),
            capture: &self.capture,
        }
    }
}

/// Somebody whom an answer lists.
pub(super) struct There<'v> {
    /// By what they are known, as [`By::of`] says it.
    pub(super) known: String,
    /// The same, as the tool writes it.
    text: &'v str,
    pub(super) item: &'v Value,
}

impl Listed {
    /// Whether an answer says who is there.
    pub(super) fn is_told_by(&self, is: &Value) -> bool {
        match is.pointer(&self.at) {
            None | Some(Value::Null) => self.optional,
            Some(list) => list.is_array(),
        }
    }

    /// By what the tool knows somebody: an address that is told no longer is still theirs.
    fn known_as(&self, member: &WantedMember, known: &BTreeMap<String, String>) -> Option<String> {
        // What is remembered may be a name, where the description knew people by that.
        let is_address = |known: &&String| known.contains('@');
        let before = || known.get(&member.subject).filter(is_address).cloned();
        self.by.of(member).or_else(before)
    }

    /// By what the tool knows the team's people, by subject; and whoever has left, until they are out.
    pub(super) fn accounts(
        &self,
        is: Option<&Value>,
        wanted: &Wanted,
        known: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let there = is.map(|is| self.there(is)).unwrap_or_default();
        let there: BTreeSet<String> = there.into_iter().map(|one| one.known).collect();
        let gone = gone(wanted, known).filter(|(_, account)| there.contains(*account));
        let gone = gone.map(|(subject, account)| (subject.clone(), account.clone()));
        let members = wanted
            .members
            .iter()
            .filter_map(|member| Some((member.subject.clone(), self.known_as(member, known)?)));
        gone.chain(members).collect()
    }

    /// Who is listed, as far as an item says by what they are known.
    pub(super) fn there<'v>(&self, is: &'v Value) -> Vec<There<'v>> {
        let items = is.pointer(&self.at).and_then(Value::as_array);
        let mut there = Vec::new();
        for item in items.into_iter().flatten() {
            let Some(text) = item.pointer(&self.item).and_then(Value::as_str) else {
                continue;
            };
            let known = match self.by {
                By::Email => text.to_lowercase(),
                By::Name | By::Subject => text.to_owned(),
            };
            there.push(There { known, text, item });
        }
        there
    }

    /// Somebody of whom nothing is known but what the answer says.
    pub(super) fn member(&self, one: &There<'_>) -> WantedMember {
        let lead = self.lead.as_ref().and_then(|at| one.item.pointer(at));
        WantedMember {
            name: one.text.to_owned(),
            subject: one.text.to_owned(),
            email: (self.by == By::Email).then(|| one.text.to_owned()),
            account: None,
            lead: lead.and_then(Value::as_bool).unwrap_or_default(),
        }
    }

    /// The team as the tool should have it: of those who are there and of whom nobody knows whether they are
    /// in it, all stay. It is not complete where one of the team is not known as the tool knows people. Beside
    /// it whom the tool cannot be told of.
    pub(super) fn merge(
        &self,
        is: Option<&Value>,
        wanted: &Wanted,
        known: &BTreeMap<String, String>,
    ) -> (Wanted, Vec<String>) {
        let (mut team, mut obstacles) = (wanted.clone(), Vec::new());
        let mut taken = BTreeSet::new();
        team.members.retain_mut(|member| match self.known_as(member, known) {
            Some(name) if taken.insert(name.clone()) => {
                if self.by == By::Email && member.email.is_none() {
                    member.email = Some(name);
                }
                true
            }
            Some(name) => {
                obstacles.push(format!(
                    "two people are known as `{name}` (`{}`): know people otherwise, by `members.by`",
                    member.subject
                ));
                false
            }
            None => {
                team.complete = false;
                obstacles.push(format!(
                    "{} has no address that is known: have their source tell it",
                    wanted.called(member)
                ));
                false
            }
        });
        if team.complete {
            return (team, obstacles);
        }
        let mut left: BTreeSet<String> = wanted
            .left
            .iter()
            .flat_map(|member| [self.by.of(member), known.get(&member.subject).cloned()])
            .flatten()
            .collect();
        if wanted.complete {
            // Somebody who is there may be who has no address: who has left is only who was known.
            obstacles.push(
                "until all of the team have an address that is known, only those are removed of whom it is known \
                 that they have left"
                    .into(),
            );
            left.extend(gone(wanted, known).map(|(_, account)| account.clone()));
        }
        let there = is.map(|is| self.there(is));
        for one in there.into_iter().flatten() {
            let is_out = left.contains(&one.known) && !taken.contains(&one.known);
            if is_out || !taken.insert(one.known.clone()) {
                continue;
            }
            team.members.push(self.member(&one));
        }
        team.members.sort();
        (team, obstacles)
    }
}

/// Who was known at the tool, and is not in the team: by subject, as the tool knows them.
fn gone<'k>(
    wanted: &Wanted,
    known: &'k BTreeMap<String, String>,
) -> impl Iterator<Item = (&'k String, &'k String)> {
    let members = wanted.members.iter();
    let members: BTreeSet<String> = members.map(|member| member.subject.clone()).collect();
    let known = known.iter();
    known.filter(move |(subject, _)| !members.contains(*subject))
}
