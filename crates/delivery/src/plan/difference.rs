//! What differs between two documents, path by path, without the values that nobody may see.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{
    definition::as_written,
    score::{self, placeholder::join_path},
};

/// Longer values are cut: a plan is read by people.
const SHOWN_CHARS: usize = 60;

/// Fields whose values are never shown: what programs are started with may carry secrets in clear.
const HIDDEN_FIELDS: [&str; 5] = ["variables", "files", "command", "args", "httpHeaders"];

/// Words in a field's name that say that its value is nobody's business.
const HIDDEN_WORDS: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "private",
    "apikey",
];

/// What differs between two sets of parameters, each with its path below `params`.
pub(super) fn params(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    fields(&mut vec!["params".into()], before, after, &mut found);
    found
}

/// The parameters at the top that differ.
pub(super) fn changed_params<'v>(
    before: &'v Map<String, Value>,
    after: &'v Map<String, Value>,
) -> BTreeSet<&'v str> {
    keys(before, after)
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .collect()
}

/// What differs between two descriptions of a workload.
pub(super) fn workloads(before: &score::Workload, after: &score::Workload) -> Vec<String> {
    let mut found = Vec::new();
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(before), Ok(after)) => values(&mut Vec::new(), &before, &after, &mut found),
        // A workload that was read from JSON can be written as JSON; were it not so, the plan must
        // not say that nothing changes.
        _ if before != after => found.push("changed".into()),
        _ => {}
    }
    found
}

fn keys<'v>(before: &'v Map<String, Value>, after: &'v Map<String, Value>) -> BTreeSet<&'v str> {
    before
        .keys()
        .chain(after.keys())
        .map(String::as_str)
        .collect()
}

fn fields(
    path: &mut Vec<String>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    for name in keys(before, after) {
        path.push(name.to_owned());
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => values(path, before, after, found),
            (None, Some(after)) => appeared(path, after, true, found),
            (Some(before), None) => appeared(path, before, false, found),
            (None, None) => {}
        }
        path.pop();
    }
}

fn values(path: &mut Vec<String>, before: &Value, after: &Value, found: &mut Vec<String>) {
    if before == after {
        return;
    }
    match (before, after) {
        // Below a file or a variable only its name is of interest.
        (Value::Object(before), Value::Object(after)) if !is_whole(path) => {
            fields(path, before, after, found);
        }
        _ => found.push(if is_hidden(path) {
            format!("{}: changed", written(path))
        } else {
            format!("{}: {} -> {}", written(path), shown(before), shown(after))
        }),
    }
}

fn appeared(path: &mut Vec<String>, value: &Value, new: bool, found: &mut Vec<String>) {
    match value {
        Value::Object(inner) if !inner.is_empty() && !is_whole(path) => {
            let none = Map::new();
            if new {
                fields(path, &none, inner, found);
            } else {
                fields(path, inner, &none, found);
            }
        }
        _ => {
            let verb = if new { "added" } else { "removed" };
            found.push(if is_hidden(path) {
                format!("{}: {verb}", written(path))
            } else {
                format!("{}: {verb} {}", written(path), shown(value))
            });
        }
    }
}

/// Whether `path` is one entry of a hidden field: `containers.web.files./etc/app.conf`.
fn is_whole(path: &[String]) -> bool {
    path.len() >= 2 && HIDDEN_FIELDS.contains(&path[path.len() - 2].as_str())
}

fn is_hidden(path: &[String]) -> bool {
    let container_field = path.first().is_some_and(|name| name == "containers");
    path.iter().any(|name| {
        let plain: String = name
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect();
        (container_field && HIDDEN_FIELDS.contains(&name.as_str()))
            || HIDDEN_WORDS.iter().any(|word| plain.contains(word))
    })
}

fn written(path: &[String]) -> String {
    join_path(path.iter().map(String::as_str))
}

fn shown(value: &Value) -> String {
    let text = as_written(&value.to_string());
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
    cut.push_str("...");
    cut
}
