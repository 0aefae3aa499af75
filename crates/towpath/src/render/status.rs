//! What is in an environment, and how it is.

use std::fmt::Write as _;

use delivery::{
    api::{ComputeSummary, EnvironmentSummary, WorkloadSummary},
    engine::Phase,
};
use jiff::Timestamp;

use super::{
    graph::state_word,
    quantity,
    table::{fields, table},
};

/// A release's phase in a word.
pub(crate) fn release_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Restarting => "restarting",
        Phase::Failed => "failed",
        Phase::Stopped => "stopped",
    }
}

/// A workload's state in a word.
fn workload_word(workload: &WorkloadSummary) -> &'static str {
    match workload.phase {
        _ if workload.deleting => "removing",
        Some(phase) => release_word(phase),
        None => "pending",
    }
}

/// One environment, whole.
pub(crate) fn environment(summary: &EnvironmentSummary, now: Timestamp) -> String {
    let expires = summary
        .expires
        .map(|time| format!("{} ({})", quantity::local(time), quantity::until(time, now)));
    let mut text = fields(&[
        ("Environment", summary.name.clone()),
        ("Role", summary.role.clone()),
        ("Team", summary.team.clone()),
        ("Engine", summary.engine.clone()),
        (
            "Made",
            format!(
                "{} ago by {}",
                quantity::age(summary.created, now),
                summary.created_by
            ),
        ),
        ("Expires", expires.unwrap_or_default()),
        ("Takes", compute(&summary.compute)),
        ("Cloned from", cloned(summary)),
        ("Removal", removal(summary)),
    ]);
    text.push('\n');
    text.push_str(&workloads(&summary.name, &summary.workloads));
    text.push_str("\n\n");
    text.push_str(&resources(summary));
    let more: Vec<&str> = summary
        .routes
        .iter()
        .filter(|route| {
            let own = summary.workloads.iter().filter_map(|w| w.url.as_deref());
            !own.into_iter()
                .any(|url| url.trim_end_matches('/') == route.url.trim_end_matches('/'))
        })
        .map(|route| route.url.as_str())
        .collect();
    if !more.is_empty() {
        let _ = write!(text, "\n\nAlso at {}", more.join(", "));
    }
    text
}

/// What workloads ask for, all together.
fn compute(compute: &ComputeSummary) -> String {
    let mut asked = format!(
        "{} cores, {} of memory",
        quantity::cores(compute.cpu_millis),
        quantity::bytes(compute.memory_bytes),
    );
    if compute.unbounded_containers > 0 {
        let _ = write!(asked, "; {} without a bound", compute.unbounded_containers);
    }
    asked
}

/// Where an environment has its definitions from, and which of them are newer elsewhere.
fn cloned(summary: &EnvironmentSummary) -> String {
    let Some(source) = &summary.cloned_from else {
        return String::new();
    };
    if summary.pins.is_empty() {
        return format!("{source}; follows the newest definitions");
    }
    let behind: Vec<_> = summary
        .pins
        .iter()
        .filter(|pin| pin.newest != Some(pin.revision))
        .map(|pin| {
            let newest = match pin.newest {
                Some(newest) => format!("newest: {newest}"),
                None => "deleted since".into(),
            };
            format!("{}@{} ({newest})", pin.definition, pin.revision)
        })
        .collect();
    let pinned = format!(
        "{source}, with {} definitions as they were then",
        summary.pins.len()
    );
    if behind.is_empty() {
        return pinned;
    }
    format!("{pinned}: {}", behind.join(", "))
}

fn removal(summary: &EnvironmentSummary) -> String {
    if !summary.deleting {
        return summary.message.clone();
    }
    if summary.remaining.is_empty() {
        return "asked for".into();
    }
    format!("waits for {}", summary.remaining.join("\n"))
}

fn workloads(environment: &str, workloads: &[WorkloadSummary]) -> String {
    let rows = workloads
        .iter()
        .map(|workload| {
            [
                workload.name.clone(),
                workload_word(workload).to_owned(),
                release(workload),
                workload.restarts.to_string(),
                workload.url.clone().unwrap_or_default(),
                one_line(&workload.message),
            ]
        })
        .collect();
    table(
        ["workload", "state", "release", "restarts", "url", "message"],
        rows,
        &format!("No workloads. Deploy one with `towpath deploy score.yaml --env {environment}`."),
    )
}

fn release(workload: &WorkloadSummary) -> String {
    if workload.active_release == workload.release {
        workload.release.to_string()
    } else if workload.active_release == 0 {
        format!("{} (not serving yet)", workload.release)
    } else {
        format!("{} ({} serves)", workload.release, workload.active_release)
    }
}

fn resources(summary: &EnvironmentSummary) -> String {
    let rows = summary
        .resources
        .iter()
        .map(|resource| {
            let words = if resource.message.is_empty() {
                &resource.summary
            } else {
                &resource.message
            };
            let used_by = if resource.used_by.is_empty() {
                "nobody (kept)".to_owned()
            } else {
                resource.used_by.join(",")
            };
            [
                resource.node.clone(),
                state_word(resource.phase, resource.unreachable.is_some()).to_owned(),
                used_by,
                resource.name.clone(),
                one_line(words),
            ]
        })
        .collect();
    table(
        ["resource", "state", "used by", "name", "what it is"],
        rows,
        "No resources.",
    )
}

/// All environments, one line each.
pub(crate) fn overview(summaries: &[EnvironmentSummary], now: Timestamp) -> String {
    let rows = summaries
        .iter()
        .map(|summary| {
            let ready = summary
                .workloads
                .iter()
                .filter(|workload| workload.phase == Some(Phase::Ready))
                .count();
            let state = if summary.deleting {
                "removing"
            } else {
                "active"
            };
            [
                summary.name.clone(),
                summary.role.clone(),
                summary.team.clone(),
                state.to_owned(),
                format!("{ready}/{}", summary.workloads.len()),
                summary.resources.len().to_string(),
                asks(&summary.compute),
                quantity::age(summary.created, now),
                summary
                    .expires
                    .map(|time| quantity::until(time, now))
                    .unwrap_or_default(),
                summary.created_by.clone(),
            ]
        })
        .collect();
    table(
        [
            "environment",
            "role",
            "team",
            "state",
            "ready",
            "resources",
            "asks for",
            "age",
            "expires",
            "made by",
        ],
        rows,
        "No environments. `towpath deploy score.yaml` makes `dev`; `towpath env create NAME` makes others.",
    )
}

/// The same, short. Containers without a bound are marked: what they take is not known.
fn asks(compute: &ComputeSummary) -> String {
    let mark = if compute.unbounded_containers > 0 {
        "+"
    } else {
        ""
    };
    format!(
        "{} cpu, {}{mark}",
        quantity::cores(compute.cpu_millis),
        quantity::bytes(compute.memory_bytes),
    )
}

/// The first line, so that a table stays one.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use delivery::{
        api::{PinSummary, ResourceSummary, RouteSummary},
        model::InstancePhase,
    };

    use super::*;

    fn summary() -> EnvironmentSummary {
        let workload =
            |name: &str, phase, release, active_release, message: &str| WorkloadSummary {
                name: name.into(),
                deployment: "d-2".into(),
                release,
                active_release,
                phase,
                restarts: 3,
                url: Some(format!("http://{name}.dev.localhost:7080")),
                message: message.into(),
                deleting: false,
            };
        let resource = |node: &str, phase, message: &str, used_by: &[&str]| ResourceSummary {
            name: node.replace(['.', '#'], "-"),
            node: node.into(),
            definition: "postgres-default@1".into(),
            phase,
            unreachable: None,
            summary: "database tp_dev_notes_db on 127.0.0.1:5432".into(),
            message: message.into(),
            used_by: used_by.iter().map(ToString::to_string).collect(),
            holds_data: true,
        };
        let url = |text: &str| RouteSummary {
            url: text.into(),
            workload: "notes".into(),
        };
        EnvironmentSummary {
            name: "dev".into(),
            role: "dev".into(),
            team: "default".into(),
            engine: "process".into(),
            created_by: "local-admin".into(),
            created: "2025-01-01T00:00:00Z".parse().unwrap(),
            expires: None,
            deleting: false,
            remaining: vec![],
            message: String::new(),
            cloned_from: None,
            pins: vec![],
            workloads: vec![
                workload("notes", Some(Phase::Ready), 2, 2, ""),
                workload(
                    "shop",
                    Some(Phase::Restarting),
                    3,
                    1,
                    "container web: exit code 1\nmore",
                ),
                workload("new", None, 1, 0, ""),
            ],
            resources: vec![
                resource(
                    "postgres.default#notes.db",
                    InstancePhase::Ready,
                    "",
                    &["notes"],
                ),
                resource(
                    "postgres.default#old.db",
                    InstancePhase::Retrying,
                    "connection refused",
                    &[],
                ),
            ],
            routes: vec![
                url("http://notes.dev.localhost:7080/"),
                url("http://example.localhost:7080/api"),
            ],
            compute: ComputeSummary {
                cpu_millis: 1250,
                memory_bytes: 640 << 20,
                unbounded_containers: 1,
            },
        }
    }

    #[test]
    fn one_environment() {
        let now = "2025-01-01T05:00:00Z".parse().unwrap();
        insta::assert_snapshot!(environment(&summary(), now));
    }

    #[test]
    fn a_clone() {
        let now = "2025-01-01T05:00:00Z".parse().unwrap();
        let pin = |definition: &str, newest| PinSummary {
            definition: definition.into(),
            resource_type: "postgres".into(),
            revision: 1,
            newest,
        };
        let mut clone = summary();
        clone.cloned_from = Some("prod".into());
        let line = |summary: &EnvironmentSummary| {
            let text = environment(summary, now);
            let line = text.lines().find(|line| line.starts_with("Cloned"));
            line.unwrap_or_default().to_owned()
        };
        insta::assert_snapshot!(line(&clone), @"Cloned from  prod; follows the newest definitions");
        clone.pins = vec![
            pin("same", Some(1)),
            pin("changed", Some(3)),
            pin("gone", None),
        ];
        insta::assert_snapshot!(line(&clone), @"Cloned from  prod, with 3 definitions as they were then: changed@1 (newest: 3), gone@1 (deleted since)");
    }

    #[test]
    fn an_environment_that_stays_although_its_time_is_over_says_why() {
        let now = "2025-01-01T05:00:00Z".parse().unwrap();
        let mut held = summary();
        held.message = "its time is over, and it stays".into();
        let text = environment(&held, now);
        assert!(
            text.contains("Removal      its time is over, and it stays\n"),
            "{text}"
        );
    }

    #[test]
    fn all_environments() {
        let now = "2025-01-03T05:00:00Z".parse().unwrap();
        let mut other = summary();
        other.name = "pr-42".into();
        other.expires = Some("2025-01-03T08:00:00Z".parse().unwrap());
        other.deleting = true;
        insta::assert_snapshot!(overview(&[summary(), other], now));
        insta::assert_snapshot!(overview(&[], now));
    }
}
