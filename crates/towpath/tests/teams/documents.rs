//! Told of, and applied as documents.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::world::{LONG, World};

#[tokio::test]
async fn a_team_is_told_of_when_something_changes_and_again_and_again() {
    let world = World::new(&["--team-sync", "1s"]).await;
    world.people("payments", &["ada".into()]).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    world.ready("payments").await;
    let told = async || world.events("team.sync").await.len();
    let first = told().await;
    eventually("it is told of again", LONG, || async {
        (told().await >= first + 3).then_some(())
    })
    .await;
    // Renamed at the source: said, and nothing is removed.
    let group = "/v1/identity/groups/payments";
    assert_eq!(world.ask(Method::DELETE, group, Value::Null).await.0, 204);
    let team = eventually("the group is missed", LONG, || async {
        let team = world.team("payments").await;
        (team["status"]["conditions"][5]["status"] == "False").then_some(team)
    })
    .await;
    let message = team["status"]["conditions"][5]["message"].as_str().unwrap();
    assert!(
        message.contains("was renamed or removed there"),
        "{message}"
    );
    assert_eq!(team["status"]["phase"], "ready");
}

#[tokio::test]
async fn documents_of_teams_are_applied_together_or_not_at_all() {
    let world = World::new(&[]).await;
    let team = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Team",
        "metadata": { "name": "payments" }, "spec": { "environments": ["dev"], "contact": "#pay" },
    });
    let apply = async |documents: Vec<Value>| {
        let body = json!({ "documents": documents });
        world.ask(Method::POST, "/v1/apply", body).await
    };
    let outcomes = |answer: &Value| {
        let items = answer["items"].as_array().unwrap().iter();
        let one = |item: &Value| {
            format!(
                "{} {}",
                item["kind"].as_str().unwrap(),
                item["outcome"].as_str().unwrap()
            )
        };
        items.map(one).collect::<Vec<_>>()
    };
    let (status, answer) = apply(vec![team.clone()]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(outcomes(&answer), ["Team created"]);
    // The second is beyond what is left: neither is made.
    let (status, answer) = apply(vec![
        request("payments-load", "8"),
        request("payments-more", "12"),
    ])
    .await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(
        answer["problems"][0]["path"],
        "documents[1].spec.quota.requests.cpu"
    );
    let (status, answer) = apply(vec![request("load", "8")]).await;
    assert_eq!(status, 422, "{answer}");
    world.ready("payments").await;
    let role = json!({
        "apiVersion": "towpath.dev/v1", "kind": "EnvironmentRole",
        "metadata": { "name": "trial" }, "spec": {},
    });
    let all = vec![request("payments-load", "8"), role, team];
    let (status, answer) = apply(all.clone()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        outcomes(&answer),
        [
            "NamespaceRequest created",
            "EnvironmentRole created",
            "Team unchanged"
        ]
    );
    world.ready("payments").await;
    let load = world.namespace("payments", "payments-load").await;
    assert_eq!(load["spec"]["quota"]["requests"]["cpu"], "8");
    assert_eq!(
        load["spec"]["networkPolicies"]["allowIngress"][0]["fromNamespace"],
        "payments-dev"
    );
    let (_, answer) = apply(all).await;
    assert_eq!(
        outcomes(&answer),
        [
            "NamespaceRequest unchanged",
            "EnvironmentRole unchanged",
            "Team unchanged"
        ]
    );
}

/// A request for a namespace, as the team `payments` writes it.
fn request(name: &str, cpu: &str) -> Value {
    json!({
        "apiVersion": "platform.example.com/v1",
        "kind": "NamespaceRequest",
        "metadata": { "name": name },
        "spec": {
            "team": "payments",
            "description": "load tests",
            "quota": {
                "requests": { "cpu": cpu, "memory": "4Gi" },
                "limits": { "cpu": "16", "memory": "8Gi" },
            },
            "networkPolicies": {
                "defaultDeny": true,
                "allowIngress": [{ "fromNamespace": "payments-dev" }],
            },
        },
    })
}
