//! What is said to the program and what it answers.

use std::{collections::BTreeMap, path::Path};

use delivery::provisioner::{ProvisionError, Request};
use kernel::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What the program is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Provision,
    Retire,
    Remove,
    Presence,
}

/// What it says of whether the instance is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said {
    Present,
    Absent,
    Unknown,
}

/// What it answers; which fields count depends on the action.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) outputs: Map<String, Value>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) state: Value,
    pub(super) summary: String,
    pub(super) presence: Option<Said>,
}

/// The document on the program's stdin.
pub(super) fn question(action: Action, request: &Request) -> String {
    let credential = request.credential("command");
    json!({
        "protocol": "towpath.dev/v1",
        "action": action,
        "request": {
            "platform": request.platform,
            "uid": request.uid,
            "uniqueName": request.unique_name(63, '-'),
            "environment": request.environment,
            "role": request.role,
            "team": request.team,
            "workload": request.workload,
            "type": request.resource_type,
            "class": request.class,
            "id": request.id,
            "params": request.params.get("params").cloned().unwrap_or_else(|| json!({})),
            "state": request.state,
            "rotation": request.rotation,
            "credential": credential.expose(),
            "machineHost": request.machine_host,
        }
    })
    .to_string()
}

/// What may not be seen in what the program writes to stderr, and what stands there instead: its
/// credentials, and texts of its parameters, which may be another resource's secrets.
pub(super) fn hidden(request: &Request) -> Vec<(Secret, String)> {
    // Shorter texts are words; to hide them would hide what the program says.
    const SHORTEST: usize = 6;
    let mut hidden: Vec<_> = (1..=request.rotation)
        .map(|rotation| {
            (
                Secret::from(request.credential_of("command", rotation)),
                "[secret]".to_owned(),
            )
        })
        .collect();
    if let Some(params) = request.params.get("params") {
        collect(params, "params", &mut hidden);
    }
    hidden.retain(|(secret, _)| secret.expose().len() >= SHORTEST);
    // The longest first: one may hold another.
    hidden.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.expose().len()));
    hidden
}

fn collect(value: &Value, path: &str, into: &mut Vec<(Secret, String)>) {
    match value {
        Value::String(text) => into.push((Secret::from(text.as_str()), format!("[{path}]"))),
        Value::Array(list) => {
            for (i, item) in list.iter().enumerate() {
                collect(item, &format!("{path}[{i}]"), into);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                collect(item, &format!("{path}.{key}"), into);
            }
        }
        _ => {}
    }
}

/// Reads the answer. What is wrong with it is said without quoting it: it may hold secrets.
pub(super) fn answer(
    action: Action,
    program: &Path,
    text: &[u8],
) -> Result<Answer, ProvisionError> {
    let refuse = |what: String| {
        ProvisionError::permanent(format!("the program {} {what}", program.display()))
            .remedy("mend the program; see docs/provisioner-command.md for what it must answer")
    };
    let blank = text.iter().all(u8::is_ascii_whitespace);
    if blank && matches!(action, Action::Retire | Action::Remove) {
        return Ok(Answer::default());
    }
    if blank {
        return Err(refuse("answered nothing".into()));
    }
    let answer: Answer = serde_json::from_slice(text).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "JSON of another shape",
            _ => "what is no JSON document",
        };
        refuse(format!(
            "answered {what}, line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    if action == Action::Presence && answer.presence.is_none() {
        return Err(refuse("did not say `presence`".into()));
    }
    if let Some(twice) = answer
        .secrets
        .keys()
        .find(|n| answer.outputs.contains_key(*n))
    {
        return Err(refuse(format!(
            "gives `{twice}` both as output and as secret"
        )));
    }
    Ok(answer)
}
