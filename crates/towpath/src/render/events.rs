//! Events, one line each.

use kernel::{Caller, Event, Outcome};
use serde_json::Value;

use super::quantity;

/// `2025-01-01 12:00:00  + deployment.succeeded  Deployment/dev/d-1  words  by whom (means) because words`
pub(crate) fn line(event: &Event) -> String {
    let mark = match event.outcome {
        Some(Outcome::Pass) => "+",
        Some(Outcome::Fail) => "!",
        None => " ",
    };
    let parts = [
        quantity::local(event.time),
        format!("{mark} {:<30} {}", short(&event.kind), event.subject),
        said(event),
        cause(event),
    ];
    let said = parts.iter().filter(|part| !part.is_empty());
    said.map(|part| part.trim_end())
        .collect::<Vec<_>>()
        .join("  ")
}

/// What the data says. Of an event from outside one line, after its source: none of its lines may look like
/// another event.
fn said(event: &Event) -> String {
    if !event.is_from_outside() {
        return words(event);
    }
    let words = words(event);
    let line = words.lines().next().unwrap_or_default();
    format!("from {}  {line}", event.source)
        .trim_end()
        .to_owned()
}

/// Who caused it, by which means and why: `by local:ada (login:...) because words`. The platform's own parts
/// need no means.
fn cause(event: &Event) -> String {
    let mut said = format!("by {}", event.actor);
    let means = event.means.as_ref();
    if let Some(means) = means.filter(|_| !Caller::is_system(&event.actor)) {
        said.push_str(&format!(" ({means})"));
    }
    if let Some(reason) = &event.reason {
        said.push_str(&format!(" because {reason}"));
    }
    said
}

/// The type without what all of ours begin with.
pub(crate) fn short(kind: &str) -> &str {
    kind.strip_prefix("dev.towpath.").unwrap_or(kind)
}

/// Whether the event only says that a resource was written: the store says so of every write, and
/// the domain's own events say what it meant.
pub(crate) fn is_bookkeeping(event: &Event) -> bool {
    event.kind.starts_with("dev.towpath.resource.")
}

/// What the event's data says in words.
pub(crate) fn words(event: &Event) -> String {
    let data = &event.data;
    let text = |name: &str| data.get(name).and_then(|value| value.as_str());
    if let Some(failure) = data.get("failure") {
        let part = |name: &str| {
            failure
                .get(name)
                .and_then(|v| v.as_str())
                .unwrap_or_default()
        };
        return format!("{}: {}", part("subject"), part("message"));
    }
    if let Some(words) = refusal(event) {
        return words;
    }
    if let Some(words) = text("message")
        .or_else(|| text("summary"))
        .or_else(|| text("reason"))
    {
        return words.to_owned();
    }
    match data.get("release").and_then(serde_json::Value::as_u64) {
        Some(release) => format!("release {release}"),
        None => String::new(),
    }
}

/// What was refused, and why: by the rules about who may do what, or by policy over a deployment.
fn refusal(event: &Event) -> Option<String> {
    let messages = |list: &Value| {
        let items = list.as_array().into_iter().flatten();
        let all: Vec<&str> = items.filter_map(|item| item["message"].as_str()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    };
    let data = &event.data;
    match short(&event.kind) {
        "authorization.refused" => {
            let action = data["action"].as_str()?;
            let why = messages(&data["reasons"]);
            // The same refusal again is told once, with how often it was.
            let times = data["count"].as_u64().filter(|count| *count > 1);
            let times = times.map_or_else(String::new, |count| format!(" ({count} times)"));
            let why = why.unwrap_or_else(|| "no rule allows it".into());
            Some(format!("{action}: {why}{times}"))
        }
        "deployment.refused" => messages(&data["decision"]["denials"]),
        _ => None,
    }
}
