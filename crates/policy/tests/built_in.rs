//! What the built-in policies say.

use delivery::{Verifier as _, verify::Decision};
use serde_json::{Value, json};
use towpath_policy::{Bundle, RegoVerifier};

/// A member of the team deploys one sound workload to its own environment.
fn sound(protected: bool) -> Value {
    json!({
        "caller": { "subject": "ada", "teams": ["notes"], "admin": false },
        "environment": {
            "name": "main", "role": if protected { "prod" } else { "dev" }, "team": "notes",
            "protected": protected, "labels": {}, "engine": "process",
        },
        "workloads": { "notes": {
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "notes" },
            "service": { "ports": { "web": { "port": 80 } } },
            "containers": { "web": {
                "image": "registry.example:5000/notes:1.4.2",
                "readinessProbe": { "httpGet": { "path": "/", "port": 80 } },
                "resources": { "limits": { "memory": "64M" } },
            }},
        }},
        "plan": { "resources": {}, "workloads": {}, "held": [] },
    })
}

async fn decide(input: &Value) -> Decision {
    let verifier = RegoVerifier::new(Bundle::built_in()).expect("the built-in policies compile");
    verifier
        .verify(input)
        .await
        .expect("a decision, be it a refusal")
}

/// The decision without the digests, which change with every word of a policy.
fn shown(decision: &Decision) -> String {
    use std::fmt::Write as _;
    let mut text = format!("allowed: {}\n", decision.allowed);
    let findings = [("deny", &decision.denials), ("warn", &decision.warnings)];
    for (word, finding) in findings
        .iter()
        .flat_map(|(w, all)| all.iter().map(move |f| (w, f)))
    {
        let remedy = finding
            .remedy
            .as_deref()
            .expect("every finding says how to mend it");
        writeln!(
            text,
            "{word} {}: {}\n  {remedy}",
            finding.rule, finding.message
        )
        .unwrap();
    }
    text
}

#[tokio::test]
async fn what_is_sound_is_allowed_without_a_word() {
    for protected in [false, true] {
        let decision = decide(&sound(protected)).await;
        assert_eq!(shown(&decision), "allowed: true\n");
        assert_eq!(decision.policies.len(), 5);
    }
}

#[tokio::test]
async fn a_stranger_is_refused_and_an_operator_is_not() {
    let mut input = sound(false);
    input["caller"]["teams"] = json!(["others"]);
    insta::assert_snapshot!("stranger", shown(&decide(&input).await));
    input["caller"]["admin"] = json!(true);
    assert!(decide(&input).await.allowed);
}

#[tokio::test]
async fn a_moving_image_is_refused_where_the_role_is_protected() {
    for (image, moves) in [
        ("nginx", true),
        ("nginx:latest", true),
        ("registry.example:5000/team/nginx", true),
        ("registry.example:5000/team/nginx:1", false),
        ("nginx@sha256:0000", false),
        (".", false),
        ("/usr/local/bin/notes", false),
    ] {
        let mut input = sound(true);
        input["workloads"]["notes"]["containers"]["web"]["image"] = json!(image);
        assert_eq!(decide(&input).await.allowed, !moves, "{image}");
    }
    // The engine runs the container's command, and reads nothing of its image.
    for (unused, allowed) in [(true, true), (false, false)] {
        let mut input = sound(true);
        let web = &mut input["workloads"]["notes"]["containers"]["web"];
        web["image"] = json!("python3");
        web["imageUnused"] = json!(unused);
        assert_eq!(decide(&input).await.allowed, allowed, "{unused}");
    }
    let mut input = sound(false);
    input["workloads"]["notes"]["containers"]["web"]["image"] = json!("nginx:latest");
    insta::assert_snapshot!("moving_image", shown(&decide(&input).await));
}

#[tokio::test]
async fn data_is_safe_where_the_role_is_protected() {
    let step = |action: &str| {
        json!({
            "action": action, "node": "postgres.default#notes.db", "definition": "postgres-default@2",
            "reasons": [], "holdsData": true,
        })
    };
    for action in ["remove", "replace"] {
        let mut input = sound(true);
        input["plan"]["resources"]["db"] = step(action);
        assert!(!decide(&input).await.allowed, "{action}");
        input["environment"]["protected"] = json!(false);
        assert!(decide(&input).await.allowed, "{action}");
    }
    let mut input = sound(true);
    input["plan"]["resources"]["db"] = step("replace");
    input["plan"]["held"] = json!(["files"]);
    insta::assert_snapshot!("data", shown(&decide(&input).await));
}

#[tokio::test]
async fn a_protected_role_asks_for_readiness_and_limits() {
    let mut input = sound(true);
    let web = input["workloads"]["notes"]["containers"]["web"]
        .as_object_mut()
        .unwrap();
    web.remove("readinessProbe");
    web.remove("resources");
    insta::assert_snapshot!("readiness", shown(&decide(&input).await));
}

#[tokio::test]
async fn half_an_input_is_refused() {
    for part in ["caller", "environment", "workloads", "plan"] {
        let mut input = sound(false);
        input.as_object_mut().unwrap().remove(part);
        let decision = decide(&input).await;
        assert!(!decision.allowed, "without {part}");
    }
    let mut input = sound(false);
    input["environment"]["protected"] = json!("no");
    assert!(!decide(&input).await.allowed);
}
