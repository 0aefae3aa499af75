//! What deploys to a namespace, and ends with it.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use reqwest::Method;
use serde_json::{Value, json};
use site::{
    work,
    world::{LONG, World},
};
use testkit::eventually;

const NAMESPACES: &str = "/v1/teams/payments/namespaces";
const ACCOUNTS: &str = "/v1/identity/teams/payments/service-accounts";

impl World {
    async fn make_namespace(&self, name: &str) {
        eventually(&format!("{name} is made"), LONG, || async {
            let (status, answer) = self
                .ask(Method::POST, NAMESPACES, json!({ "name": name }))
                .await;
            assert!(matches!(status, 202 | 409), "{answer}");
            (status == 202).then_some(())
        })
        .await;
        self.there(&format!("{ACCOUNTS}/deploy-{name}"), true).await;
        eventually(&format!("{name} is ready"), LONG, || async {
            let namespace = self.namespace("payments", name).await;
            (namespace["status"]["ready"] == true).then_some(())
        })
        .await;
    }

    async fn there(&self, path: &str, is_there: bool) {
        eventually(&format!("{path} is there: {is_there}"), LONG, || async {
            let (status, _) = self.ask(Method::GET, path, Value::Null).await;
            (status == if is_there { 200 } else { 404 }).then_some(())
        })
        .await;
    }

    /// Deploys with this token.
    async fn deploy_as(&self, token: &str, environment: &str) -> (u16, Value) {
        let score = work::score("hello", &json!({}), &json!({}));
        let mut order = serde_json::to_value(work::deployment(score)).unwrap();
        order["createEnvironment"] = Value::Null;
        let path = format!("/v1/environments/{environment}/deployments");
        self.ask_as(token, Method::POST, &path, order).await
    }

    async fn end_namespace(&self, name: &str) {
        let path = format!("{NAMESPACES}/{name}?confirm={name}");
        let (status, answer) = self.ask(Method::DELETE, &path, Value::Null).await;
        assert_eq!(status, 202, "{answer}");
    }
}

#[tokio::test]
async fn what_deploys_to_a_namespace_ends_with_it_whatever_happens_meanwhile() {
    let mut world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    world.make_namespace("payments-load").await;
    let body = json!({ "kind": "deploy", "environment": "payments-load" });
    let own = format!("{ACCOUNTS}/ci");
    assert_eq!(world.ask(Method::PUT, &own, body).await.0, 200);
    let mut keys = Vec::new();
    for account in ["deploy-payments-load", "ci", "deploy-payments-dev"] {
        keys.push(world.key("payments", account).await);
    }
    let mut tokens = Vec::new();
    for (client, secret) in &keys {
        tokens.push(world.token(client, secret).await.unwrap());
    }
    for token in &tokens[..2] {
        let (status, answer) = world.deploy_as(token, "payments-load").await;
        assert_eq!(status, 202, "{answer}");
        let (status, answer) = world.deploy_as(token, "payments-dev").await;
        assert_eq!(status, 403, "{answer}");
        assert_eq!(
            answer["detail"],
            "this credential deploys to `payments-load`, and not to `payments-dev`"
        );
        assert_eq!(answer["problems"][0]["rule"], "authz/deploy-credential");
        let nowhere = world.deploy_as(token, "no-such").await;
        assert_eq!(nowhere.0, 403, "{}", nowhere.1);
    }
    // Its environment made anew is the same namespace's.
    let before = world.get("/v1/environments/payments-load").await;
    let path = "/v1/environments/payments-load";
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 202);
    eventually("it is made anew", LONG, || async {
        let now = world.get(path).await;
        let is_new = now["metadata"]["uid"] != before["metadata"]["uid"];
        (is_new && now["metadata"]["uid"].is_string()).then_some(())
    })
    .await;
    let (status, answer) = world.deploy_as(&tokens[0], "payments-load").await;
    assert_eq!(status, 202, "{answer}");

    world.end_namespace("payments-load").await;
    world.restart().await;
    for account in ["deploy-payments-load", "ci"] {
        world.there(&format!("{ACCOUNTS}/{account}"), false).await;
    }
    world
        .there(&format!("{NAMESPACES}/payments-load"), false)
        .await;
    // What is made anew under the name is deployed to by nothing from before.
    world.make_namespace("payments-load").await;
    for (n, (client, secret)) in keys[..2].iter().enumerate() {
        let (status, answer) = world.deploy_as(&tokens[n], "payments-load").await;
        assert_eq!(status, 401, "{answer}");
        let refused = world.token(client, secret).await.unwrap_err();
        assert_eq!(refused["error"], "invalid_client");
    }
    world.there(&own, false).await;
    let (client, secret) = world.key("payments", "deploy-payments-load").await;
    let token = world.token(&client, &secret).await.unwrap();
    assert_eq!(world.deploy_as(&token, "payments-load").await.0, 202);
    let (status, answer) = world.deploy_as(&tokens[2], "payments-dev").await;
    assert_eq!(status, 202, "the other namespace's goes on: {answer}");
}
