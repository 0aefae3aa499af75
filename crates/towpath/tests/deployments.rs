//! Deployments that change what a workload needs, that fail, that overtake each other.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::time::Duration;

use client::Client;
use delivery::{
    api::{CreateEnvironment, Data, NewDeployment, Rollback},
    model::{Deployment, DeploymentPhase},
};
use kernel::Resource;
use serde_json::{Value, json};
use site::{Site, work};

const LONG: Duration = Duration::from_mins(1);

/// A workload that greets, with `changes` merged into it.
fn hello(name: &str, greeting: &str, resources: Value) -> (String, Value) {
    let workload = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": name },
        "service": { "ports": { "www": { "port": 80, "targetPort": 8080 } } },
        "containers": { "main": {
            "image": site::hello(),
            "variables": { "GREETING": greeting },
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 } },
        }},
        "resources": resources,
    });
    (name.to_owned(), workload)
}

/// The same, which never gets ready.
fn broken(name: &str) -> (String, Value) {
    let (name, mut workload) = hello(name, "broken", json!({}));
    workload["containers"]["main"]["image"] = "/bin/sh".into();
    workload["containers"]["main"]["args"] = json!(["-c", "echo the reason; exit 3"]);
    (name, workload)
}

/// Seconds for one that works.
const AMPLE: u64 = 60;

/// Seconds for one that never will: enough to get as far as it does.
const SHORT: u64 = 10;

async fn deploy(
    client: &Client,
    workloads: Vec<(String, Value)>,
    timeout_seconds: u64,
) -> Resource<Deployment> {
    let new = NewDeployment {
        workloads: workloads.into_iter().collect(),
        timeout_seconds: Some(timeout_seconds),
        create_environment: Some(CreateEnvironment::default()),
        ..NewDeployment::default()
    };
    client.deploy("dev", &new).await.unwrap()
}

async fn succeeds(client: &Client, workloads: Vec<(String, Value)>) -> Resource<Deployment> {
    let ended = work::ended(client, &deploy(client, workloads, AMPLE).await).await;
    assert_eq!(
        ended.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        ended.status
    );
    ended
}

async fn nodes(client: &Client) -> Vec<String> {
    let all = client::every(async |page| client.resources("dev", &page).await)
        .await
        .unwrap();
    all.iter()
        .map(|instance| instance.spec.node.to_string())
        .collect()
}

#[tokio::test]
async fn what_is_no_longer_asked_for_goes_and_may_come_again() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let with = || {
        vec![hello(
            "hello",
            "with",
            json!({ "extra": { "type": "dns" } }),
        )]
    };
    for _ in 0..2 {
        succeeds(client, with()).await;
        assert_eq!(nodes(client).await, ["dns.default#hello.extra"]);
        succeeds(client, vec![hello("hello", "without", json!({}))]).await;
        testkit::eventually("it goes", LONG, || async {
            nodes(client).await.is_empty().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_environment_whose_resources_refer_to_each_other_ends() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let resources = json!({
        "dns": { "type": "dns", "params": { "host": "shop.dev.localhost" } },
        "route": { "type": "route", "params": {
            "host": "${resources.dns.host}", "path": "/api", "port": "www",
        }},
    });
    succeeds(client, vec![hello("hello", "routed", resources)]).await;
    let url = format!("http://127.0.0.1:{}/api/x", site.gateway);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http
        .get(url)
        .header("host", "shop.dev.localhost")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), "routed");
    client
        .delete_environment("dev", Data::Remove, None)
        .await
        .unwrap();
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment("dev").await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_failed_deployment_returns_all_its_workloads_while_the_last_good_ones_serve() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let good = succeeds(
        client,
        vec![
            hello("hello", "good", json!({})),
            hello("other", "good", json!({})),
        ],
    )
    .await;
    let failed = deploy(
        client,
        vec![hello("hello", "new", json!({})), broken("other")],
        SHORT,
    )
    .await;
    let failed = work::ended(client, &failed).await;
    assert_eq!(failed.status.phase, DeploymentPhase::RolledBack);
    let failure = failed.status.failure.unwrap();
    assert_eq!(failure.subject, "workload other");
    assert_eq!(failure.returned_to, Some(good.meta.name.clone()));
    assert!(
        failure.log.iter().any(|line| line.contains("the reason")),
        "{failure:?}"
    );
    for workload in ["hello", "other"] {
        let status = client.workload("dev", workload).await.unwrap().status;
        let serves = status.active_deployment;
        assert_eq!(serves.as_ref(), Some(&good.meta.name), "{workload}");
        testkit::eventually("the good one serves", LONG, || async {
            let answer = site.get(&format!("{workload}.dev.localhost")).await;
            let one = client.workload("dev", workload).await.unwrap();
            let settled = one.status.releases.len() == 1;
            (settled && answer == Ok((200, "good".to_owned()))).then_some(())
        })
        .await;
        let workload = client.workload("dev", workload).await.unwrap();
        assert_eq!(workload.spec.deployment, good.meta.name);
    }
    assert_eq!(
        site.processes("dev").len(),
        2,
        "nothing of the failed release is left"
    );
}

#[tokio::test]
async fn a_route_leads_to_the_old_port_until_the_new_release_serves() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    succeeds(client, vec![hello("hello", "good", json!({}))]).await;
    let (name, mut renamed) = broken("hello");
    renamed["service"] = json!({ "ports": { "http": { "port": 81, "targetPort": 8080 } } });
    let failed = deploy(client, vec![(name, renamed)], SHORT).await;
    while !client
        .deployment("dev", &failed.meta.name)
        .await
        .unwrap()
        .status
        .phase
        .is_final()
    {
        assert_eq!(
            site.get("hello.dev.localhost").await,
            Ok((200, "good".to_owned()))
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        site.get("hello.dev.localhost").await,
        Ok((200, "good".to_owned()))
    );
}

#[tokio::test]
async fn a_rollback_returns_to_the_deployment_before() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    for greeting in ["first", "second"] {
        succeeds(client, vec![hello("hello", greeting, json!({}))]).await;
    }
    let back = client.rollback("dev", &Rollback::default()).await.unwrap();
    let back = work::ended(client, &back).await;
    assert_eq!(back.status.phase, DeploymentPhase::Succeeded);
    assert_eq!(back.spec.rollback_to.as_deref(), Some("d-1"));
    assert_eq!(
        site.get("hello.dev.localhost").await,
        Ok((200, "first".to_owned()))
    );

    for present in ["d-1", "d-3"] {
        let again = site
            .cli(&["rollback", "--env", "dev", "--to", present])
            .await;
        assert_eq!(again.code, 6, "{again:?}");
        let told = format!("deployment `{present}` already runs in environment `dev`");
        assert!(again.err.contains(&told), "{again:?}");
    }

    // A deployment in place of the workload: what is told can be pasted, and is about the same environment.
    let led = site.cli(&["rollback", "--env", "dev", "d-1"]).await;
    assert_eq!(led.code, 4, "{led:?}");
    let command = "`towpath rollback --env dev --to d-1`";
    assert!(led.err.contains(command), "{led:?}");
    let nowhere = site.cli(&["rollback", "--env", "dev", "d-77"]).await;
    assert_eq!(nowhere.code, 4, "{nowhere:?}");
    assert!(!nowhere.err.contains("--to"), "{nowhere:?}");

    let mistyped = ["logs", "hello", "--env", "dev", "--container", "mian"];
    let mistyped = site.cli(&mistyped).await;
    assert_eq!((mistyped.code, mistyped.out.as_str()), (4, ""));
    assert!(mistyped.err.contains("it has `main`"), "{mistyped:?}");
}

#[tokio::test]
async fn a_new_release_takes_over_with_no_failed_request() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    succeeds(client, vec![hello("hello", "0", json!({}))]).await;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let url = format!("http://127.0.0.1:{}/", site.gateway);
    let load = tokio::spawn(async move {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut answered = 0u32;
        while !*stopped.borrow_and_update() {
            for method in [reqwest::Method::GET, reqwest::Method::POST] {
                let request = http
                    .request(method, &url)
                    .header("host", "hello.dev.localhost");
                let answer = request.send().await.expect("it is answered");
                assert_eq!(answer.status(), 200);
                answered += 1;
            }
        }
        answered
    });
    for release in 1..=8 {
        succeeds(
            client,
            vec![hello("hello", &release.to_string(), json!({}))],
        )
        .await;
    }
    stop.send(true).unwrap();
    let answered = load.await.unwrap();
    assert!(answered > 100, "{answered} requests are no load");
}
