//! `kill -9` at any moment of a deployment or a teardown: on restart the platform converges, nothing
//! is made twice, nothing is left behind, and no secret is lost.

#![allow(
    clippy::print_stdout,
    reason = "what was compared is part of the result"
)]

mod logins;
#[path = "../site/mod.rs"]
mod site;

use std::time::Duration;

use client::Client;
use delivery::{
    api::{CreateEnvironment, Data, NewDeployment},
    model::DeploymentPhase,
};
use rand::Rng as _;
use serde_json::{Value, json};
use site::{Site, listed::Servers};

/// How often the platform is killed, unless `TOWPATH_KILL_ROUNDS` says otherwise.
const ROUNDS: u32 = 100;

/// After so many kills the platform is left alone, and everything is compared.
const COMPARED_EVERY: u32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_converges() {
    let rounds = std::env::var("TOWPATH_KILL_ROUNDS").map_or(ROUNDS, |text| {
        text.parse().expect("TOWPATH_KILL_ROUNDS is a number")
    });
    let servers = Servers::find().await;
    let data = tempfile::tempdir().expect("a directory");
    let site = Site::new(data.path());
    let environment = format!("k{:06x}", rand::rng().random::<u32>() & 0xff_ffff);
    let mut there = false;
    let (mut deployments, mut teardowns) = (0, 0);
    let running = site.start().await;
    running
        .client()
        .apply(bundle())
        .await
        .expect("the definition is accepted");
    running.kill();
    for round in 1..=rounds {
        let running = site.start().await;
        // Compared after deployments and after teardowns, in turn; a mixture in between.
        let teardown = there
            && match round % (2 * COMPARED_EVERY) {
                0 => true,
                COMPARED_EVERY => false,
                _ => rand::rng().random_ratio(1, 4),
            };
        let asked = if teardown {
            running
                .client()
                .delete_environment(&environment, Data::Remove, None)
                .await
                .map(drop)
        } else {
            let new = deployment(&servers, &format!("round {round}"));
            running.client().deploy(&environment, &new).await.map(drop)
        };
        match asked {
            Ok(()) => {
                there = !teardown;
                deployments += u32::from(!teardown);
                teardowns += u32::from(teardown);
            }
            // The one before is still being worked on: killing that is as good.
            Err(error) => println!("round {round}: {error}"),
        }
        let moment = Duration::from_millis(rand::rng().random_range(0..700));
        tokio::time::sleep(moment).await;
        running.kill();
        if round % COMPARED_EVERY == 0 {
            there = compare(&site, &servers, &environment).await;
        }
    }
    let running = site.start().await;
    finish(running.client(), &environment, &servers, &site).await;
    println!("{rounds} kills: {deployments} deployments and {teardowns} teardowns were accepted");
    // A kill before anything was accepted proves nothing.
    assert!(deployments >= rounds / 3, "{deployments} of {rounds}");
    assert!(teardowns >= rounds / 20, "{teardowns} of {rounds}");
}

/// A resource that needs another one, and that a third comes along with.
fn bundle() -> Vec<Value> {
    vec![json!({
        "apiVersion": "towpath.dev/v1",
        "kind": "ResourceDefinition",
        "metadata": { "name": "bundle" },
        "spec": {
            "type": "bundle",
            "provisioner": "template",
            "params": { "outputs": { "bucket": "${resources.files.bucket}" } },
            "resources": { "files": { "type": "s3" } },
            "coprovision": [{ "type": "volume", "order": "after" }],
        },
    })]
}

/// How many of a sort there are while the environment is there: at least, and at the most.
fn expected(sort: &str) -> (usize, usize) {
    match sort {
        // Postgres has an owner role beside the login.
        "role" => (1, 2),
        // The workload's own, and the bundle's.
        "bucket" | "volume" => (2, 2),
        _ => (1, 1),
    }
}

/// Lets the platform converge, and compares what the servers list with what should be there. Says
/// whether the environment is there.
async fn compare(site: &Site, servers: &Servers, environment: &str) -> bool {
    let running = site.start().await;
    let there = settled(running.client(), site, environment).await;
    let listed = servers.listed(&site.data, environment).await;
    println!("there: {there}, listed: {listed:?}");
    for (sort, names) in &listed {
        let (least, most) = if there { expected(sort) } else { (0, 0) };
        assert!(
            names.len() <= most && names.len() >= least,
            "{sort}: {names:?}, but the environment is there: {there}\n{}",
            site.log()
        );
    }
    if there {
        let host = format!("hello.{environment}.localhost");
        let (status, body) = site.get(&host).await.expect("the gateway answers");
        assert_eq!(status, 200, "{body}\n{}", site.log());
        let used = logins::use_all(running.client(), environment).await;
        println!("logged in: {used:?}");
        let types = servers.types().into_iter();
        for sort in types.filter(|sort| *sort != "volume") {
            // The bundle has a bucket, too.
            let expected = if sort == "s3" { 2 } else { 1 };
            assert_eq!(used.get(sort), Some(&expected), "{sort}");
        }
    }
    running.kill();
    there
}

/// Waits until nothing is under way. Says whether the environment is there.
async fn settled(client: &Client, site: &Site, environment: &str) -> bool {
    let what = "everything settles";
    testkit::eventually(what, Duration::from_mins(1), || async {
        let found = match client.environment(environment).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Some(false),
            Err(error) => panic!("{error}\n{}", site.log()),
        };
        if found.meta.deleting.is_some() {
            return None;
        }
        let all = client::every(async |page| client.deployments(environment, &page).await);
        let all = all.await.expect("deployments are listed");
        let newest = all.iter().max_by_key(|deployment| deployment.meta.uid)?;
        match newest.status.phase {
            DeploymentPhase::Succeeded => {}
            phase if phase.is_final() => panic!("{phase:?}: {:?}", newest.status.failure),
            _ => return None,
        }
        let summary = client
            .environment_summary(environment)
            .await
            .expect("a summary");
        let workload = client
            .workload(environment, "hello")
            .await
            .expect("the workload");
        let alone = workload.status.releases.len() == 1;
        (summary.remaining.is_empty() && alone).then_some(true)
    })
    .await
}

/// Ends the environment, and finds nothing of it anywhere.
async fn finish(client: &Client, environment: &str, servers: &Servers, site: &Site) {
    if settled(client, site, environment).await {
        client
            .delete_environment(environment, Data::Remove, None)
            .await
            .expect("it may go");
    }
    testkit::eventually(
        "the environment is gone",
        Duration::from_mins(1),
        || async {
            let found = client.environment(environment).await;
            found.is_err_and(|error| error.is_not_found()).then_some(())
        },
    )
    .await;
    for (sort, names) in servers.listed(&site.data, environment).await {
        assert!(names.is_empty(), "left behind, {sort}: {names:?}");
    }
}

fn deployment(servers: &Servers, greeting: &str) -> NewDeployment {
    let mut resources = serde_json::Map::new();
    for resource_type in servers.types() {
        resources.insert(
            format!("a-{resource_type}"),
            json!({ "type": resource_type }),
        );
    }
    resources.insert("bundle".into(), json!({ "type": "bundle" }));
    let mut variables = json!({ "GREETING": greeting, "BUNDLE": "${resources.bundle.bucket}" });
    if servers.types().contains(&"postgres") {
        variables["DATABASE_URL"] = "${resources.a-postgres.url}".into();
    }
    let workload: Value = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "hello" },
        "service": { "ports": { "www": { "port": 80, "targetPort": 8080 } } },
        "containers": { "main": {
            "image": site::hello(),
            "variables": variables,
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 } },
        }},
        "resources": resources,
    });
    NewDeployment {
        workloads: [("hello".to_owned(), workload)].into(),
        timeout_seconds: Some(60),
        create_environment: Some(CreateEnvironment {
            role: Some("dev".into()),
            ttl_seconds: None,
        }),
        ..NewDeployment::default()
    }
}
