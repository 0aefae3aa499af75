//! Adding people, and removing people, one at a time.

use std::collections::BTreeMap;

use kernel::{Error, ErrorKind, Result};
use serde_json::Value;
use teams::tool::{Call, Repair, Wanted, WantedMember};

use super::Look;
use crate::described::{
    answer::captured,
    people::{By, Listed, There},
    shape::{Check, Request},
    words::{Captured, Words},
};

/// People of one check that one look adds or removes at the most: the next look goes on.
const PEOPLE: usize = 200;
/// People of one check whom one look asks about at the most. More than it adds: of those whom the tool does not know,
/// it asks each time.
const ASKED: usize = 1000;
/// The same where somebody is to be removed: that does not wait for long.
const ASKED_BESIDE: usize = 50;

/// People who are added and removed one at a time.
pub(super) struct Each<'c> {
    pub(super) check: &'c Check,
    pub(super) listed: &'c Listed,
    /// What adds one person.
    pub(super) add: &'c Request,
    /// What removes one person.
    pub(super) remove: &'c Request,
    /// The team as the check should have it.
    pub(super) team: &'c Wanted,
}

impl Look<'_> {
    /// Who is to be removed, and who is to be added: one request each.
    pub(super) async fn people(&mut self, each: &Each<'_>, is: &Value) -> Result<()> {
        let (check, listed) = (each.check, each.listed);
        let there = listed.there(is);
        let list = is.pointer(&listed.at).and_then(Value::as_array);
        let nameless = list.map_or(0, Vec::len) - there.len();
        if nameless > 0 {
            self.found.obstacles.push(format!(
                "`{}` lists {nameless} of whom nothing is at `{}`, and who stay: look whether that is where \
                 the tool says who they are",
                check.name, listed.item
            ));
        }
        let should: BTreeMap<String, &WantedMember> = each
            .team
            .members
            .iter()
            .filter_map(|member| Some((listed.by.of(member)?, member)))
            .collect();
        let there: BTreeMap<&str, &There<'_>> =
            there.iter().map(|one| (one.known.as_str(), one)).collect();
        let strangers: Vec<&There<'_>> = there
            .iter()
            .filter(|(known, _)| !should.contains_key(**known))
            .map(|(_, one)| *one)
            .collect();
        let missing: Vec<(&str, &WantedMember)> = should
            .iter()
            .filter(|(known, _)| !there.contains_key(known.as_str()))
            .map(|(known, member)| (known.as_str(), *member))
            .collect();
        let removed = strangers.len().min(PEOPLE);
        self.removals(each, &strangers[..removed]);
        let seen = self.additions(each, &missing, PEOPLE - removed).await?;
        let more = strangers.len() - removed + missing.len() - seen;
        if more > 0 {
            self.found.obstacles.push(format!(
                "`{}`: one look adds or removes {PEOPLE} people, and {more} more wait for the next",
                check.name
            ));
        }
        Ok(())
    }

    fn removals(&mut self, each: &Each<'_>, strangers: &[&There<'_>]) {
        for &one in strangers {
            let person = each.listed.member(one);
            let own = captured(&each.listed.capture, one.item, &self.api);
            let call = own.and_then(|own| {
                let own = own.unwrap_or_default();
                self.about(each.remove, each.team, &person, own)
            });
            let what = format!("{}/{}", each.check.name, one.known);
            match call {
                Ok(call) => self.found.repairs.push(Repair {
                    what,
                    found: Some("member".into()),
                    wanted: None,
                    call,
                }),
                Err(error) => self.left(&what, &error),
            }
        }
    }

    /// Adds as many as there is `room` for; says how many of those who are missing were seen to.
    async fn additions(
        &mut self,
        each: &Each<'_>,
        missing: &[(&str, &WantedMember)],
        room: usize,
    ) -> Result<usize> {
        let (listed, team) = (each.listed, each.team);
        let asked = match &listed.lookup {
            None => missing.len(),
            Some(_) if room < PEOPLE => ASKED_BESIDE,
            Some(_) => ASKED,
        };
        let (mut seen, mut added) = (0, 0);
        for &(known, member) in missing.iter().take(asked) {
            // Whoever cannot be added takes nobody's place.
            if added == room {
                break;
            }
            seen += 1;
            let mut person = member.clone();
            if listed.by == By::Email {
                person.email = Some(known.to_owned());
            }
            let what = format!("{}/{known}", each.check.name);
            let own = match self.own(listed, team, &person).await {
                Ok(Some(own)) => own,
                Ok(None) => {
                    self.found.obstacles.push(format!(
                        "{} is not known there as `{known}`: have them invited, or have the tool know them so",
                        team.called(member)
                    ));
                    continue;
                }
                // Nobody else would be told of, either.
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    if self.found.repairs.is_empty() {
                        return Err(error);
                    }
                    self.left(&what, &error);
                    break;
                }
                Err(error) => {
                    self.left(&what, &error);
                    continue;
                }
            };
            match self.about(each.add, team, &person, own) {
                Ok(call) => {
                    added += 1;
                    self.found.repairs.push(Repair {
                        what,
                        found: None,
                        wanted: Some("member".into()),
                        call,
                    });
                }
                Err(error) => self.left(&what, &error),
            }
        }
        Ok(seen)
    }

    /// What the tool says of somebody who is to be added; none where it does not know them.
    async fn own(
        &self,
        listed: &Listed,
        team: &Wanted,
        person: &WantedMember,
    ) -> Result<Option<Captured>> {
        let Some(lookup) = &listed.lookup else {
            return Ok(Some(Captured::new()));
        };
        let words = Words {
            base: &self.config.url,
            team,
            captured: &self.captured,
            person: Some(person),
        };
        let answer = lookup
            .question()
            .ask(&self.api, self.config, &words)
            .await?;
        Ok(answer.map(|(_, captured)| captured))
    }

    /// A request about one person, of whom `own` was captured.
    fn about(
        &self,
        request: &Request,
        team: &Wanted,
        person: &WantedMember,
        own: Captured,
    ) -> Result<Call> {
        let mut captured = self.captured.clone();
        captured.extend(own);
        let words = Words {
            base: &self.config.url,
            team,
            captured: &captured,
            person: Some(person),
        };
        self.config.call(request, &words)
    }

    /// That somebody is left as they are: what is wrong with one person holds up no other.
    fn left(&mut self, what: &str, error: &Error) {
        let obstacle = format!("`{what}` is left as it is: {}", error.message);
        self.found.obstacles.push(obstacle);
    }
}
