//! The shape of a description.

use std::collections::{BTreeMap, HashSet};

use kernel::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use teams::tool::Call;

use super::{
    answer::Question,
    people::Listed,
    words::{Words, json, path, spoken_of},
};

/// All texts are templates (Jinja) over `team`, `base` and `captured`; those of headers over `credential`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    /// Where the API is.
    pub(super) url: String,
    /// Headers of every request.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// What is looked at, in this order.
    pub(super) checks: Vec<Check>,
}

/// One thing that is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Check {
    /// What people call it: `folder`.
    pub(super) name: String,
    /// The path that is asked for. 404: it is not there.
    pub(super) get: String,
    /// How the answer goes on, where it is a list in pages.
    #[serde(default)]
    pub(super) pages: Option<Pages>,
    /// Which item of a list it is, where the answer lists several: all below looks into that one.
    #[serde(default)]
    pub(super) find: Option<Find>,
    /// What later templates may speak of, by JSON pointer (RFC 6901) into the answer.
    #[serde(default)]
    pub(super) capture: BTreeMap<String, String>,
    /// What is compared, by JSON pointer into the answer: a template that gives JSON.
    #[serde(default)]
    pub(super) equals: BTreeMap<String, String>,
    /// Pointers to lists whose order says nothing.
    #[serde(default)]
    pub(super) unordered: Vec<String>,
    /// Where the answer lists people, where it does: of a list that is not whole here, who is there and has
    /// not left stays.
    #[serde(default)]
    pub(super) members: Option<Listed>,
    /// What makes it, where it is not there.
    #[serde(default)]
    pub(super) create: Option<Request>,
    /// What makes it so, where it is otherwise.
    #[serde(default)]
    pub(super) update: Option<Request>,
    /// What adds one person, sent once for each who is not among `members` and should be.
    #[serde(default)]
    pub(super) add: Option<Request>,
    /// What removes one person, sent once for each who is among `members` and should not be.
    #[serde(default)]
    pub(super) remove: Option<Request>,
}

/// How a list in pages goes on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Pages {
    /// By the header `Link`, with `rel="next"` (RFC 8288).
    Link,
    /// By what is in the answer, by JSON pointer: an address or a path; nothing, or null, on the last page.
    Next(String),
}

/// One item of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Find {
    /// The list, by JSON pointer into the answer.
    pub(super) at: String,
    /// What it is known by, by JSON pointer into an item: a template that gives JSON.
    #[serde(rename = "where")]
    pub(super) known_by: BTreeMap<String, String>,
}

/// What is sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// A template that gives JSON.
    #[serde(default)]
    pub(super) body: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn word(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Config {
    /// A whole address: a path that was rendered leads to the API's own server, and nowhere else.
    pub(super) fn at(&self, text: &str, words: &Words<'_>) -> Result<String> {
        let base = self.url.trim_end_matches('/');
        Ok(format!("{base}{}", path(text, words)?))
    }

    pub(super) fn call(&self, request: &Request, words: &Words<'_>) -> Result<Call> {
        let body = request.body.as_deref();
        Ok(Call {
            method: request.method.word(),
            url: self.at(&request.path, words)?,
            body: body.map(|body| json(body, words)).transpose()?,
        })
    }
}

impl Check {
    pub(super) fn question(&self) -> Question<'_> {
        Question {
            get: &self.get,
            pages: self.pages.as_ref(),
            find: self.find.as_ref(),
            capture: &self.capture,
        }
    }

    /// What makes it, where it is not there. What a check captures is not known before it is there: by that
    /// nothing is made.
    pub(super) fn maker(&self) -> Option<&Request> {
        let update = self.update.as_ref();
        let makes = || update.filter(|_| self.capture.is_empty());
        self.create.as_ref().or_else(makes)
    }

    /// Whether it changes anything: only then somebody could be in its thing by it.
    pub(super) fn changes(&self) -> bool {
        self.create.is_some() || self.update.is_some() || self.add.is_some()
    }

    /// Whether what it sends would take out whoever is not in the list: it sends who is in the team, says not
    /// where the answer lists them, and does not ask whether these are all.
    pub(super) fn takes_out(&self) -> Result<bool> {
        let Some(update) = self.update.as_ref().filter(|_| self.members.is_none()) else {
            return Ok(false);
        };
        let sent = [&update.path].into_iter().chain(&update.body);
        let mut spoken = HashSet::new();
        for text in self.equals.values().chain(sent) {
            spoken.extend(spoken_of(text)?);
        }
        let lists = |name: &String| name == "team" || name.starts_with("team.members");
        Ok(spoken.iter().any(lists) && !spoken.contains("team.complete"))
    }

    /// What differs: the first pointer at which it does, as it is and as it should be.
    pub(super) fn difference(
        &self,
        is: &Value,
        words: &Words<'_>,
    ) -> Result<Option<(String, Value, Value)>> {
        for (pointer, text) in &self.equals {
            let should = json(text, words)?;
            let is = is.pointer(pointer).cloned().unwrap_or(Value::Null);
            let same = if self.unordered.contains(pointer) {
                sorted(&is) == sorted(&should)
            } else {
                is == should
            };
            if !same {
                return Ok(Some((pointer.clone(), is, should)));
            }
        }
        Ok(None)
    }

    /// An error, with what was looked at.
    pub(super) fn named(&self, mut error: Error) -> Error {
        error.message = format!("`{}`: {}", self.name, error.message);
        error
    }
}

/// A list in an order of its own.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items = items.clone();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}
