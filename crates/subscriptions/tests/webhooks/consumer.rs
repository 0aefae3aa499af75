//! The consumer to begin with (`examples/consumer`): what is sent three times, and in the wrong order, is
//! the same as once.

use std::{path::Path, process::Stdio};

use jiff::Timestamp;
use kernel::{Event, EventFilter, Secret};
use serde_json::{Value, json};
use subscriptions::sign;
use tempfile::TempDir;
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{SOON, happen, platform};

struct Consumer {
    url: String,
    key: Secret,
    child: Child,
}

impl Consumer {
    /// Begins, or goes on with what is in `directory`. None where there is no Python.
    async fn start(directory: &TempDir, secret: &Secret) -> Option<Self> {
        let python = testkit::servers::require("python", testkit::servers::program("python3"))?;
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/consumer/consumer.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(["--port", "0", "--database"])
            .arg(directory.path().join("consumer.db"))
            .env("WEBHOOK_SECRET", secret.expose_str().unwrap())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        Some(Self {
            url: line.strip_prefix("listening on ").unwrap().to_owned(),
            key: sign::key(secret).unwrap(),
            child,
        })
    }

    async fn board(&self) -> Value {
        reqwest::get(&self.url).await.unwrap().json().await.unwrap()
    }

    /// Sends an event as the platform does; gives the answer.
    async fn send(&self, event: &Event, key: &Secret, at: i64) -> (u16, Value) {
        let (id, body) = (event.id.clone(), serde_json::to_vec(event).unwrap());
        let request = reqwest::Client::new()
            .post(&self.url)
            .header("webhook-id", &id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", sign::signature(key, &id, at, &body))
            .body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// What it made of an event that was sent now.
    async fn outcome(&self, event: &Event) -> String {
        let now = Timestamp::now().as_second();
        let (status, answer) = self.send(event, &self.key, now).await;
        assert_eq!(status, 200, "{answer}");
        answer["outcome"].as_str().unwrap().to_owned()
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test]
async fn three_times_and_in_the_wrong_order_is_the_same_as_once() {
    let (platform, _directory) = platform().await;
    let directory = tempfile::tempdir().unwrap();
    let secret = sign::draw().unwrap();
    let Some(consumer) = Consumer::start(&directory, &secret).await else {
        return;
    };
    let body = json!({
        "types": ["thing.*"],
        "url": consumer.url,
        "secret": secret.expose_str().unwrap(),
    });
    let path = "/v1/teams/pay/subscriptions/board";
    assert_eq!(platform.ask("pay", "PUT", path, body).await.0, 201);
    for (what, name) in [
        ("thing.made", "a"),
        ("thing.made", "b"),
        ("thing.changed", "a"),
        ("thing.gone", "b"),
    ] {
        happen(&platform.store, "pay", what, name).await;
    }
    let expected = json!({
        "Thing/env/a": "dev.towpath.thing.changed",
        "Thing/env/b": "dev.towpath.thing.gone",
    });
    eventually("it has them", SOON, async || {
        (consumer.board().await == expected).then_some(())
    })
    .await;
    platform.stop().await;

    // The newest first, thrice, and the consumer killed in between.
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.thing.".into()),
        ..EventFilter::default()
    };
    let (store, _other) = crate::support::store().await;
    for (what, name) in [("thing.made", "c"), ("thing.gone", "c")] {
        happen(&store, "pay", what, name).await;
    }
    let mut events = store.events(&filter, 0, 100).await.unwrap();
    events.reverse();
    let mut outcomes = Vec::new();
    let mut consumer = consumer;
    for _ in 0..3 {
        for event in &events {
            outcomes.push(consumer.outcome(event).await);
        }
        consumer.kill().await;
        consumer = Consumer::start(&directory, &secret).await.unwrap();
    }
    assert_eq!(
        outcomes,
        ["new", "late", "known", "known", "known", "known"]
    );
    let mut board = expected;
    board["Thing/env/c"] = "dev.towpath.thing.gone".into();
    assert_eq!(consumer.board().await, board);

    // What is not the platform's, or not of now.
    let now = Timestamp::now().as_second();
    let other = sign::key(&sign::draw().unwrap()).unwrap();
    for (key, at) in [
        (&other, now),
        (&consumer.key, now - 3600),
        (&consumer.key, now + 3600),
    ] {
        let (status, answer) = consumer.send(&events[0], key, at).await;
        assert_eq!(status, 401, "{answer}");
    }
    assert_eq!(consumer.board().await, board);
}
