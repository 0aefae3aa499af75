//! What a tool answers: whole, where it is in pages; and what of it counts.

use std::collections::BTreeMap;

use kernel::{Error, Result, outbound::Answer};
use serde_json::Value;
use url::Url;

use super::{
    shape::{Config, Find, Pages},
    words::{Captured, Words, json},
};
use crate::api::{Api, PAGES, next_page, same_origin};

/// All pages of one list together, in bytes, at the most.
const LONGEST: usize = 16 * 1024 * 1024;

/// What is asked for, and what of the answer counts.
pub(super) struct Question<'a> {
    pub(super) get: &'a str,
    pub(super) pages: Option<&'a Pages>,
    pub(super) find: Option<&'a Find>,
    pub(super) capture: &'a BTreeMap<String, String>,
}

impl Question<'_> {
    /// What is there, and what is captured from it; none where it is not there.
    pub(super) async fn ask(
        &self,
        api: &Api<'_>,
        config: &Config,
        words: &Words<'_>,
    ) -> Result<Option<(Value, Captured)>> {
        let url = config.at(self.get, words)?;
        let answer = match self.pages {
            None => api.read::<Value>(&url).await?,
            Some(pages) => pages.whole(api, &url).await?,
        };
        let found = match (answer, self.find) {
            (Some(answer), Some(find)) => find.one_of(answer, api, words)?,
            (answer, _) => answer,
        };
        let Some(found) = found else {
            return Ok(None);
        };
        let captured = captured(self.capture, &found, api)?;
        Ok(captured.map(|captured| (found, captured)))
    }
}

impl Pages {
    /// All pages as one answer; none where there is no first one. What does not end is not known: nothing is
    /// concluded from a part of a list.
    async fn whole(&self, api: &Api<'_>, url: &str) -> Result<Option<Value>> {
        let (mut at, mut whole, mut bytes) = (url.to_owned(), None::<Value>, 0);
        for _ in 0..PAGES {
            let Some((page, answer)) = api.get(&at).await? else {
                return match whole {
                    None => Ok(None),
                    Some(_) => Err(api.unknown("a page of its list is gone")),
                };
            };
            bytes += answer.body.len();
            if bytes > LONGEST {
                return Err(api.unknown(&format!("its list has more than {LONGEST} bytes")));
            }
            let next = self.next(api, &at, &page, &answer)?;
            whole = Some(match whole {
                None => page,
                Some(before) => joined(before, page),
            });
            match next {
                Some(next) => at = next,
                None => return Ok(whole),
            }
        }
        Err(api.unknown(&format!("its list has more than {PAGES} pages")))
    }

    /// Where the next page is. At another server it is not gone to: the credential stays where it belongs.
    fn next(
        &self,
        api: &Api<'_>,
        at: &str,
        page: &Value,
        answer: &Answer,
    ) -> Result<Option<String>> {
        let next = match self {
            Self::Link => next_page(answer),
            Self::Next(pointer) => match page.pointer(pointer) {
                None | Some(Value::Null) => None,
                Some(Value::String(next)) => Some(next.clone()),
                Some(_) => {
                    return Err(api.unknown(&format!(
                        "what is at `{pointer}` of its answer is not where a page is"
                    )));
                }
            },
        };
        let Some(next) = next.filter(|next| !next.is_empty()) else {
            return Ok(None);
        };
        let next = Url::parse(at).and_then(|at| at.join(&next));
        let next = next.map_err(|error| {
            api.unknown("where its next page is is not understood")
                .caused_by(error)
        })?;
        if !same_origin(at, next.as_str()) {
            return Err(api.unknown("its next page is at another server"));
        }
        Ok(Some(next.into()))
    }
}

/// Two pages as one: lists at the same place are joined, of all else the first counts.
fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Array(mut first), Value::Array(second)) => {
            first.extend(second);
            Value::Array(first)
        }
        (Value::Object(mut first), Value::Object(second)) => {
            for (name, value) in second {
                let value = match first.remove(&name) {
                    Some(before) => joined(before, value),
                    None => value,
                };
                first.insert(name, value);
            }
            Value::Object(first)
        }
        (first, _) => first,
    }
}

impl Find {
    /// The item that is meant; none where the list has none. Of several, nobody knows which.
    fn one_of(&self, mut answer: Value, api: &Api<'_>, words: &Words<'_>) -> Result<Option<Value>> {
        let mut known_by = Vec::new();
        for (pointer, text) in &self.known_by {
            known_by.push((pointer, json(text, words)?));
        }
        let Some(Value::Array(items)) = answer.pointer_mut(&self.at).map(Value::take) else {
            return Err(api.unknown(&format!("its answer has no list at `{}`", self.at)));
        };
        let is_meant = |item: &Value| {
            let mut places = known_by.iter();
            places.all(|(pointer, should)| item.pointer(pointer).is_some_and(|is| is == should))
        };
        let mut found = items.into_iter().filter(is_meant);
        match (found.next(), found.next()) {
            (one, None) => Ok(one),
            _ => Err(Error::invalid(format!(
                "several items of the list at `{}` are as `find` says",
                self.at
            ))
            .remedy("say in `find.where` by what the one is known that no other has")),
        }
    }
}

/// What is captured from an answer; none where that is in an item that a list does not have.
pub(super) fn captured(
    capture: &BTreeMap<String, String>,
    answer: &Value,
    api: &Api<'_>,
) -> Result<Option<Captured>> {
    let mut captured = Captured::new();
    for (name, pointer) in capture {
        match answer.pointer(pointer) {
            Some(value) if !value.is_null() => {
                captured.insert(name.clone(), value.clone());
            }
            None if ends_before(answer, pointer) => return Ok(None),
            _ => {
                return Err(api
                    .unknown(&format!(
                        "its answer has nothing at `{pointer}`, from where `{name}` is captured"
                    ))
                    .remedy("look at what the tool answers, and at `capture`"));
            }
        }
    }
    Ok(Some(captured))
}

/// Whether a pointer leads to an item of a list that ends before it.
fn ends_before(answer: &Value, pointer: &str) -> bool {
    let mut pointer = pointer;
    while let Some((before, item)) = pointer.rsplit_once('/') {
        if let Some(found) = answer.pointer(before) {
            return found.is_array() && item.parse::<usize>().is_ok();
        }
        pointer = before;
    }
    false
}
