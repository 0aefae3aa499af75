//! One team deploys a hundred workloads at once; another's single deployment is not behind them. With
//! `--nocapture` it tells how long each took.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::time::{Duration, Instant};

use client::Client;
use delivery::{
    api::{NewDeployment, NewEnvironment},
    model::{Deployment, DeploymentPhase},
};
use kernel::Resource;
use serde_json::json;
use site::{Site, work};

const LONG: Duration = Duration::from_mins(3);

/// Workloads that the one team deploys at once.
const MANY: usize = 100;

async fn environment(client: &Client, name: &str, team: &str) {
    let new = NewEnvironment {
        name: name.into(),
        role: Some("dev".into()),
        team: Some(team.into()),
        ttl_seconds: None,
        clone_from: None,
        engine: None,
        labels: Default::default(),
    };
    client.create_environment(&new).await.unwrap();
}

async fn deploy(client: &Client, to: &str, names: &[String]) -> Resource<Deployment> {
    let score = |name: &String| {
        let score = work::score(name, &json!({ "GREETING": name }), &json!({}));
        (name.clone(), score)
    };
    let new = NewDeployment {
        workloads: names.iter().map(score).collect(),
        timeout_seconds: Some(120),
        ..NewDeployment::default()
    };
    client.deploy(to, &new).await.unwrap()
}

async fn succeeds(client: &Client, deployment: &Resource<Deployment>) {
    let ended = work::ended(client, deployment, LONG).await;
    let status = &ended.status;
    assert_eq!(status.phase, DeploymentPhase::Succeeded, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_not_behind_a_hundred_of_another_team() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    environment(client, "crowd", "crowd").await;
    environment(client, "lone", "lone").await;
    let begun = Instant::now();
    let quiet = deploy(client, "lone", &["first".into()]).await;
    succeeds(client, &quiet).await;
    let alone = begun.elapsed();

    let names: Vec<String> = (0..MANY).map(|n| format!("w{n}")).collect();
    let begun = Instant::now();
    let crowd = deploy(client, "crowd", &names).await;
    let accepted = Instant::now();
    let lone = deploy(client, "lone", &["second".into()]).await;
    succeeds(client, &lone).await;
    let beside = accepted.elapsed();
    succeeds(client, &crowd).await;
    let all = begun.elapsed();

    let events = work::events(client).await;
    let at = |what: &str, scope: &str| {
        let ours = |event: &&kernel::Event| {
            let subject = format!("Deployment/{scope}/{}", lone.meta.name);
            event.kind == format!("dev.towpath.{what}") && event.subject == subject
        };
        events.iter().rfind(ours).map(|event| event.seq)
    };
    let (asked, ready) = (
        at("deployment.requested", "lone"),
        at("deployment.succeeded", "lone"),
    );
    let of_crowd: Vec<i64> = events
        .iter()
        .filter(|event| event.kind == "dev.towpath.workload.ready" && event.team == "crowd")
        .map(|event| event.seq)
        .collect();
    assert!(asked.is_some() && asked < ready, "{asked:?} {ready:?}");
    let before = of_crowd
        .iter()
        .filter(|seq| asked < Some(**seq) && Some(**seq) < ready)
        .count();
    // In strict order all of them were ready first. How many go on beside it is for the machine to say, within that.
    assert!(of_crowd.len() >= MANY, "{}", of_crowd.len());
    assert!(before * 3 < MANY * 2, "{before} of {MANY} were ready first");
    println!(
        "alone: {alone:?}; beside {MANY} of another team: {beside:?}, of which {before} were ready first; \
         the {MANY}: {all:?}"
    );
}
