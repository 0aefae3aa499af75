//! The plan: what a deployment would change, for people.

use std::fmt::Write as _;

use delivery::{
    api::{EnvironmentStep, PlanAnswer},
    plan::{Action, Plan},
    verify::{Decision, Finding},
};
use jiff::Timestamp;

use super::quantity;

/// The plan and what policy says of it.
pub(crate) fn text(answer: &PlanAnswer, now: Timestamp) -> String {
    let step = answer.environment.as_ref();
    let mut text = step.map_or_else(String::new, |step| environment(step, now));
    text.push_str(&changes(&answer.plan));
    text.push_str(&decision(&answer.decision));
    text
}

/// The environment that the deployment makes, or whose end it moves.
fn environment(step: &EnvironmentStep, now: Timestamp) -> String {
    let end = match step.expires {
        Some(time) => format!("ends {}", quantity::until(time, now)),
        None => "does not end by itself".to_owned(),
    };
    format!(
        "{} environment {}  role {}, team {}, {end}\n",
        sign(step.action),
        step.name,
        step.role,
        step.team
    )
}

/// The difference from what runs. What stays as it is, is only counted.
pub(crate) fn changes(plan: &Plan) -> String {
    let mut text = String::new();
    let mut unchanged = 0;
    for (name, step) in &plan.workloads {
        if step.action == Action::None {
            unchanged += 1;
            continue;
        }
        let _ = writeln!(text, "{} workload {name}", sign(step.action));
        for change in &step.changes {
            let _ = writeln!(text, "      {change}");
        }
        if let Some(url) = step.url.as_ref().filter(|_| step.action != Action::Remove) {
            let _ = writeln!(text, "      {url}");
        }
    }
    for (name, step) in &plan.resources {
        if step.action == Action::None {
            unchanged += 1;
            continue;
        }
        let _ = write!(text, "{} resource {name}  {}", sign(step.action), step.node);
        let _ = writeln!(text, "  by {}", step.definition);
        for reason in &step.reasons {
            let _ = writeln!(text, "      {reason}");
        }
        match (step.holds_data, step.action) {
            (true, Action::Replace | Action::Remove) => {
                text.push_str("      its data is lost\n");
            }
            (true, Action::Keep) => text.push_str("      kept: it holds data\n"),
            _ => {}
        }
    }
    for route in &plan.routes_added {
        let _ = writeln!(text, "  + route {route}");
    }
    for route in &plan.routes_removed {
        let _ = writeln!(text, "  - route {route}");
    }
    if text.is_empty() {
        text.push_str("nothing changes\n");
    } else if unchanged > 0 {
        let _ = writeln!(text, "{unchanged} unchanged");
    }
    for remark in remarks(plan) {
        let _ = writeln!(text, "{remark}");
    }
    text
}

/// What whoever deploys should know: what is held until they accept it, and what the plan warns of.
pub(crate) fn remarks(plan: &Plan) -> impl Iterator<Item = String> {
    let held = plan
        .held
        .iter()
        .map(|held| format!("held: {held} would be replaced; accept that with --accept {held}"));
    let warnings = plan.warnings.iter().map(|text| format!("warning: {text}"));
    held.chain(warnings)
}

/// What policy says.
pub(crate) fn decision(decision: &Decision) -> String {
    let mut text = String::new();
    for finding in &decision.warnings {
        told(&mut text, "warning", finding);
    }
    for finding in &decision.denials {
        told(&mut text, "denied", finding);
    }
    let verdict = if decision.allowed {
        "allowed"
    } else {
        "refused"
    };
    let policies = decision.policies.len();
    let _ = writeln!(
        text,
        "policy: {verdict} ({policies} {} asked)",
        if policies == 1 { "policy" } else { "policies" },
    );
    text
}

fn told(text: &mut String, word: &str, finding: &Finding) {
    let _ = writeln!(text, "{word}: {} [{}]", finding.message, finding.rule);
    if let Some(remedy) = &finding.remedy {
        let _ = writeln!(text, "  help: {remedy}");
    }
}

fn sign(action: Action) -> &'static str {
    match action {
        Action::Add => "  +",
        Action::Change => "  ~",
        Action::Replace => "-/+",
        Action::Remove => "  -",
        Action::Keep | Action::None => "  =",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use delivery::plan::{ResourceStep, WorkloadStep};

    use super::*;

    fn resource(action: Action, node: &str, reasons: &[&str], holds_data: bool) -> ResourceStep {
        ResourceStep {
            action,
            node: node.into(),
            definition: "postgres-default@3".into(),
            reasons: reasons.iter().map(ToString::to_string).collect(),
            holds_data,
        }
    }

    #[test]
    fn every_sort_of_change() {
        let workload = |action, changes: &[&str]| WorkloadStep {
            action,
            changes: changes.iter().map(ToString::to_string).collect(),
            url: Some("http://notes.dev.localhost:7080".into()),
        };
        let plan = Plan {
            workloads: BTreeMap::from([
                (
                    "notes".into(),
                    workload(Action::Change, &["containers.web.image: \"a\" -> \"b\""]),
                ),
                ("shop".into(), workload(Action::Add, &[])),
                ("still".into(), workload(Action::None, &[])),
            ]),
            resources: BTreeMap::from([
                (
                    "db-1".into(),
                    resource(
                        Action::Replace,
                        "postgres.default#notes.db",
                        &["params.version: \"14\" -> \"15\""],
                        true,
                    ),
                ),
                (
                    "db-2".into(),
                    resource(Action::Keep, "postgres.default#old.db", &[], true),
                ),
                (
                    "dns-1".into(),
                    resource(Action::Remove, "dns.default#old.name", &[], false),
                ),
            ]),
            routes_added: vec!["http://shop.dev.localhost:7080/".into()],
            routes_removed: vec!["http://old.dev.localhost:7080/".into()],
            warnings: vec!["the engine process does not limit memory here".into()],
            held: vec!["db-1".into()],
        };
        let finding = |rule: &str| Finding {
            rule: rule.into(),
            message: "the image has no digest".into(),
            remedy: Some("name it as IMAGE@sha256:...".into()),
        };
        let answer = PlanAnswer {
            environment: None,
            plan,
            decision: Decision {
                allowed: false,
                denials: vec![finding("image/digest")],
                warnings: vec![finding("image/age")],
                policies: vec!["towpath.delivery@abc".into()],
            },
            graph: delivery::model::Graph::default(),
            policy_input: serde_json::Value::Null,
        };
        insta::assert_snapshot!(text(&answer, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn an_environment_that_is_made_is_said() {
        let now = Timestamp::UNIX_EPOCH;
        let mut step = EnvironmentStep {
            action: Action::Add,
            name: "pr-42".into(),
            role: "ephemeral".into(),
            team: "payments".into(),
            expires: Some(now + jiff::SignedDuration::from_hours(8)),
        };
        assert_eq!(
            environment(&step, now),
            "  + environment pr-42  role ephemeral, team payments, ends in 8h\n"
        );
        (step.action, step.expires) = (Action::Change, None);
        assert_eq!(
            environment(&step, now),
            "  ~ environment pr-42  role ephemeral, team payments, does not end by itself\n"
        );
    }

    #[test]
    fn no_change_is_said() {
        assert_eq!(changes(&Plan::default()), "nothing changes\n");
    }
}
