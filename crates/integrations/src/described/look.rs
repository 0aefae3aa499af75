//! One look at a tool: check by check, what is there, and what would make it what it should be.

mod each;

use std::{borrow::Cow, collections::BTreeMap};

use kernel::Result;
use serde_json::Value;
use teams::tool::{Found, Presence, Repair, Wanted};

use self::each::Each;
use super::{
    shape::{Check, Config},
    words::{Captured, Words},
};
use crate::api::Api;

/// One look at a tool, for one team.
pub(super) struct Look<'a> {
    api: Api<'a>,
    config: &'a Config,
    wanted: &'a Wanted,
    /// Whom the tool knows by what, by subject.
    known: &'a BTreeMap<String, String>,
    captured: Captured,
    found: Found,
    /// Whether anything is there that the description changes: people may be in it.
    is_begun: bool,
}

impl<'a> Look<'a> {
    pub(super) fn new(
        api: Api<'a>,
        config: &'a Config,
        wanted: &'a Wanted,
        known: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            api,
            config,
            wanted,
            known,
            captured: Captured::new(),
            found: Found::default(),
            is_begun: false,
        }
    }

    /// All checks in their order, up to one whose thing is not there: what comes next may be in it.
    pub(super) async fn whole(mut self) -> Result<Found> {
        let config = self.config;
        for (at, check) in config.checks.iter().enumerate() {
            let is_there = self.check(check).await;
            if !is_there.map_err(|error| check.named(error))? {
                if config.checks[at..].iter().any(|one| one.members.is_some()) {
                    // Who is in what was not looked at stays remembered.
                    for (subject, account) in self.known {
                        let accounts = self.found.accounts.entry(subject.clone());
                        accounts.or_insert_with(|| account.clone());
                    }
                }
                break;
            }
        }
        Ok(self.found)
    }

    /// Says whether it is there.
    async fn check(&mut self, check: &Check) -> Result<bool> {
        let config = self.config;
        let words = Words {
            base: &config.url,
            team: self.wanted,
            captured: &self.captured,
            person: None,
        };
        let answer = check.question().ask(&self.api, config, &words).await?;
        let team = self.team(check, answer.as_ref().map(|(is, _)| is))?;
        let Some((is, captured)) = answer else {
            self.absent(check, &team)?;
            return Ok(false);
        };
        self.is_begun |= check.changes();
        self.captured.extend(captured);
        self.compare(check, &is, &team)?;
        if let (Some(listed), Some(add), Some(remove)) = (&check.members, &check.add, &check.remove)
        {
            let each = Each {
                check,
                listed,
                add,
                remove,
                team: &team,
            };
            self.people(&each, &is).await?;
        }
        Ok(true)
    }

    /// The team as this check should have it.
    fn team(&mut self, check: &Check, is: Option<&Value>) -> Result<Cow<'a, Wanted>> {
        let wanted = self.wanted;
        let Some(listed) = &check.members else {
            return Ok(Cow::Borrowed(wanted));
        };
        if is.is_some_and(|is| !listed.is_told_by(is)) {
            return Err(self
                .api
                .unknown(&format!("its answer has no list at `{}`", listed.at))
                .remedy(
                    "look at what the tool answers, and at `members.at`; where it leaves out a list that is empty, \
                     say `\"optional\": true` beside it",
                ));
        }
        let (team, obstacles) = listed.merge(is, wanted, self.known);
        self.found.obstacles.extend(obstacles);
        let accounts = listed.accounts(is, wanted, self.known);
        self.found.accounts.extend(accounts);
        Ok(Cow::Owned(team))
    }

    /// What makes it.
    fn absent(&mut self, check: &Check, team: &Wanted) -> Result<()> {
        if !self.is_begun {
            // For a team that leaves nothing is made, and nobody is in what is not there.
            self.found.presence = Presence::Absent;
        }
        let Some(request) = check.maker() else {
            self.found.obstacles.push(format!(
                "`{}` is not there, and the description does not make it: make it at the tool, or say in \
                 `create` how",
                check.name
            ));
            return Ok(());
        };
        let words = Words {
            base: &self.config.url,
            team,
            captured: &self.captured,
            person: None,
        };
        self.found.repairs.push(Repair {
            what: check.name.clone(),
            found: None,
            wanted: Some("present".into()),
            call: self.config.call(request, &words)?,
        });
        Ok(())
    }

    /// What is otherwise than it should be.
    fn compare(&mut self, check: &Check, is: &Value, team: &Wanted) -> Result<()> {
        let Some(update) = &check.update else {
            return Ok(());
        };
        let words = Words {
            base: &self.config.url,
            team,
            captured: &self.captured,
            person: None,
        };
        let Some((pointer, is, should)) = check.difference(is, &words)? else {
            return Ok(());
        };
        if !self.wanted.complete && check.takes_out()? {
            self.found.obstacles.push(format!(
                "`{}` is not as it should be, and is left so: the team's source cannot list its members, and \
                 whoever is not logged in would be taken out. Say in `members` of the check where the answer \
                 lists them",
                check.name
            ));
            return Ok(());
        }
        self.found.repairs.push(Repair {
            what: format!("{}{pointer}", check.name),
            found: Some(is.to_string()),
            wanted: Some(should.to_string()),
            call: self.config.call(update, &words)?,
        });
        Ok(())
    }
}
