//! The attributes of an envelope, one after the other, and all that is wrong with them.

use std::collections::BTreeMap;

use kernel::{Problem, cause::controls};
use serde_json::{Map, Value};
use url::Url;

use super::longest;

/// What the platform itself says of every event, and what it says alone.
const OURS: [&str; 6] = ["actor", "entry", "means", "reason", "received", "seq"];
/// Attributes beside those that are known, at the most.
const MOST: usize = 32;
/// The longest text of one.
const LONGEST: usize = 1024;
/// The longest name. CloudEvents asks for no more than 20, and of those that take none longer not to refuse.
const LONGEST_NAME: usize = 40;
/// Links at the most.
const MOST_LINKS: usize = 10;

pub(super) struct Reader<'p> {
    envelope: Map<String, Value>,
    place: &'p str,
    problems: Vec<Problem>,
}

impl<'p> Reader<'p> {
    pub(super) fn new(envelope: Map<String, Value>, place: &'p str) -> Self {
        Self {
            envelope,
            place,
            problems: Vec::new(),
        }
    }

    /// What was read, where nothing was wrong.
    pub(super) fn done<T>(self, read: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(read)
        } else {
            Err(self.problems)
        }
    }

    fn problem(&mut self, name: &str, message: impl Into<String>) {
        let rule = match name {
            "correlation" | "data" | "id" | "outcome" | "source" | "specversion" | "subject"
            | "team" | "time" | "type" => format!("event/{name}"),
            _ => "event/attribute".into(),
        };
        let path = match self.place {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        };
        self.problems.push(Problem::new(&rule, path, message));
    }

    pub(super) fn version(&mut self) {
        let text = self.required("specversion", |_| Ok(()));
        if !text.is_empty() && text != "1.0" {
            self.problem("specversion", "the platform takes CloudEvents 1.0");
        }
    }

    /// The text that must be there; empty where it is not, or is not as it should be.
    pub(super) fn required(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> String {
        let before = self.problems.len();
        let found = self.optional(name, check);
        if found.is_none() && self.problems.len() == before {
            self.problem(name, format!("an event has a `{name}`"));
        }
        found.unwrap_or_default()
    }

    /// The text, where it is there and as it should be. `null` is as if it were not there.
    pub(super) fn optional(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        let good = match self.envelope.remove(name)? {
            Value::Null => return None,
            Value::String(text) => plain(&text).and_then(|()| check(&text)).map(|()| text),
            _ => Err("it is a text".into()),
        };
        good.map_err(|message| self.problem(name, message)).ok()
    }

    /// The data: JSON, and said to be.
    pub(super) fn data(&mut self, deepest: usize) -> Value {
        self.optional("datacontenttype", |text| {
            if is_json(text) {
                Ok(())
            } else {
                Err("data is JSON: `application/json`".into())
            }
        });
        if self
            .envelope
            .remove("data_base64")
            .is_some_and(|data| !data.is_null())
        {
            self.problem("data_base64", "data is JSON, and is sent as `data`");
        }
        let data = self.envelope.remove("data").unwrap_or_default();
        if depth(&data) > deepest {
            self.problem(
                "data",
                format!("it is nested more than {deepest} levels deep"),
            );
        }
        data
    }

    /// All that is left: the extensions.
    pub(super) fn attributes(&mut self) -> BTreeMap<String, Value> {
        if let Some(links) = self.envelope.get("links").cloned()
            && let Err(message) = check_links(&links)
        {
            self.problem("links", message);
        }
        let all: Vec<_> = std::mem::take(&mut self.envelope).into_iter().collect();
        let mut read = BTreeMap::new();
        for (name, value) in all {
            match check(&name, &value) {
                Ok(()) if value.is_null() => {}
                Ok(()) => {
                    read.insert(name, value);
                }
                Err(message) => {
                    let shown: String = name.chars().take(LONGEST_NAME).collect();
                    self.problem(&shown.escape_debug().to_string(), message);
                }
            }
        }
        if read.len() > MOST {
            let message = format!("{} attributes are more than {MOST}", read.len());
            self.problem("", message);
        }
        read
    }
}

/// Whether an extension attribute is one of CloudEvents 1.0, and no other's to say.
fn check(name: &str, value: &Value) -> Result<(), String> {
    let plain_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain_name) {
        return Err(format!(
            "attributes are named by small letters and digits, {LONGEST_NAME} at the most; what else there is to say is said in `data`"
        ));
    }
    if OURS.contains(&name) {
        return Err("the platform says this itself, of every event: leave it out".into());
    }
    match value {
        Value::String(text) => plain(text).and_then(|()| longest(text, LONGEST)),
        Value::Number(number) => {
            let whole = number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok());
            let wrong = || "a number is whole, and has 32 bits; send others as text, or in `data`";
            whole.map(drop).ok_or_else(|| wrong().into())
        }
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Array(_) | Value::Object(_) => {
            Err("an attribute is a text, a number or a boolean; more is said in `data`".into())
        }
    }
}

/// One or several addresses, with blanks between them.
fn check_links(links: &Value) -> Result<(), String> {
    let Some(text) = links.as_str() else {
        // The other rules say so.
        return Ok(());
    };
    let web = |link: &str| {
        Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    let all: Vec<_> = text.split(' ').filter(|link| !link.is_empty()).collect();
    if all.is_empty() || all.len() > MOST_LINKS || !all.iter().all(|link| web(link)) {
        return Err(format!(
            "links are one to {MOST_LINKS} addresses that begin with http:// or https://, with blanks between them"
        ));
    }
    Ok(())
}

/// Whether it says something, and a terminal shows it as it is.
fn plain(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty: say something, or leave it out".into());
    }
    if text.chars().any(controls) {
        return Err("it holds characters that control what is shown".into());
    }
    Ok(())
}

pub(crate) fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
