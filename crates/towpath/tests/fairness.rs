//! One team deploys a hundred workloads at once; another's single deployment is not behind them. With
//! `--nocapture` it tells how long each took.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::time::Instant;

use client::Client;
use delivery::{
    api::{NewDeployment, NewEnvironment},
    model::{Deployment, DeploymentPhase},
};
use kernel::Resource;
use serde_json::json;
use site::{Site, work};

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
    let ended = work::ended(client, deployment).await;
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
    let subject = format!("Deployment/lone/{}", lone.meta.name);
    let asked = events
        .iter()
        .find(|event| event.kind == "dev.towpath.deployment.requested" && event.subject == subject)
        .expect("it was asked for")
        .seq;
    // Each start is a turn of the platform's. When what was started is ready is for the machine to say.
    let starts_of = |team: &str| -> Vec<i64> {
        let started = |event: &&kernel::Event| {
            event.kind == "dev.towpath.workload.started" && event.team == team
        };
        events
            .iter()
            .filter(started)
            .map(|event| event.seq)
            .collect()
    };
    let (of_crowd, of_lone) = (starts_of("crowd"), starts_of("lone"));
    assert!(of_crowd.len() >= MANY, "{}", of_crowd.len());
    let started = of_lone.into_iter().find(|seq| *seq > asked);
    let started = started.expect("it was started");
    let turn = asked..started;
    let before = of_crowd.iter().filter(|seq| turn.contains(*seq)).count();
    // In strict order all of them were started first.
    assert!(
        before * 3 < MANY * 2,
        "{before} of {MANY} were started first"
    );
    println!(
        "alone: {alone:?}; beside {MANY} of another team: {beside:?}, of which {before} were started first; \
         the {MANY}: {all:?}"
    );
}
