//! The register of tools on a whole platform: applied, reminded of, and told when somebody leaves.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::world::{LONG, World};

#[tokio::test]
async fn a_tool_is_registered_its_credentials_are_watched_and_it_goes() {
    let world = World::new(&[]).await;
    world.people("payments", &["ada".into()]).await;
    world
        .onboard(json!({ "name": "payments", "environments": [] }))
        .await;
    let tool = json!({
        "apiVersion": "towpath.dev/v1", "kind": "Tool", "metadata": { "name": "tracker" },
        "spec": {
            "title": "Issues", "owner": { "group": "project-office" },
            "authentication": "password", "authorization": "manual", "api": false,
            "credentials": {
                "ada": {
                    "kind": "personal", "person": "local:ada", "owner": "payments",
                    "kept": { "secret": "tracker/ada" }, "expires": "2020-01-31T00:00:00Z",
                },
            },
        },
    });
    let apply = async || {
        let body = json!({ "documents": [tool] });
        world.ask(Method::POST, "/v1/apply", body).await
    };
    let (status, answer) = apply().await;
    assert_eq!(
        (status, &answer["items"][0]["outcome"]),
        (200, &json!("created")),
        "{answer}"
    );
    let (_, answer) = apply().await;
    assert_eq!(answer["items"][0]["outcome"], "unchanged", "{answer}");
    // By the machine's time this one is long over.
    eventually("its owner is told", LONG, || async {
        (world.events("tool.credential-expired").await.len() == 1).then_some(())
    })
    .await;
    let told = world.events("tool.credential-expired").await.remove(0);
    assert_eq!(told["team"], "payments", "{told}");
    let path = "/v1/platforms/tools/tracker";
    let (_, shown) = world.ask(Method::GET, path, Value::Null).await;
    let found = shown["status"]["findings"].as_array().unwrap().iter();
    let rules: Vec<_> = found.map(|one| one["rule"].as_str().unwrap()).collect();
    let expected = [
        "manual-only",
        "own-login",
        "personal-credential",
        "credential-expired",
    ];
    assert_eq!(rules, expected);
    // What hangs on a person names it: for all, for the platform's engineers, and for the team's lead.
    for path in [
        "/v1/identity/automation",
        "/v1/identity/automation/local:ada",
        "/v1/teams/payments/departures/local:ada",
    ] {
        let (status, left) = world.ask(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{left}");
        let expected = json!([{
            "tool": "tracker", "credential": "ada", "person": "local:ada", "team": "payments",
        }]);
        assert_eq!(left["tools"], expected, "{path}");
    }
    let (_, other) = world
        .ask(
            Method::GET,
            "/v1/identity/automation/local:bob",
            Value::Null,
        )
        .await;
    assert_eq!(other["tools"], json!([]));
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 204);
    assert_eq!(world.ask(Method::GET, path, Value::Null).await.0, 404);
    for what in ["tool.created", "tool.removed"] {
        assert_eq!(world.events(what).await.len(), 1, "{what}");
    }
}
