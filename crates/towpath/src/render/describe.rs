//! One resource, whole: what people need first, then all of it.

use std::fmt::Write as _;

use delivery::{
    definition::as_written,
    model::{Deployment, DeploymentPhase, DeploymentStatus, Failure},
};
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
        text.push_str(&diagnosis(status, failure));
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
    use DeploymentPhase as P;
    match deployment.status.phase {
        P::Pending => "pending",
        P::Creating => "creating",
        P::Deploying => "deploying",
        P::Observing => "observing",
        P::RollingBack => "rolling back",
        P::Succeeded => "succeeded",
        P::Failed => "failed",
        P::RolledBack => "rolled back",
        P::Superseded if deployment.status.failure.is_some() => "failed, superseded",
        P::Superseded => "superseded",
    }
}

/// The one place of the diagnosis: step, resource, its own words, the log. What to do next is
/// for the caller to add, last.
pub(crate) fn diagnosis(status: &DeploymentStatus, failure: &Failure) -> String {
    let (label, serving) = serving(status, failure);
    let mut text = fields(&[
        ("failed step", failure.step.clone()),
        ("subject", failure.subject.clone()),
        ("message", failure.message.clone()),
        (label, serving),
    ]);
    if !failure.log.is_empty() {
        text.push_str("last lines of its log:\n");
        for line in &failure.log {
            let _ = writeln!(text, "  | {line}");
        }
    }
    text
}

/// What serves in the place of a deployment that failed: nothing that is not seen to.
fn serving(status: &DeploymentStatus, failure: &Failure) -> (&'static str, String) {
    const SERVES: &str = "now serving";
    let Some(good) = &failure.returned_to else {
        return (SERVES, String::new());
    };
    if let Some(why) = &failure.return_failure {
        return ("return", format!("to {good}, which failed too: {why}"));
    }
    match status.phase {
        DeploymentPhase::RolledBack if failure.brought_back.is_empty() => {
            (SERVES, format!("{good}, as before"))
        }
        DeploymentPhase::RolledBack => {
            let brought = failure.brought_back.join(", ");
            (SERVES, format!("{good}, brought back for {brought}"))
        }
        DeploymentPhase::RollingBack => ("return", format!("to {good}, under way")),
        // A later one serves by now, or is to.
        _ => (SERVES, String::new()),
    }
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

#[cfg(test)]
mod tests {
    use delivery::model::DeploymentPhase as P;

    use super::*;

    #[test]
    fn what_serves_after_a_failure_is_told_as_it_is() {
        let failure = |brought_back: &[&str], return_failure: Option<&str>| Failure {
            step: "observe".into(),
            subject: "workload worker".into(),
            message: "it ends".into(),
            log: Vec::new(),
            remedy: None,
            returned_to: Some("d-1".into()),
            brought_back: brought_back.iter().map(|name| (*name).to_owned()).collect(),
            return_failure: return_failure.map(str::to_owned),
        };
        let told = |phase, failure: Failure| {
            let status = DeploymentStatus {
                phase,
                ..DeploymentStatus::default()
            };
            let text = diagnosis(&status, &failure);
            let line = text.lines().find(|line| line.contains("d-1"));
            let words = line.unwrap_or_default().split_whitespace();
            words.collect::<Vec<_>>().join(" ")
        };
        let before = told(P::RolledBack, failure(&[], None));
        assert_eq!(before, "now serving d-1, as before");
        let brought = told(P::RolledBack, failure(&["api"], None));
        assert_eq!(brought, "now serving d-1, brought back for api");
        let goes_on = told(P::RollingBack, failure(&["api"], None));
        assert_eq!(goes_on, "return to d-1, under way");
        let failed = told(P::Failed, failure(&["api"], Some("it is away")));
        assert_eq!(failed, "return to d-1, which failed too: it is away");
        assert_eq!(told(P::Superseded, failure(&["api"], None)), "");
    }
}
