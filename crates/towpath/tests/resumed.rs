//! Servers that Towpath started are looked after from the platform's start on, although nobody asks
//! for anything.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::time::Duration;

use delivery::model::DeploymentPhase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use site::{Site, work};

/// Before the reconcilers would look at the instance by themselves.
const SOON: Duration = Duration::from_secs(20);

/// The Redis on `port`, by the title that it gives itself.
fn redis(port: &str) -> Option<Pid> {
    let title = format!("redis-server 127.0.0.1:{port}");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            line.contains(&title).then(|| Pid::from_raw(pid)).flatten()
        })
}

#[tokio::test]
async fn a_server_that_died_while_the_platform_was_away_is_started_again() {
    let found = testkit::servers::program("redis-server");
    if testkit::servers::require("redis", found).is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(directory.path());
    let running = site.start().await;
    let score = work::score(
        "cached",
        &json!({ "GREETING": "${resources.cache.port}" }),
        &json!({ "cache": { "type": "redis", "params": { "isolation": "server" } } }),
    );
    let client = running.client();
    let deployment = client
        .deploy("dev", &work::deployment(score))
        .await
        .unwrap();
    let ended = work::ended(client, &deployment).await;
    assert_eq!(ended.status.phase, DeploymentPhase::Succeeded);
    let (_, port) = site.get("cached.dev.localhost").await.unwrap();
    let port = port.trim();

    running.kill();
    let pid = redis(port).expect("it runs");
    kill_process(pid, Signal::KILL).unwrap();
    let _running = site.start().await;
    testkit::eventually("Redis runs again", SOON, || async { redis(port) }).await;

    let arguments = ["env", "delete", "dev", "--with-data"];
    let ended = site.cli(&arguments).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(redis(port), None);
}
