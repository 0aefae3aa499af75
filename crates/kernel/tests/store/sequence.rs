//! What a subscriber sees of the log while several write: every place, once, in order. On Postgres
//! the writers are two replicas.

use std::{collections::BTreeSet, time::Duration};

use kernel::{Cause, Change, EventFilter, Key, NewEvent, Store};
use proptest::{
    prelude::{Strategy, any},
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Database, Thing, thing};

on_both!(a_subscriber_sees_every_place_once_and_in_order);

/// What one writer does: commits one after another, each with so many events, or one that fails.
type Writer = Vec<Commit>;

#[derive(Debug, Clone, Copy)]
enum Commit {
    Events(u8),
    /// Takes places in the log, and then gives them back.
    Fails(u8),
}

fn writers() -> impl Strategy<Value = Vec<Writer>> {
    let commit = (any::<bool>(), 1..4u8).prop_map(|(good, events)| {
        if good {
            Commit::Events(events)
        } else {
            Commit::Fails(events)
        }
    });
    proptest::collection::vec(proptest::collection::vec(commit, 1..12), 2..6)
}

async fn a_subscriber_sees_every_place_once_and_in_order(database: &Database) {
    let mut stores = vec![database.open().await];
    if database.directory().is_none() {
        stores.push(database.open().await);
    }
    let taken = thing("env", "taken", 1);
    let mut change = Change::new();
    change.create(&taken).unwrap();
    stores[0].commit(change).await.unwrap();

    let runtime = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        let config = Config {
            cases: 24,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&writers(), |writers| {
                runtime.block_on(check(&stores, writers))
            })
            .unwrap();
    });
}

async fn check(stores: &[Store], writers: Vec<Writer>) -> Result<(), TestCaseError> {
    let from = stores[0].head().await.unwrap();
    let events: i64 = writers
        .iter()
        .flatten()
        .map(|commit| match commit {
            Commit::Events(n) => i64::from(*n),
            Commit::Fails(_) => 0,
        })
        .sum();
    let last = from + events;
    // Pages of different sizes end at different places.
    let followers: Vec<_> = [1, 2, 5, 100]
        .into_iter()
        .zip(stores.iter().cycle())
        .map(|(page, store)| tokio::spawn(follow(store.clone(), from, last, page)))
        .collect();
    let writing: Vec<_> = writers
        .into_iter()
        .zip(stores.iter().cycle())
        .map(|(writer, store)| tokio::spawn(write(store.clone(), writer)))
        .collect();
    let mut committed = BTreeSet::new();
    for writer in writing {
        committed.extend(writer.await.unwrap());
    }
    let expected: Vec<i64> = (from + 1..=last).collect();
    for follower in followers {
        let seen = timeout(Duration::from_secs(20), follower).await.unwrap();
        let seen = seen.unwrap();
        let places: Vec<i64> = seen.iter().map(|(place, _)| *place).collect();
        proptest::prop_assert_eq!(&places, &expected);
        let ids: BTreeSet<Uuid> = seen.into_iter().map(|(_, id)| id).collect();
        proptest::prop_assert_eq!(&ids, &committed);
    }
    Ok(())
}

/// Commits what `writer` says; answers the correlations of what was committed.
async fn write(store: Store, writer: Writer) -> Vec<Uuid> {
    let mut committed = Vec::new();
    for commit in writer {
        let (events, good) = match commit {
            Commit::Events(n) => (n, true),
            Commit::Fails(n) => (n, false),
        };
        let mut change = Change::new();
        let ids: Vec<Uuid> = (0..events).map(|_| Uuid::now_v7()).collect();
        for id in &ids {
            change.event(event(*id));
        }
        if !good {
            change.create(&thing("env", "taken", 2)).unwrap();
        }
        let done = store.commit(change).await;
        assert_eq!(done.is_ok(), good, "{done:?}");
        if let Ok(done) = done {
            // Whoever is told of a commit can read it.
            let head = store.head().await.unwrap();
            assert!(head >= done.head);
            committed.extend(ids);
        }
    }
    committed
}

/// Reads the log as a consumer does, from `after` to `last`: place and correlation of each event.
async fn follow(store: Store, mut after: i64, last: i64, page: usize) -> Vec<(i64, Uuid)> {
    let mut head = store.subscribe();
    let mut seen = Vec::new();
    while after < last {
        head.borrow_and_update();
        let events = store
            .events(&EventFilter::default(), after, page)
            .await
            .unwrap();
        seen.extend(events.iter().map(|event| (event.seq, event.correlation)));
        match events.last() {
            Some(event) => after = event.seq,
            None => head.changed().await.unwrap(),
        }
    }
    seen
}

fn event(correlation: Uuid) -> NewEvent {
    NewEvent {
        kind: "dev.towpath.test.written".into(),
        subject: Key::of::<Thing>("env", "a"),
        team: String::new(),
        cause: Cause::system("test", correlation),
        outcome: None,
        data: json!({}),
    }
}
