//! Who may reach what is in a namespace, through the gateway of a whole platform.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use reqwest::Method;
use serde_json::{Value, json};
use site::{
    work,
    world::{LONG, World},
};
use testkit::eventually;

impl World {
    /// Runs the test workload in an environment, at the host `NAME.ENVIRONMENT.localhost`.
    async fn serve(&self, environment: &str, name: &str) {
        let host = format!("{name}.{environment}.localhost");
        let route = json!({ "host": host, "path": "/", "port": "www" });
        let variables = json!({
            "GREETING": format!("{name} greets"),
            "CALLS": format!("127.0.0.1:{}", self.site.gateway),
        });
        let resources = json!({ "way": { "type": "route", "params": route } });
        let score = work::score(name, &variables, &resources);
        let (status, answer) = self.order(environment, score).await;
        assert_eq!(status, 202, "{answer}");
        eventually(&format!("{host} answers"), LONG, || async {
            (self.site.get(&host).await == Ok((200, format!("{name} greets")))).then_some(())
        })
        .await;
    }

    /// What the workload at `from` is answered at the host `to`: status, connection, body.
    async fn call(&self, from: &str, to: &str) -> (u16, String, String) {
        let url = format!("http://127.0.0.1:{}/call/{to}", self.site.gateway);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).header("host", from).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let mut words = text.splitn(3, ' ').map(str::to_owned);
        let status = words.next().unwrap().parse();
        let status = status.unwrap_or_else(|_| panic!("{from} calls {to}: {text}"));
        (status, words.next().unwrap(), words.next().unwrap())
    }

    /// Waits until the workload at `from` is answered so at the host `to`.
    async fn comes_to(&self, from: &str, to: &str, status: u16) -> (String, String) {
        eventually(&format!("{from} gets {status} at {to}"), LONG, || async {
            let (now, connection, body) = self.call(from, to).await;
            (now == status).then_some((connection, body))
        })
        .await
    }

    async fn lets_in(&self, policies: Value) {
        let path = "/v1/teams/payments/namespaces/payments-dev";
        let body = json!({ "networkPolicies": policies });
        let (status, answer) = self.ask(Method::PATCH, path, body).await;
        assert_eq!(status, 200, "{answer}");
    }
}

const API: &str = "api.payments-dev.localhost";
const BESIDE: &str = "beside.payments-dev.localhost";
const FINDS: &str = "finds.search-dev.localhost";
const LOOSE: &str = "loose.pr-7.localhost";

#[tokio::test]
async fn workloads_of_other_namespaces_reach_what_lets_them_in() {
    let world = World::new(&[]).await;
    for team in ["payments", "search"] {
        world
            .onboard(json!({ "name": team, "environments": ["dev"] }))
            .await;
    }
    for team in ["payments", "search"] {
        world.ready(team).await;
    }
    let beside = json!({ "name": "pr-7", "team": "payments", "role": "dev" });
    let (status, made) = world.ask(Method::POST, "/v1/environments", beside).await;
    assert_eq!(status, 201, "{made}");
    for (environment, name) in [
        ("payments-dev", "api"),
        ("payments-dev", "beside"),
        ("search-dev", "finds"),
        ("pr-7", "loose"),
    ] {
        world.serve(environment, name).await;
    }
    assert_eq!(world.call(FINDS, API).await.0, 200, "nothing is said yet");

    world.lets_in(json!({ "defaultDeny": true })).await;
    let (connection, body) = world.comes_to(FINDS, API, 403).await;
    assert_eq!(connection, "kept", "what holds is decided for each request");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        problem["detail"],
        "workloads of `search-dev` may not reach namespace `payments-dev`"
    );
    let remedy = problem["remedy"].as_str().unwrap();
    assert!(remedy.contains("fromNamespace: search-dev"), "{remedy}");
    // Its own may, whoever is outside may, and what else the team has may not.
    assert_eq!(world.call(BESIDE, API).await.0, 200);
    assert_eq!(world.site.get(API).await, Ok((200, "api greets".into())));
    assert_eq!(world.call(LOOSE, API).await.0, 403);
    // What lets everybody in still does.
    assert_eq!(world.call(BESIDE, FINDS).await.0, 200);

    let both = json!({ "defaultDeny": true, "allowIngress": [{ "fromNamespace": "search-dev" }] });
    world.lets_in(both).await;
    let (connection, body) = world.comes_to(FINDS, API, 200).await;
    assert_eq!((connection.as_str(), body.as_str()), ("kept", "api greets"));
    assert_eq!(world.call(LOOSE, API).await.0, 403);
    world.lets_in(json!({ "defaultDeny": true })).await;
    world.comes_to(FINDS, API, 403).await;
    for _ in 0..50 {
        assert_eq!(world.call(FINDS, API).await.0, 403);
    }
    let told = eventually("both are told of", LONG, || async {
        let told = world.events("namespace.ingress-refused").await;
        (told.len() >= 2).then_some(told)
    })
    .await;
    let mut from: Vec<_> = told.iter().map(|one| &one["data"]["from"]).collect();
    from.sort_by_key(|name| name.as_str());
    assert_eq!(
        from,
        ["pr-7", "search-dev"],
        "one for each, not for each request"
    );
    for one in &told {
        assert_eq!(one["team"], "payments");
        assert_eq!(one["subject"], "Namespace/payments/payments-dev");
        assert_eq!(one["outcome"], "fail");
    }
}
