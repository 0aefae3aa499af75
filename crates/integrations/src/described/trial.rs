//! Trying a description before it is accepted.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Error, Problem, Result};
use serde_json::{Map, Value};
use teams::tool::{Wanted, WantedMember};

use super::{
    people::Listed,
    shape::{Check, Config, Find, Pages, Request},
    words::{Captured, Words, json, path, render, spoken_of},
};
use crate::api::problem;

/// What a text may be: put into JSON as it is, it ends the text that it is put into.
const AWKWARD: &str = "some\"one\\";

/// What is wrong with the checks of a description: each is tried with a team that has nobody, and with people
/// whose names would write what is sent.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let nobody = Wanted {
        name: "example".into(),
        group: AWKWARD.into(),
        description: String::new(),
        members: vec![],
        left: vec![],
        listed: vec![],
        complete: true,
        secrets: None,
    };
    let people = Wanted {
        description: AWKWARD.into(),
        members: vec![someone("1", true), someone("2", false)],
        left: vec![someone("3", false)],
        ..nobody.clone()
    };
    let nothing = Captured::new();
    let words = Words {
        base: &config.url,
        team: &nobody,
        captured: &nothing,
        person: None,
    };
    let (mut problems, mut names) = (Vec::new(), BTreeSet::new());
    for (at, check) in config.checks.iter().enumerate() {
        let failed = [&nobody, &people]
            .into_iter()
            .find_map(|team| tried(check, Words { team, ..words }, &names).err());
        if let Some(error) = failed {
            let mut found = problem(error);
            found.path = format!("config.checks[{at}]");
            problems.push(found);
        }
        names.extend(check.capture.keys().map(String::as_str));
    }
    problems
}

fn someone(of: &str, lead: bool) -> WantedMember {
    WantedMember {
        name: format!("{AWKWARD}{of}"),
        subject: format!("local:{AWKWARD}{of}"),
        email: Some(format!("{AWKWARD}{of}@example.com")),
        account: None,
        lead,
    }
}

fn tried(check: &Check, words: Words<'_>, before: &BTreeSet<&str>) -> Result<()> {
    let scope = Scope {
        words,
        names: before.clone(),
    };
    scope.path(&check.get)?;
    scope.asked(check.pages.as_ref(), check.find.as_ref(), &check.capture)?;
    if let Some(create) = &check.create {
        scope.request(create)?;
    }
    let scope = scope.with(&check.capture);
    for text in check.equals.values() {
        scope.json(text)?;
    }
    if let Some(update) = &check.update {
        scope.request(update)?;
    }
    check.takes_out()?;
    whole(check)?;
    if let (Some(listed), Some(add), Some(remove)) = (&check.members, &check.add, &check.remove) {
        people(&scope, listed, add, remove)?;
    }
    Ok(())
}

/// Whether what belongs together is all there.
fn whole(check: &Check) -> Result<()> {
    let missing = |what: &str, remedy: &str| Err(Error::invalid(what).remedy(remedy));
    if !check.changes() && check.capture.is_empty() {
        return missing(
            "the check changes nothing, and captures nothing",
            "say in `update` what makes it as it should be",
        );
    }
    if !check.equals.is_empty() && check.update.is_none() {
        return missing(
            "`equals` is without `update`",
            "say in `update` what makes it equal",
        );
    }
    match (&check.members, &check.add, &check.remove) {
        (_, None, None) | (Some(_), Some(_), Some(_)) => {}
        (None, ..) => {
            return missing(
                "`add` and `remove` are without `members`",
                "say in `members` where the answer lists people",
            );
        }
        _ => {
            return missing(
                "`add` and `remove` are not both there",
                "say how people are added, and how they are removed",
            );
        }
    }
    let listed = check.members.as_ref();
    let is_each = |one: &Listed| one.lookup.is_some() || !one.capture.is_empty();
    if check.add.is_none() && listed.is_some_and(is_each) {
        return missing(
            "`members` captures what nothing speaks of",
            "say in `add` and `remove` how people are added and removed",
        );
    }
    Ok(())
}

fn people(scope: &Scope<'_>, listed: &Listed, add: &Request, remove: &Request) -> Result<()> {
    let person = someone("4", false);
    let scope = Scope {
        words: Words {
            person: Some(&person),
            ..scope.words
        },
        names: scope.names.clone(),
    };
    sound(&listed.capture)?;
    scope.with(&listed.capture).request(remove)?;
    let Some(lookup) = &listed.lookup else {
        return scope.request(add);
    };
    scope.path(&lookup.get)?;
    let question = lookup.question();
    scope.asked(question.pages, question.find, &lookup.capture)?;
    scope.with(&lookup.capture).request(add)
}

/// What templates may speak of at a place.
struct Scope<'a> {
    words: Words<'a>,
    /// What is captured before it.
    names: BTreeSet<&'a str>,
}

impl<'a> Scope<'a> {
    fn with<'b>(&self, capture: &'b BTreeMap<String, String>) -> Scope<'b>
    where
        'a: 'b,
    {
        let mut names: BTreeSet<&'b str> = self.names.iter().copied().collect();
        names.extend(capture.keys().map(String::as_str));
        Scope {
            words: self.words,
            names,
        }
    }

    fn path(&self, text: &str) -> Result<()> {
        self.template(text, |words| path(text, words).map(drop))
    }

    fn json(&self, text: &str) -> Result<()> {
        self.template(text, |words| json(text, words).map(drop))
    }

    fn request(&self, request: &Request) -> Result<()> {
        self.path(&request.path)?;
        request.body.iter().try_for_each(|body| self.json(body))
    }

    fn asked(
        &self,
        pages: Option<&Pages>,
        find: Option<&Find>,
        capture: &BTreeMap<String, String>,
    ) -> Result<()> {
        if let Some(Pages::Next(at)) = pages {
            pointer(at)?;
        }
        if let Some(find) = find {
            pointer(&find.at)?;
            if find.known_by.is_empty() {
                return Err(Error::invalid("`find.where` says nothing")
                    .remedy("say by what the one is known that is meant"));
            }
            find.known_by.keys().try_for_each(|at| pointer(at))?;
            find.known_by
                .values()
                .try_for_each(|text| self.json(text))?;
        }
        sound(capture)
    }

    /// Tries a template. What answers will give is not known yet: it is tried with awkward texts. Where such
    /// a template does not render, it may be for lists or numbers: only what it speaks of is looked at.
    fn template(&self, text: &str, give: impl FnOnce(&Words<'_>) -> Result<()>) -> Result<()> {
        let mut captured = Captured::new();
        for spoken in spoken_of(text)? {
            let mut parts = spoken.split('.');
            if parts.next() != Some("captured") {
                continue;
            }
            let name = parts.next().unwrap_or_default();
            if !self.names.contains(name) {
                return Err(Error::invalid(format!(
                    "a template speaks of `{spoken}`, which nothing before it captures"
                ))
                .remedy("have `capture` of a check before it name where that is"));
            }
            let mut value = captured.entry(name.to_owned()).or_default();
            for part in parts {
                if !value.is_object() {
                    *value = Value::Object(Map::new());
                }
                value = &mut value[part];
            }
            if !value.is_object() {
                *value = AWKWARD.into();
            }
        }
        let words = Words {
            captured: &captured,
            ..self.words
        };
        if !captured.is_empty() && render(text, &words).is_err() {
            return Ok(());
        }
        give(&words)
    }
}

/// Whether captures can be spoken of, and lead somewhere.
fn sound(capture: &BTreeMap<String, String>) -> Result<()> {
    for (name, at) in capture {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins_well || !name.chars().all(is_word) {
            return Err(Error::invalid(format!(
                "`{name}` is no name that a template could speak of"
            ))
            .remedy("use letters, digits and underscores, and begin with no digit"));
        }
        pointer(at)?;
    }
    Ok(())
}

fn pointer(at: &str) -> Result<()> {
    if at.is_empty() || at.starts_with('/') {
        return Ok(());
    }
    Err(
        Error::invalid(format!("`{at}` is no JSON pointer (RFC 6901)"))
            .remedy("begin it with `/`: `/data/id`"),
    )
}
