//! The log as a stream of NATS JetStream.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use futures::StreamExt as _;
use kernel::{Cause, Change, Key, NewEvent, Publication, Sealer, Secret, Store};
use serde_json::{Value, json};
use subscriptions::NatsOutlet;
use testkit::{
    eventually, free_port,
    servers::{NatsServer, nats},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOON: Duration = testkit::PATIENCE;

async fn store() -> (Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate().unwrap()).await;
    (store.unwrap(), directory)
}

async fn happen(store: &Store, team: &str, names: std::ops::Range<i64>) {
    let mut change = Change::new();
    for name in names {
        change.event(NewEvent {
            kind: "dev.towpath.thing.made".into(),
            subject: Key {
                kind: "Thing".into(),
                scope: String::new(),
                name: name.to_string(),
            },
            team: team.into(),
            cause: Cause {
                actor: "local:ada".into(),
                ..Cause::system("test", Uuid::now_v7())
            },
            outcome: None,
            data: json!({ "name": name }),
        });
    }
    store.commit(change).await.unwrap();
}

/// One replica's outlet.
fn outlet(store: &Store, url: &str) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let outlet = NatsOutlet::new(store.clone(), Secret::from(url), "test").unwrap();
    let outlet = outlet.lease_ttl(Duration::from_secs(1));
    (stop.clone(), tokio::spawn(outlet.run(stop)))
}

/// Waits until the stream has `count` events below `subject`; gives their names, in order.
async fn published(server: &NatsServer, subject: &str, count: usize) -> Vec<i64> {
    eventually("they are published", SOON, async || {
        let client = async_nats::connect(&server.url).await.ok()?;
        let stream = jetstream::new(client)
            .get_stream("TOWPATH_EVENTS")
            .await
            .ok()?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            filter_subject: subject.into(),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.ok()?;
        let batch = consumer
            .fetch()
            .max_messages(10_000)
            .messages()
            .await
            .ok()?;
        let messages: Vec<_> = batch.collect().await;
        let names: Vec<i64> = messages
            .into_iter()
            .map(|message| {
                let message = message.unwrap();
                let event: Value = serde_json::from_slice(&message.payload).unwrap();
                let headers = message.headers.as_ref().unwrap();
                // The platform's own id of it: others' may be alike.
                let id = event.get("entry").unwrap_or(&event["id"]);
                assert_eq!(*id, headers.get("Nats-Msg-Id").unwrap().as_str());
                event["data"]["name"].as_i64().unwrap()
            })
            .collect();
        (names.len() >= count).then_some(names)
    })
    .await
}

fn all(names: std::ops::Range<i64>) -> Vec<i64> {
    names.collect()
}

#[tokio::test]
async fn events_from_outside_are_published_by_their_team_and_type() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(server) = nats(directory.path(), port.number()).await else {
        return;
    };
    let (store, _directory) = store().await;
    let mut change = Change::new();
    // Two sources may call theirs the same.
    for (name, source) in ["/scans", "/tests"].into_iter().enumerate() {
        change.publish(Publication {
            source: source.into(),
            id: "1".into(),
            kind: "com.acme.scan.finished".into(),
            subject: String::new(),
            team: "pay".into(),
            cause: Cause::system("test", Uuid::now_v7()),
            happened: None,
            outcome: None,
            attributes: std::collections::BTreeMap::new(),
            data: json!({ "name": name }),
            since: None,
        });
    }
    store.commit(change).await.unwrap();
    outlet(&store, &server.url);
    let scans = "towpath.events.pay.com.acme.scan.finished";
    assert_eq!(published(&server, scans, 2).await, all(0..2));
}

#[tokio::test]
async fn events_are_published_once_and_in_order_whoever_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(server) = nats(directory.path(), port.number()).await else {
        return;
    };
    let (store, _directory) = store().await;
    happen(&store, "pay", 0..10).await;
    let (_, first) = outlet(&store, &server.url);
    let pay = "towpath.events.pay.dev.towpath.thing.made";
    assert_eq!(published(&server, pay, 10).await, all(0..10));
    happen(&store, "", 0..3).await;
    assert_eq!(published(&server, "towpath.events._.>", 3).await, all(0..3));
    for round in 1..4_i64 {
        let (from, to) = (round * 500, (round + 1) * 500);
        happen(&store, "pay", from..to).await;
        if round == 1 {
            // In the middle, as by `kill -9`: what was published but not noted is published again.
            first.abort();
        }
        if round == 2 {
            outlet(&store, &server.url);
        }
    }
    let expected: Vec<i64> = (0..10).chain(500..2000).collect();
    assert_eq!(published(&server, pay, expected.len()).await, expected);
}

#[tokio::test]
async fn what_happens_while_it_is_away_is_published_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(server) = nats(directory.path(), port.number()).await else {
        return;
    };
    let (store, _directory) = store().await;
    let (stop, task) = outlet(&store, &server.url);
    happen(&store, "pay", 0..5).await;
    assert_eq!(
        published(&server, "towpath.events.pay.>", 5).await,
        all(0..5)
    );
    drop(server);
    happen(&store, "pay", 5..10).await;
    let Some(server) = nats(directory.path(), port.number()).await else {
        return;
    };
    assert_eq!(
        published(&server, "towpath.events.pay.>", 10).await,
        all(0..10)
    );
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_without_showing_it() {
    let (store, _directory) = store().await;
    for bad in ["http://user:canary@h", "canary", "nats://"] {
        let refused = NatsOutlet::new(store.clone(), Secret::from(bad), "test");
        let Err(error) = refused else {
            panic!("{bad} is taken");
        };
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
