//! Who may what, of every operation of the API, by its own description and for each kind of caller.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod applied;
mod asked;
#[path = "../browser/mod.rs"]
mod browser;
mod followed;
mod keepers;
mod lists;
mod past;
mod people;
#[path = "../person/mod.rs"]
mod person;
#[path = "../site/mod.rs"]
mod site;
mod table;
mod trail;
mod world;

use std::{collections::BTreeMap, time::Duration};

use reqwest::{Method, header};
use serde_json::{Value, json};
use site::Site;
use trail::Asked;
use uuid::Uuid;
use world::{World, order, plain_order};

const DESCRIPTION: &str = include_str!("../../../../openapi/towpath.json");

#[tokio::test]
async fn every_operation_answers_each_kind_of_caller_as_the_table_says() {
    let table: BTreeMap<&str, &str> = table::rows().collect();
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_some() {
                operations.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let missing: Vec<_> = operations
        .iter()
        .filter(|o| !table.contains_key(o.as_str()))
        .collect();
    assert!(missing.is_empty(), "say in the table who may: {missing:#?}");
    assert_eq!(
        table.len(),
        operations.len(),
        "the table has rows of no operation"
    );

    let mut world = World::new().await;
    world.people().await;
    world.furnish().await;
    let mut wrong = Vec::new();
    let mut asked = Vec::new();
    for (operation, row) in table::rows() {
        let (method, _) = operation.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        for (caller, expected) in table::answers(operation, row) {
            let may = (200..300).contains(&expected);
            let (path, body) = world.asked(operation, caller, may).await;
            let correlation = Uuid::now_v7();
            let reason = Asked::reason(operation, caller);
            let (status, answer) = world
                .ask_why(
                    caller,
                    method.clone(),
                    &path,
                    &body,
                    &[
                        ("correlation-id", &correlation.to_string()),
                        ("towpath-reason", &reason),
                    ],
                )
                .await;
            asked.push(Asked {
                operation,
                caller,
                status,
                correlation,
            });
            if status != expected {
                wrong.push(format!(
                    "{operation} by {caller}: {status}, not {expected}: {answer}"
                ));
            }
            if !is_described(&description, operation, status) {
                wrong.push(format!(
                    "{operation} by {caller}: its description does not say {status}: {answer}"
                ));
            }
            if status == 403 {
                let told = answer["remedy"].is_string() || path.contains("/identity/");
                assert!(told, "{operation} by {caller}: {answer}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.trail_is_whole(&asked).await;
}

/// Whether the API's description says that `operation` may be answered so.
fn is_described(description: &Value, operation: &str, status: u16) -> bool {
    let (method, path) = operation.split_once(' ').unwrap();
    let responses = &description["paths"][path][method.to_lowercase()]["responses"];
    responses.get(status.to_string()).is_some()
}

#[tokio::test]
async fn what_is_not_for_a_caller_is_as_if_it_were_not_there() {
    let world = World::new().await;
    for below in [
        "",
        "/summary",
        "/graph",
        "/workloads/hello",
        "/deployments/d-1",
        "/workloads",
        "/workloads/hello/logs",
    ] {
        for caller in ["stranger", "credential"] {
            let hidden = if caller == "stranger" {
                "pay-dev"
            } else {
                "pay-other"
            };
            let ask = async |environment: &str| {
                let path = format!("/v1/environments/{environment}{below}");
                let (status, mut answer) =
                    world.ask(caller, Method::GET, &path, &Value::Null).await;
                if let Some(answer) = answer.as_object_mut() {
                    answer.remove("correlation");
                }
                (
                    status,
                    answer.to_string().replace(environment, "ENVIRONMENT"),
                )
            };
            assert_eq!(ask(hidden).await, ask("no-such").await, "{caller} {below}");
        }
    }
    // Nor does a deployment tell, nor a name that is asked for.
    let path = "/v1/environments/pay-dev/deployments";
    let plain = plain_order("hello");
    let (status, _) = world.ask("stranger", Method::POST, path, &plain).await;
    assert_eq!(status, 404);
    let (status, answer) = world
        .ask("stranger", Method::POST, path, &order("hello"))
        .await;
    assert_eq!(
        (status, &answer["detail"]),
        (409, &json!("the name `pay-dev` is taken"))
    );
    assert_eq!(answer["problems"][0]["rule"], "environment/taken");
}

#[tokio::test]
async fn refusals_are_in_the_audit_trail() {
    let world = World::new().await;
    let path = "/v1/environments/pay-dev";
    let (status, _) = world
        .ask("stranger", Method::DELETE, path, &Value::Null)
        .await;
    assert_eq!(status, 404);
    let (status, answer) = world.ask("agent", Method::DELETE, path, &Value::Null).await;
    assert_eq!(status, 403);
    assert_eq!(answer["problems"][0]["rule"], "authz/agent");
    // What is no name is told of as far as it can be.
    let path = "/v1/teams/payments%00/secrets/%00";
    let (status, answer) = world
        .ask("stranger", Method::DELETE, path, &Value::Null)
        .await;
    assert!((400..500).contains(&status), "{status}: {answer}");
    let users = "/v1/identity/users/eve";
    let (status, _) = world.ask("pipeline", Method::PUT, users, &json!({})).await;
    assert_eq!(status, 403);
    let events = world.all("admin", "/v1/events").await;
    let refused: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "dev.towpath.authorization.refused")
        .map(|event| {
            (
                &event["actor"],
                &event["subject"],
                &event["data"]["action"],
                &event["outcome"],
            )
        })
        .map(|parts| json!([parts.0, parts.1, parts.2, parts.3]))
        .collect();
    assert_eq!(
        refused,
        [
            json!([
                "account:shop/stranger",
                "Environment/pay-dev",
                "environment.delete",
                "fail"
            ]),
            json!([
                "account:payments/agent",
                "Environment/pay-dev",
                "environment.delete",
                "fail"
            ]),
            json!([
                "account:payments/pipeline",
                "LocalUser/eve",
                "identity.change",
                "fail"
            ]),
        ]
    );
}

#[tokio::test]
async fn an_organization_takes_rights_away() {
    let data = tempfile::tempdir().unwrap();
    let policies = data.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let rule = r#"package towpath.authz
        allow := true
        deny contains {"rule": "acme/names", "message": "no trials here", "remedy": "use `dev`"} if {
            input.action == "environment.create"
            startswith(input.resource.name, "trial-")
        }"#;
    std::fs::write(policies.join("acme.rego"), rule).unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let make = async |name: &str| {
        let request = delivery::api::NewEnvironment {
            name: name.into(),
            role: Some("dev".into()),
            ..delivery::api::NewEnvironment::default()
        };
        running.client().create_environment(&request).await
    };
    make("dev").await.unwrap();
    let refused = make("trial-1").await.unwrap_err();
    assert!(refused.to_string().contains("no trials here"), "{refused}");
}

#[tokio::test]
async fn a_stream_ends_with_its_readers_rights() {
    let world = World::new().await;
    let mut stream = world
        .http
        .get(format!("{}/v1/events", world.site.server()))
        .bearer_auth(&world.tokens["pipeline"])
        .header(header::ACCEPT, "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = stream.chunk().await {} });
    let path = "/v1/identity/teams/payments/service-accounts/pipeline";
    let disabled = json!({ "disabled": true });
    let (status, answer) = world.ask("admin", Method::PUT, path, &disabled).await;
    assert_eq!(status, 200, "{answer}");
    // It is asked again when there is something to send.
    let mut round = 0;
    let deadline = std::time::Instant::now() + testkit::PATIENCE;
    while !reading.is_finished() {
        assert!(std::time::Instant::now() < deadline, "the stream goes on");
        let body = json!({ "name": format!("again-{round}"), "team": "payments", "role": "dev" });
        world
            .ask("admin", Method::POST, "/v1/environments", &body)
            .await;
        round += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
