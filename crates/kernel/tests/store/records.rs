//! Records: short-lived, sealed, one winner.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kernel::{Change, ErrorKind, Record, Serial, Store, Transient};
use serde::{Deserialize, Serialize};

use crate::support::{Database, commit, create, read, thing};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ticket {
    holder: String,
}

impl Transient for Ticket {
    const KIND: &'static str = "ticket";
}

fn ticket(name: &str, holder: &str, lives: Duration) -> Record<Ticket> {
    let holder = holder.into();
    Record::new(name, Timestamp::now() + lives, Ticket { holder })
}

const LONG: Duration = Duration::from_secs(600);

async fn keep(store: &Store, record: &Record<Ticket>) -> kernel::Result<()> {
    commit(store, |change| change.keep(record)).await.map(drop)
}

async fn a_record_is_written_read_and_taken_once(database: &Database) {
    let store = database.open().await;
    keep(&store, &ticket("a", "ada", LONG)).await.unwrap();
    let found = store.record::<Ticket>("a").await.unwrap().unwrap();
    assert_eq!(found.value.holder, "ada");
    assert_ne!(found.version, 0);

    let take = || {
        let mut change = Change::new();
        change.take(&found);
        store.commit(change)
    };
    let (one, other) = tokio::join!(take(), take());
    assert_eq!([&one, &other].iter().filter(|r| r.is_ok()).count(), 1);
    let lost = one.err().or(other.err()).unwrap();
    assert_eq!(lost.kind, ErrorKind::Conflict);
    assert!(store.record::<Ticket>("a").await.unwrap().is_none());
}

async fn of_two_writes_of_one_version_one_wins(database: &Database) {
    let store = database.open().await;
    keep(&store, &ticket("a", "ada", LONG)).await.unwrap();
    let taken = keep(&store, &ticket("a", "eve", LONG)).await.unwrap_err();
    assert_eq!(taken.kind, ErrorKind::Conflict);

    let read = store.record::<Ticket>("a").await.unwrap().unwrap();
    let mut next = read.clone();
    next.value.holder = "bob".into();
    keep(&store, &next).await.unwrap();
    assert_eq!(
        keep(&store, &read).await.unwrap_err().kind,
        ErrorKind::Conflict
    );

    // Removed and made anew, it is another record, whatever its name.
    let now = store.record::<Ticket>("a").await.unwrap().unwrap();
    let mut change = Change::new();
    change.take(&now);
    store.commit(change).await.unwrap();
    keep(&store, &ticket("a", "eve", LONG)).await.unwrap();
    let stale = keep(&store, &now).await.unwrap_err();
    assert_eq!(stale.kind, ErrorKind::Conflict);
}

async fn a_record_and_a_resource_are_written_together_or_not_at_all(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "web", 1)).await;
    keep(&store, &ticket("a", "ada", LONG)).await.unwrap();
    let mut web = read(&store, "web").await;
    web.spec.size = 2;
    let failed = commit(&store, |change| {
        change.spec(&web)?;
        change.keep(&ticket("a", "eve", LONG))
    });
    assert_eq!(failed.await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(read(&store, "web").await.spec.size, 1);
}

async fn records_make_no_events_and_go_when_their_time_is_over(database: &Database) {
    let store = database.open().await;
    let before = store.head().await.unwrap();
    // Ended long enough ago for everybody's clock.
    let mut short = ticket("short", "ada", Duration::ZERO);
    short.expires -= SignedDuration::from_mins(11);
    keep(&store, &short).await.unwrap();
    assert!(store.record::<Ticket>("short").await.unwrap().is_some());
    keep(&store, &ticket("just", "ada", Duration::ZERO))
        .await
        .unwrap();
    keep(&store, &ticket("long", "ada", LONG)).await.unwrap();
    assert!(store.record::<Ticket>("short").await.unwrap().is_none());
    assert!(store.record::<Ticket>("just").await.unwrap().is_some());
    assert!(store.record::<Ticket>("long").await.unwrap().is_some());
    assert_eq!(store.head().await.unwrap(), before);
}

async fn records_are_listed_by_prefix(database: &Database) {
    let store = database.open().await;
    for name in ["ada-1", "ada-2", "bob-1", "ad%"] {
        keep(&store, &ticket(name, "x", LONG)).await.unwrap();
    }
    let names = |records: Vec<Record<Ticket>>| -> Vec<String> {
        records.into_iter().map(|record| record.name).collect()
    };
    assert_eq!(
        names(store.records("ada-").await.unwrap()),
        ["ada-1", "ada-2"]
    );
    assert_eq!(names(store.records("ad%").await.unwrap()), ["ad%"]);
    assert_eq!(names(store.records("").await.unwrap()).len(), 4);
}

const CALLED: &str = "the things of `a`";

async fn of_two_who_decide_beside_each_other_one_decides_anew(database: &Database) {
    let store = database.open().await;
    for _ in 0..2 {
        let (one, other) = tokio::join!(
            store.serial("line", "a", CALLED),
            store.serial("line", "a", CALLED)
        );
        let elsewhere = store.serial("line", "b", CALLED).await.unwrap();
        let decide = async |serial: &Serial| {
            let mut change = Change::new();
            // Said twice in one change, it is one decision.
            change.after(serial);
            change.after(serial);
            store.commit(change).await
        };
        decide(&one.unwrap()).await.unwrap();
        let overtaken = decide(&other.unwrap()).await.unwrap_err();
        assert!(overtaken.is_overtaken());
        assert!(overtaken.message.contains(CALLED), "{overtaken}");
        decide(&elsewhere).await.unwrap();
        decide(&store.serial("line", "a", CALLED).await.unwrap())
            .await
            .unwrap();
    }
}

on_both!(
    of_two_who_decide_beside_each_other_one_decides_anew,
    a_record_is_written_read_and_taken_once,
    of_two_writes_of_one_version_one_wins,
    a_record_and_a_resource_are_written_together_or_not_at_all,
    records_make_no_events_and_go_when_their_time_is_over,
    records_are_listed_by_prefix,
);
