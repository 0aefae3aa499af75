//! One resource, whole: what people need first, then all of it.

use std::fmt::Write as _;

use delivery::{definition::as_written, model::Deployment};
use kernel::{Document, Event, Resource};
use serde_json::Value;

use super::{document, events, plan, quantity, table::fields};
use crate::context::Format;

/// A head, what should be, what is, and what happened last.
pub(crate) fn text(document: &Document, happened: &[Event]) -> String {
    let meta = &document.meta;
    let labels: Vec<String> = meta
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let mut text = fields(&[
        (document.kind.as_str(), meta.name.clone()),
        ("In", meta.scope.clone()),
        ("Labels", labels.join(", ")),
        ("Made", quantity::local(meta.created)),
        (
            "Changed",
            format!(
                "{} (revision {}, generation {})",
                quantity::local(meta.updated),
                meta.revision,
                meta.generation
            ),
        ),
        (
            "Removal",
            meta.deleting
                .map(|t| format!("asked for at {}", quantity::local(t)))
                .unwrap_or_default(),
        ),
    ]);
    section(&mut text, "Should be", &document.spec);
    section(&mut text, "Is", &document.status);
    if !happened.is_empty() {
        text.push_str("\nHappened\n");
        for event in happened {
            let _ = writeln!(text, "  {}", events::line(event));
        }
    }
    text
}

/// A deployment: how it went, what it changed, and the diagnosis.
pub(crate) fn deployment(deployment: &Resource<Deployment>, happened: &[Event]) -> String {
    let spec = &deployment.spec;
    let status = &deployment.status;
    let releases: Vec<String> = spec
        .releases
        .iter()
        .map(|(name, release)| format!("{name} release {release}"))
        .collect();
    let mut text = fields(&[
        ("Deployment", deployment.meta.name.clone()),
        ("Environment", deployment.meta.scope.clone()),
        ("State", phase(deployment).to_owned()),
        ("Asked by", spec.requested_by.clone()),
        ("Message", spec.message.clone()),
        ("Returns to", spec.rollback_to.clone().unwrap_or_default()),
        ("Workloads", releases.join(", ")),
        (
            "Begun",
            status.started.map(quantity::local).unwrap_or_default(),
        ),
        (
            "Ended",
            status.finished.map(quantity::local).unwrap_or_default(),
        ),
        ("Waits for", status.waiting_for.join(", ")),
        ("Correlation", spec.correlation.to_string()),
    ]);
    text.push_str("\nChanges\n");
    text.push_str(&plan::changes(&spec.plan));
    text.push_str(&plan::decision(&spec.decision));
    section(&mut text, "Policy was asked of", &spec.policy_context);
    if let Some(failure) = &status.failure {
        text.push('\n');
        text.push_str(&diagnosis(failure));
        if let Some(remedy) = &failure.remedy {
            let _ = writeln!(text, "help: {remedy}");
        }
    }
    if !happened.is_empty() {
        text.push_str("\nHappened\n");
        for event in happened {
            let _ = writeln!(text, "  {}", events::line(event));
        }
    }
    text
}

/// A deployment's phase in words.
pub(crate) fn phase(deployment: &Resource<Deployment>) -> &'static str {
    use delivery::model::DeploymentPhase as P;
    match deployment.status.phase {
        P::Pending => "pending",
        P::Creating => "creating",
        P::Deploying => "deploying",
        P::Observing => "observing",
        P::Succeeded => "succeeded",
        P::Failed => "failed",
        P::RolledBack => "rolled back",
        P::Superseded => "superseded",
    }
}

/// The one place of the diagnosis: step, resource, its own words, the log. What to do next is
/// for the caller to add, last.
pub(crate) fn diagnosis(failure: &delivery::model::Failure) -> String {
    let mut text = fields(&[
        ("failed step", failure.step.clone()),
        ("subject", failure.subject.clone()),
        ("message", failure.message.clone()),
        (
            "now serving",
            match &failure.returned_to {
                Some(good) => format!("{good}, as before"),
                None => String::new(),
            },
        ),
    ]);
    if !failure.log.is_empty() {
        text.push_str("last lines of its log:\n");
        for line in &failure.log {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text
}

fn section(text: &mut String, title: &str, value: &Value) {
    let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
    if empty {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in as_written(&document::text(Format::Yaml, value)).lines() {
        let _ = writeln!(text, "  {line}");
    }
}
