//! The S3 server killed at any moment: what it has acknowledged is there, and whole.

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

use reqwest::Method;
use rusty_s3::S3Action;
use support::s3::{SIGNED_FOR, Workload, config, made, server, server_on};
use towpath_provisioners::{S3, S3Server};

const DIRECTORY: &str = "TOWPATH_TEST_S3_DIRECTORY";
const LISTEN: &str = "TOWPATH_TEST_S3_LISTEN";
const ROUNDS: u32 = 12;

/// Not a test, but the server that the test below kills.
#[tokio::test]
#[ignore = "runs as the process that another test kills"]
async fn serve_until_killed() {
    let directory = std::env::var(DIRECTORY).unwrap();
    let mut config = config(Path::new(&directory));
    config.listen = std::env::var(LISTEN).unwrap().parse().unwrap();
    let _server = S3Server::start(config).await.unwrap();
    std::future::pending::<()>().await;
}

/// Ends with the test, however it ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(directory: &Path, listen: &str) -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["serve_until_killed", "--exact", "--ignored"])
        .env(DIRECTORY, directory)
        .env(LISTEN, listen)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    Killed(child)
}

/// Versions are told apart by their bytes, and long enough to be written in pieces.
fn bytes(version: u32) -> Vec<u8> {
    let line = format!("version {version}\n");
    line.repeat(20_000).into_bytes()
}

async fn put(workload: &Workload, key: &str, version: u32) -> bool {
    let url = workload
        .bucket
        .put_object(Some(&workload.keys), key)
        .sign(SIGNED_FOR);
    let sent = workload
        .http
        .request(Method::PUT, url)
        .body(bytes(version))
        .send()
        .await;
    sent.is_ok_and(|answer| answer.status() == 200)
}

async fn wait_until_served(workload: &Workload) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let url = workload
            .bucket
            .head_bucket(Some(&workload.keys))
            .sign(SIGNED_FOR);
        if workload
            .http
            .head(url)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == 200)
        {
            return;
        }
        assert!(Instant::now() < deadline, "the server did not come back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let port = testkit::free_port();
    let first = server_on(&port, directory.path()).await;
    let listen = first.address().to_string();
    let (_, _, workload) = made(&S3::own(&first), "notes.uploads").await;
    first.stop().await;

    // What each key holds at least, and what was sent last.
    let mut keys: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut version = 0;
    for round in 0..ROUNDS {
        let mut running = start(directory.path(), &listen);
        wait_until_served(&workload).await;
        for (key, (acknowledged, sent)) in &mut keys {
            let got = workload.get(key).await;
            if got.status() == 404 {
                assert_eq!(*acknowledged, 0, "{key} is lost");
                continue;
            }
            let got = got.bytes().await.unwrap();
            let found = (*acknowledged..=*sent).find(|version| got == bytes(*version));
            *acknowledged = found.unwrap_or_else(|| panic!("{key} is half of something"));
        }
        let present: Vec<_> = keys
            .iter()
            .filter(|(_, (a, _))| *a > 0)
            .map(|(k, _)| k)
            .collect();
        assert_eq!(workload.list("").await.iter().collect::<Vec<_>>(), present);

        // Somewhere in the midst of a write: a little later in each round.
        let kill_at = Instant::now() + Duration::from_millis(u64::from(7 * round));
        let writing = async {
            loop {
                version += 1;
                let key = format!("key-{}", version % 3);
                let entry = keys.entry(key.clone()).or_default();
                entry.1 = version;
                if !put(&workload, &key, version).await {
                    return;
                }
                entry.0 = version;
            }
        };
        let killing = async {
            tokio::time::sleep_until(kill_at.into()).await;
            running.0.kill().unwrap();
            running.0.wait().unwrap();
        };
        tokio::join!(writing, killing);
    }
    assert!(keys.values().any(|(acknowledged, _)| *acknowledged > 0));

    // And nothing is left of what was under way.
    let last = server(directory.path()).await;
    let incoming = std::fs::read_dir(directory.path().join("incoming")).unwrap();
    assert_eq!(incoming.count(), 0);
    last.stop().await;
}
