//! What a platform engineer configures: another S3 endpoint, a name server's file, domains of teams.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use delivery::model::DeploymentPhase;
use serde_json::json;
use site::{Running, Site, work};

const LONG: Duration = Duration::from_mins(1);

/// S3 by moto: neither ours nor made with our crates.
struct Moto {
    child: Child,
    _port: testkit::Port,
    url: String,
}

impl Moto {
    /// None where it is not installed.
    async fn start() -> Option<Self> {
        let program = testkit::servers::program("moto_server");
        let program = testkit::servers::require("moto", program)?;
        // Installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = testkit::free_port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            _port: port,
        };
        testkit::eventually("moto answers", LONG, || async {
            reqwest::get(&moto.url).await.ok().map(drop)
        })
        .await;
        Some(moto)
    }

    async fn text(&self, path: &str) -> String {
        let answer = reqwest::get(format!("{}/{path}", self.url)).await.unwrap();
        answer.text().await.unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn apply(site: &Site, definition: &str) {
    let file = site.data.join("definition.yaml");
    std::fs::write(&file, definition).unwrap();
    let ended = site.cli(&["apply", "-f", file.to_str().unwrap()]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
}

async fn succeeds(running: &Running, score: serde_json::Value) {
    let client = running.client();
    let deployment = client
        .deploy("dev", &work::deployment(score))
        .await
        .unwrap();
    let ended = work::ended(client, &deployment).await;
    assert_eq!(
        ended.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        ended.status
    );
}

async fn removed(site: &Site) {
    let arguments = ["env", "delete", "dev", "--with-data"];
    let ended = site.cli(&arguments).await;
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[tokio::test]
async fn buckets_are_made_on_another_endpoint() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "hush-of-the-endpoint\n").unwrap();
    let mut site = Site::new(directory.path());
    site.options = [
        "--s3-endpoint",
        &moto.url,
        "--s3-access-key-id",
        "platform",
        "--s3-secret-access-key-file",
        secret.to_str().unwrap(),
        "--s3-region",
        "eu-central-1",
    ]
    .map(str::to_owned)
    .to_vec();
    let running = site.start().await;
    testkit::eventually(
        "whoever starts it is told that one key is shared",
        LONG,
        || async { site.log().contains("--s3-iam-endpoint").then_some(()) },
    )
    .await;
    let score = work::score(
        "notes",
        &json!({ "GREETING": "${resources.files.bucket} in ${resources.files.region}" }),
        &json!({ "files": { "type": "s3" } }),
    );

    // All instances would share one key: somebody must have accepted that.
    let refused = running
        .client()
        .plan("dev", &work::deployment(score.clone()))
        .await;
    let refused = format!("{refused:?}");
    assert!(refused.contains("accessKeys: shared"), "{refused}");

    apply(
        &site,
        "apiVersion: towpath.dev/v1\nkind: ResourceDefinition\nmetadata: {name: s3-company}\n\
         spec:\n  type: s3\n  provisioner: s3\n  criteria: [{class: default}]\n  \
         params: {accessKeys: shared}\n",
    )
    .await;
    succeeds(&running, score).await;
    let (_, greeting) = site.get("notes.dev.localhost").await.unwrap();
    let (bucket, region) = greeting.trim().split_once(" in ").unwrap();
    assert_eq!(region, "eu-central-1");
    assert!(moto.text("").await.contains(bucket));

    // Nothing of it is served by the platform itself.
    let own = tokio::net::TcpStream::connect(("127.0.0.1", site.s3)).await;
    assert!(own.is_err(), "the embedded server listens");
    assert!(!site.log().contains("hush-of-the-endpoint"));

    // What is in a bucket goes with it.
    let object = format!("{}/{bucket}/one", moto.url);
    let put = reqwest::Client::new().put(object).body("1").send().await;
    assert_eq!(put.unwrap().status(), 200);
    removed(&site).await;
    assert!(!moto.text("").await.contains(bucket));
}

#[tokio::test]
async fn buckets_on_an_endpoint_with_an_iam_have_access_keys_of_their_own() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "hush-of-the-endpoint\n").unwrap();
    let mut site = Site::new(directory.path());
    site.options = [
        "--s3-endpoint",
        &moto.url,
        "--s3-iam-endpoint",
        &moto.url,
        "--s3-access-key-id",
        "platform",
        "--s3-secret-access-key-file",
        secret.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec();
    let running = site.start().await;
    // No definition has to accept anything.
    let score = work::score(
        "notes",
        &json!({ "GREETING": "${resources.files.bucket} by ${resources.files.access_key_id}" }),
        &json!({ "files": { "type": "s3" } }),
    );
    succeeds(&running, score).await;
    let (_, greeting) = site.get("notes.dev.localhost").await.unwrap();
    let (bucket, key) = greeting.trim().split_once(" by ").unwrap();
    assert!(key.starts_with("AKIA"), "{key}");
    assert!(moto.text("").await.contains(bucket));
    assert!(!site.log().contains("share one access key"));
    removed(&site).await;
    assert!(!moto.text("").await.contains(bucket));
}

#[tokio::test]
async fn an_endpoint_without_its_secret_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::new(directory.path());
    let ended = site
        .cli(&[
            "up",
            "--s3-endpoint",
            "https://s3.example.com",
            "--s3-access-key-id",
            "platform",
        ])
        .await;
    assert_ne!(ended.code, 0);
    assert!(
        ended.err.contains("TOWPATH_S3_SECRET_ACCESS_KEY"),
        "{ended:?}"
    );
    assert!(!directory.path().join("towpath.db").exists());
}

#[tokio::test]
async fn a_teams_own_domain_gets_its_record_in_the_hosts_file() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    std::fs::write(&hosts, "10.0.0.9 printer\n").unwrap();
    let mut site = Site::new(directory.path());
    site.options = [
        "--hosts-file",
        hosts.to_str().unwrap(),
        "--hosts-address",
        "192.0.2.7",
        "--allot-domain",
        "shop.example.com=default",
    ]
    .map(str::to_owned)
    .to_vec();
    let running = site.start().await;
    let score = |host: &str| {
        work::score(
            "shop",
            &json!({ "GREETING": "welcome" }),
            &json!({
                "name": { "type": "dns", "params": { "host": host } },
                "way": { "type": "route", "params": { "host": host, "port": "www" } },
            }),
        )
    };
    let refused = running
        .client()
        .plan("dev", &work::deployment(score("www.example.org")))
        .await;
    let refused = format!("{refused:?}");
    assert!(refused.contains("may not claim"), "{refused}");

    succeeds(&running, score("www.shop.example.com")).await;
    let text = std::fs::read_to_string(&hosts).unwrap();
    // One of the name, one of the way.
    let [theirs, ours @ ..] = &text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    assert_eq!(*theirs, "10.0.0.9 printer");
    let record = |line: &&str| line.starts_with("192.0.2.7 www.shop.example.com ");
    assert!(ours.len() == 2 && ours.iter().all(record), "{ours:?}");
    let (status, greeting) = site.get("www.shop.example.com").await.unwrap();
    assert_eq!((status, greeting.trim()), (200, "welcome"));

    // A route alone has its record, too.
    let way = json!({ "type": "route", "params": { "host": "shop.example.com", "port": "www" } });
    let score = work::score(
        "shop",
        &json!({ "GREETING": "hello" }),
        &json!({ "way": way }),
    );
    succeeds(&running, score).await;
    testkit::eventually("its record is the only one", LONG, || async {
        let text = std::fs::read_to_string(&hosts).unwrap();
        let ours = text.strip_prefix("10.0.0.9 printer\n")?;
        (ours.lines().count() == 1 && ours.starts_with("192.0.2.7 shop.example.com ")).then_some(())
    })
    .await;
    let (status, greeting) = site.get("shop.example.com").await.unwrap();
    assert_eq!((status, greeting.trim()), (200, "hello"));

    removed(&site).await;
    let text = std::fs::read_to_string(&hosts).unwrap();
    assert_eq!(text, "10.0.0.9 printer\n");
}
