//! Within their quotas and allowances.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::eventually;

use crate::site::{
    work,
    world::{LONG, World},
};

#[tokio::test]
async fn a_namespace_keeps_to_its_quota_and_says_when_it_is_nearly_used_up() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let (status, answer) = world.deploy("payments-dev", "big", "2500m").await;
    assert_eq!(status, 422, "{answer}");
    let problem = &answer["problems"][0];
    assert_eq!(problem["rule"], "namespace/quota");
    assert_eq!(
        problem["message"],
        "namespace `payments-dev` would have 2500m of requests.cpu, and its quota is 2: big asks for 2500m, \
         the other workloads for 0, and 2 is left"
    );
    let (status, answer) = world.deploy("payments-dev", "hello", "1500m").await;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = world.deploy("payments-dev", "more", "600m").await;
    assert_eq!(status, 422, "{answer}");
    assert!(world.events("namespace.quota-warning").await.is_empty());
    // The same again is no more than there is.
    let (status, answer) = world.deploy("payments-dev", "hello", "1700m").await;
    assert_eq!(status, 202, "{answer}");
    let warned = eventually("the quota's end is near", LONG, || async {
        world.events("namespace.quota-warning").await.pop()
    })
    .await;
    assert_eq!(warned["data"]["parts"], json!(["requests.cpu"]));
    assert_eq!(warned["team"], "payments");
    // The team raises it by itself, up to its allowance.
    let path = "/v1/teams/payments/namespaces/payments-dev";
    let quota = |cpu: u64| {
        json!({ "quota": {
            "requests": { "cpu": cpu, "memory": "2Gi" }, "limits": { "cpu": cpu, "memory": "20Gi" },
        }})
    };
    let (status, answer) = world.ask(Method::PATCH, path, quota(21)).await;
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["problems"][0]["rule"], "namespace/allowance");
    let (status, answer) = world.ask(Method::PATCH, path, quota(4)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = world.deploy("payments-dev", "more", "600m").await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test]
async fn what_a_team_has_beside_its_namespaces_keeps_to_its_allowance() {
    let world = World::new(&[]).await;
    let amounts = |cpu: u64| json!({ "cpu": cpu, "memory": "8Gi" });
    let quota = json!({ "requests": amounts(2), "limits": amounts(4) });
    let allowance = json!({
        "namespaces": 3, "quota": { "requests": amounts(20), "limits": amounts(20) },
        "environments": quota,
    });
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"], "allowance": allowance }))
        .await;
    world.ready("payments").await;
    for name in ["pr-1", "pr-2"] {
        let body = json!({ "name": name, "team": "payments", "role": "dev" });
        let (status, made) = world.ask(Method::POST, "/v1/environments", body).await;
        assert_eq!(status, 201, "{made}");
    }
    // The namespace counts for itself.
    let (status, answer) = world.deploy("payments-dev", "hello", "1900m").await;
    assert_eq!(status, 202, "{answer}");
    let (status, answer) = world.deploy("pr-1", "hello", "1500m").await;
    assert_eq!(status, 202, "{answer}");
    assert!(world.events("team.quota-warning").await.is_empty());
    let (status, answer) = world.deploy("pr-2", "hello", "600m").await;
    assert_eq!(status, 422, "{answer}");
    let problem = &answer["problems"][0];
    assert_eq!(problem["rule"], "team/allowance");
    assert_eq!(
        problem["message"],
        "what team `payments` has beside its namespaces would have 2100m of requests.cpu, and its quota is \
         2: hello asks for 600m, the other workloads for 1500m, and 500m is left"
    );
    // The same again is no more than there is, and the end is told of once.
    for _ in 0..2 {
        let (status, answer) = world.deploy("pr-2", "hello", "100m").await;
        assert_eq!(status, 202, "{answer}");
    }
    let warned = world.events("team.quota-warning").await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0]["data"]["parts"], json!(["requests.cpu"]));
    assert_eq!(warned[0]["team"], "payments");
    let path = "/v1/environments/pr-1";
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 202);
    eventually("what has gone counts no more", LONG, || async {
        let (status, answer) = world.deploy("pr-2", "hello", "600m").await;
        assert!(matches!(status, 202 | 422), "{answer}");
        (status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_team_has_as_many_workloads_as_its_allowance_says_wherever_they_run() {
    let world = World::new(&[]).await;
    let amounts = json!({ "cpu": 20, "memory": "20Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let mut allowance = json!({ "namespaces": 3, "quota": quota, "workloads": 2 });
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"], "allowance": allowance }))
        .await;
    world.ready("payments").await;
    let body = json!({ "name": "pr-1", "team": "payments", "role": "dev" });
    let (status, made) = world.ask(Method::POST, "/v1/environments", body).await;
    assert_eq!(status, 201, "{made}");
    let (status, answer) = world.deploy("payments-dev", "hello", "100m").await;
    assert_eq!(status, 202, "{answer}");
    assert!(world.events("team.quota-warning").await.is_empty());
    let (status, answer) = world.deploy("pr-1", "hello", "100m").await;
    assert_eq!(status, 202, "{answer}");
    let warned = world.events("team.quota-warning").await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(warned[0]["data"]["parts"], json!(["workloads"]));
    assert_eq!(warned[0]["data"]["asked"], json!({ "workloads": 2 }));
    assert_eq!(warned[0]["data"]["allowance"], json!({ "workloads": 2 }));
    for environment in ["payments-dev", "pr-1"] {
        let (status, answer) = world.deploy(environment, "more", "100m").await;
        assert_eq!(status, 422, "{answer}");
        let problem = &answer["problems"][0];
        assert_eq!(problem["rule"], "team/allowance");
        assert_eq!(
            problem["message"],
            "team `payments` would have 3 workloads, and its allowance is 2: it has 2, and more would be new"
        );
        // A release of what is there is no other workload.
        let (status, answer) = world.deploy(environment, "hello", "200m").await;
        assert_eq!(status, 202, "{answer}");
    }
    // Who operates the platform says how many there may be.
    allowance["workloads"] = 3.into();
    let change = json!({ "allowance": allowance });
    let path = "/v1/platforms/teams/payments";
    let (status, answer) = world.ask(Method::PATCH, path, change).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = world.deploy("payments-dev", "more", "100m").await;
    assert_eq!(status, 202, "{answer}");
    // What goes makes room.
    let path = "/v1/environments/pr-1";
    assert_eq!(world.ask(Method::DELETE, path, Value::Null).await.0, 202);
    eventually("what has gone counts no more", LONG, || async {
        let (status, answer) = world.deploy("payments-dev", "other", "100m").await;
        assert!(matches!(status, 202 | 422), "{answer}");
        (status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_container_does_not_say_counts_as_its_namespace_has_it() {
    let world = World::new(&[]).await;
    world
        .onboard(json!({ "name": "payments", "environments": ["dev"] }))
        .await;
    world.ready("payments").await;
    let path = "/v1/teams/payments/namespaces/payments-dev";
    let change = async |body: Value| world.ask(Method::PATCH, path, body).await;
    let silent = async |name: &str| {
        let score = work::score(name, &json!({}), &json!({}));
        world.order("payments-dev", score).await
    };
    // A part of the quota is changed, and the rest stays.
    let part = json!({ "quota": { "requests": { "cpu": "150m" } } });
    let (status, changed) = change(part).await;
    assert_eq!(status, 200, "{changed}");
    let requests = json!({ "cpu": "150m", "memory": "2Gi" });
    assert_eq!(changed["spec"]["quota"]["requests"], requests);

    let (status, answer) = silent("hello").await;
    assert_eq!(status, 202, "{answer}");
    let warnings = answer["spec"]["plan"]["warnings"].to_string();
    let by_default = "hello.containers.main: requests 100m, 128Mi by default";
    assert!(warnings.contains(by_default), "{warnings}");
    let (status, answer) = silent("more").await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["problems"][0]["rule"], "namespace/quota");
    assert_eq!(
        answer["problems"][0]["message"],
        "namespace `payments-dev` would have 200m of requests.cpu, and its quota is 150m: more (by default) asks \
         for 100m, the other workloads for 100m, and 50m is left"
    );
    eventually("the namespace says what counts", LONG, || async {
        let namespace = world.namespace("payments", "payments-dev").await;
        let usage = &namespace["status"]["usage"];
        let counts = usage["asked"]["requests"]["cpu"] == "100m";
        (counts && usage["unboundedContainers"] == 1).then_some(())
    })
    .await;

    // What counts is the team's to say, and may not be nothing.
    let amounts = |cpu: &str, memory: &str| json!({ "cpu": cpu, "memory": memory });
    let none = json!({ "containerDefaults": { "requests": amounts("0", "64Mi") } });
    let (status, answer) = change(none).await;
    assert_eq!(status, 422, "{answer}");
    let problem = &answer["problems"][0];
    assert_eq!(problem["path"], "containerDefaults.requests.cpu");
    let small = json!({ "containerDefaults": {
        "requests": amounts("50m", "64Mi"), "limits": amounts("2", "1Gi"),
    }});
    let (status, answer) = change(small).await;
    assert_eq!(status, 200, "{answer}");
    // A limit that counts is one: the engine is handed it.
    let (status, answer) = silent("more").await;
    assert_eq!(status, 202, "{answer}");
    let said = &answer["spec"]["workloads"]["more"]["containers"]["main"]["resources"];
    let expected = json!({ "requests": amounts("50m", "64Mi"), "limits": amounts("2", "1Gi") });
    assert_eq!(said, &expected);
    let warnings = answer["spec"]["plan"]["warnings"].to_string();
    assert!(warnings.contains("limits 2, 1Gi by default"), "{warnings}");

    // Where nothing may be asked for, nothing new is deployed.
    let (status, answer) = change(json!({ "quota": { "requests": { "cpu": 0 } } })).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = silent("other").await;
    assert_eq!(status, 422, "{answer}");
}
