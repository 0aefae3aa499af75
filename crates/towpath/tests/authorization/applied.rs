//! Who may apply documents of which kind: some are made and changed in no other way.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    table::{self, applied::ROWS},
    world::World,
};

const PATH: &str = "/v1/apply";

#[tokio::test]
async fn a_document_of_each_kind_is_taken_from_whom_the_table_says() {
    let mut world = World::new().await;
    world.people().await;
    world.furnish().await;
    let kinds = kinds(&world).await;
    let rows: BTreeSet<String> = ROWS.iter().map(|(what, _)| kind(what).to_owned()).collect();
    assert_eq!(kinds, rows, "say in the table who may apply each kind");
    let mut wrong = Vec::new();
    for &(what, row) in ROWS {
        for (caller, expected) in table::answers(what, row) {
            let body = json!({ "documents": [document(what, caller)] });
            let (status, answer) = world.ask(caller, Method::POST, PATH, &body).await;
            if status != expected {
                wrong.push(format!(
                    "{what} by {caller}: {status}, not {expected}: {answer}"
                ));
            }
            if status == 200 && answer["items"][0]["outcome"] == "unchanged" {
                wrong.push(format!("{what} by {caller} changes nothing: {answer}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_team_that_may_not_be_seen_is_to_whoever_applies_it_as_one_that_is_not_there() {
    let mut world = World::new().await;
    world.people().await;
    let team = |name: &str, spec: Value| {
        json!({
            "apiVersion": "towpath.dev/v1", "kind": "Team", "metadata": { "name": name }, "spec": spec,
        })
    };
    for caller in [
        "stranger",
        "other-agent",
        "other-credential",
        "sid",
        "sol",
        "credential",
    ] {
        for path in [PATH, "/v1/apply/plan"] {
            for spec in [
                json!({}),
                json!({ "description": "x" }),
                json!({ "group": "x" }),
            ] {
                let mut answers = Vec::new();
                for name in ["payments", "nowhere"] {
                    // The second would be refused for its group, were the first not refused before.
                    let other = team("another", json!({ "group": name }));
                    let documents = [team(name, spec.clone()), other];
                    let body = json!({ "documents": documents });
                    let (status, mut answer) = world.ask(caller, Method::POST, path, &body).await;
                    // Of each request its own.
                    answer["correlation"] = Value::Null;
                    let answer = answer.to_string().replace(name, "NAME");
                    assert_eq!(status, 403, "{caller}, {path}, {spec}: {answer}");
                    assert!(answer.contains("team.create"), "{answer}");
                    answers.push(answer);
                }
                assert_eq!(answers[0], answers[1], "{caller}, {path}, {spec}");
            }
        }
    }
}

/// The kinds that can be applied, as the platform says them.
async fn kinds(world: &World) -> BTreeSet<String> {
    let none = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Nothing", "metadata": { "name": "a" }, "spec": {},
    });
    let body = json!({ "documents": [none] });
    let (status, answer) = world.ask("admin", Method::POST, PATH, &body).await;
    assert_eq!(status, 422, "{answer}");
    let remedy = answer["problems"][0]["remedy"].as_str().unwrap();
    let (_, kinds) = remedy.split_once(": ").unwrap();
    kinds.split(", ").map(str::to_owned).collect()
}

fn kind(what: &str) -> &str {
    what.split(' ').next().unwrap()
}

/// What `caller` applies: what they make is called after them, and what is there they say something else of.
fn document(what: &str, caller: &str) -> Value {
    let by = format!("by {caller}");
    let url = "https://hooks.acme.example/";
    let (name, spec) = match what {
        "Cluster" => (
            format!("cluster-{caller}"),
            json!({ "endpoint": "https://10.0.0.1:6443", "description": by }),
        ),
        "EnvironmentRole" => (format!("role-{caller}"), json!({ "description": by })),
        "Integration" => (
            format!("integration-{caller}"),
            json!({ "type": "github", "config": { "org": "acme" }, "enabled": false }),
        ),
        "LocalGroup" => (format!("group-{caller}"), json!({ "members": ["ada"] })),
        "OidcClient" => (format!("client-{caller}"), json!({ "confidential": true })),
        "ResourceDefinition" => (
            format!("definition-{caller}"),
            json!({
                "type": format!("type-{caller}"), "provisioner": "template",
                "params": { "outputs": { "a": "b" } },
            }),
        ),
        "StarterKit" => (
            format!("kit-{caller}"),
            json!({ "description": by, "files": [{ "path": "a", "content": "b" }] }),
        ),
        "Upstream" => (
            format!("upstream-{caller}"),
            json!({
                "title": "Acme", "clientId": "towpath",
                "provider": { "type": "oidc", "issuer": "https://login.acme.example" },
            }),
        ),
        "Subscription" | "Subscription of a team" => (
            format!("subscription-{caller}"),
            json!({ "types": ["org.nothing.at-all"], "url": url }),
        ),
        "ServiceAccount" => (format!("account-{caller}"), json!({ "description": by })),
        "WorkloadTrust" => (
            format!("trust-{caller}"),
            json!({
                "issuer": "https://gitlab.com", "serviceAccount": "standing",
                "claims": { "project_path": format!("acme/{caller}") },
            }),
        ),
        "Environment" => (
            format!("room-{caller}"),
            json!({ "team": "payments", "role": "dev" }),
        ),
        "Environment that is there" => ("pay-dev".into(), json!({})),
        "NamespaceRequest" => (
            format!("payments-{caller}"),
            json!({ "team": "payments", "description": by }),
        ),
        "NamespaceRequest that is there" => (
            "payments-standing".into(),
            json!({ "team": "payments", "description": by }),
        ),
        "Team" => (format!("crew-{caller}"), json!({ "environments": [] })),
        "Team that is there" => ("payments".into(), json!({ "description": by })),
        "Tool" => (format!("tool-{caller}"), tool("a tool")),
        "Tool that is there" => ("standing".into(), tool(&by)),
        _ => panic!("say what a document of {what} is"),
    };
    let kind = kind(what);
    let version = match kind {
        "NamespaceRequest" => "platform.example.com/v1",
        _ => "towpath.dev/v1",
    };
    let mut metadata = json!({ "name": name });
    if what == "Environment that is there" {
        metadata["labels"] = json!({ "by": caller });
    }
    if ["ServiceAccount", "WorkloadTrust", "Subscription of a team"].contains(&what) {
        metadata["team"] = "payments".into();
    }
    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })
}

/// A tool that the team administers.
fn tool(title: &str) -> Value {
    json!({
        "title": title, "owner": { "team": "payments" }, "authentication": "oidc",
        "authorization": "claims", "api": true,
    })
}
