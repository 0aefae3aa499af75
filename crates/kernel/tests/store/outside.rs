//! Events from outside: kept as their publisher tells them, each once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::{Change, ErrorKind, Event, EventFilter, Outcome, Publication, Published, Store};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Database, caller, commit, thing};

on_both!(
    an_event_from_outside_is_read_as_it_was_published,
    the_same_again_is_there_once,
    of_many_who_publish_the_same_at_once_one_does,
    another_event_under_the_same_id_is_refused_with_all_beside_it,
    what_a_former_team_published_is_no_duplicate,
    of_a_large_batch_what_was_there_is_found,
);

fn scan(id: &str) -> Publication {
    let environment = ("environment".to_owned(), json!("pay-dev"));
    Publication {
        source: "https://ci.acme.example/scans".into(),
        id: id.into(),
        kind: "com.acme.scan.finished".into(),
        subject: "Thing/env/a".into(),
        team: "payments".into(),
        cause: caller().cause(),
        happened: Some("2026-01-02T03:04:05Z".parse().unwrap()),
        outcome: Some(Outcome::Fail),
        attributes: BTreeMap::from([environment]),
        data: json!({ "critical": 2 }),
        since: None,
    }
}

async fn publish(store: &Store, publication: Publication) -> kernel::Result<Published> {
    let mut change = Change::new();
    change.publish(publication);
    Ok(store.commit(change).await?.published.remove(0))
}

async fn all(store: &Store) -> Vec<Event> {
    store.events(&EventFilter::default(), 0, 100).await.unwrap()
}

async fn an_event_from_outside_is_read_as_it_was_published(database: &Database) {
    let store = database.open().await;
    let begun = Timestamp::now();
    let published = publish(&store, scan("1")).await.unwrap();
    let event = all(&store).await.remove(0);
    assert_eq!(
        (&*event.source, &*event.id, &*event.kind, &*event.subject),
        (
            "https://ci.acme.example/scans",
            "1",
            "com.acme.scan.finished",
            "Thing/env/a"
        )
    );
    assert_eq!(event.time.to_string(), "2026-01-02T03:04:05Z");
    assert!(event.received.unwrap() >= begun && event.committed() >= begun);
    assert_eq!(event.entry(), published.entry);
    assert_eq!(
        (event.seq, event.correlation),
        (published.seq, published.correlation)
    );
    assert_eq!((&*event.actor, &*event.team), ("ada", "payments"));
    assert_eq!(event.outcome, Some(Outcome::Fail));
    assert_eq!(event.data, json!({ "critical": 2 }));
    // It tells of nothing here, whatever its subject is called.
    assert_eq!(event.subject_key(), None);
    let sent = json!(event);
    assert_eq!(sent["environment"], "pay-dev");
    assert_eq!(serde_json::from_value::<Event>(sent).unwrap(), event);

    let beginning = |text: &str| EventFilter {
        type_beginning: Some(text.into()),
        ..EventFilter::default()
    };
    commit(&store, |change| change.create(&thing("env", "a", 1)))
        .await
        .unwrap();
    let log = all(&store).await;
    for (text, found) in [
        ("com.acme", 1),
        ("com.acme.scan.finished", 1),
        ("resource.created", 1),
        ("dev.towpath.resource", 1),
        ("dev", 1),
        ("", 2),
        ("scan", 0),
    ] {
        let filter = beginning(text);
        let events = store.events(&filter, 0, 10).await.unwrap();
        assert_eq!(events.len(), found, "{text}");
        let matching: Vec<_> = log.iter().filter(|e| filter.matches(e)).cloned().collect();
        assert_eq!(events, matching, "{text}");
    }
    // The log is in the order of its commits, whenever things happened.
    assert_eq!(store.place_before(begun).await.unwrap(), 0);
}

async fn the_same_again_is_there_once(database: &Database) {
    let store = database.open().await;
    let first = publish(&store, scan("1")).await.unwrap();
    // What was sent again may say another time, and comes with another request.
    let again = Publication {
        happened: None,
        ..scan("1")
    };
    let again = publish(&store, again).await.unwrap();
    let expected = Published {
        is_new: false,
        ..first
    };
    assert_eq!(again, expected);
    // In one change, too; another id, source or team is another event.
    let mut change = Change::new();
    change.publish(scan("2"));
    change.publish(scan("2"));
    change.publish(Publication {
        source: "/other".into(),
        ..scan("2")
    });
    change.publish(Publication {
        team: "shop".into(),
        ..scan("2")
    });
    let committed = store.commit(change).await.unwrap();
    let new: Vec<_> = committed.published.iter().map(|one| one.is_new).collect();
    assert_eq!(new, [true, false, true, true]);
    assert_eq!(all(&store).await.len(), 4);
}

async fn of_many_who_publish_the_same_at_once_one_does(database: &Database) {
    // Two replicas, where the database can have them.
    let one = database.open().await;
    let two = if database.directory().is_some() {
        one.clone()
    } else {
        database.open().await
    };
    let mut publishing = vec![];
    for number in 0..40 {
        let store = if number % 2 == 0 { &one } else { &two }.clone();
        publishing.push(tokio::spawn(async move {
            publish(&store, scan("1")).await.unwrap()
        }));
    }
    let mut new = 0;
    let mut places = vec![];
    for published in publishing {
        let published = published.await.unwrap();
        new += usize::from(published.is_new);
        places.push((published.seq, published.entry));
    }
    places.dedup();
    assert_eq!((new, places.len()), (1, 1));
    assert_eq!(all(&one).await.len(), 1);
}

async fn another_event_under_the_same_id_is_refused_with_all_beside_it(database: &Database) {
    let store = database.open().await;
    publish(&store, scan("1")).await.unwrap();
    let mut change = Change::new();
    change.publish(scan("2"));
    change.publish(Publication {
        outcome: None,
        ..scan("1")
    });
    let error = store.commit(change).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(!error.is_overtaken());
    assert_eq!(all(&store).await.len(), 1);
}

async fn what_a_former_team_published_is_no_duplicate(database: &Database) {
    let store = database.open().await;
    publish(&store, scan("1")).await.unwrap();
    let of_present = || Publication {
        since: Some(Timestamp::now()),
        data: json!(null),
        ..scan("1")
    };
    let published = publish(&store, of_present()).await.unwrap();
    assert!(published.is_new);
    let again = Publication {
        since: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        ..of_present()
    };
    assert_eq!(publish(&store, again).await.unwrap().seq, published.seq);
    assert_ne!(published.entry, Uuid::nil());
}

async fn of_a_large_batch_what_was_there_is_found(database: &Database) {
    let store = database.open().await;
    let batch = |ids: std::ops::Range<u32>| {
        let mut change = Change::new();
        for id in ids {
            change.publish(scan(&id.to_string()));
        }
        change
    };
    let first = store.commit(batch(0..60)).await.unwrap().published;
    let again = store.commit(batch(30..90)).await.unwrap().published;
    let new: Vec<_> = again.iter().map(|one| one.is_new).collect();
    assert_eq!(new, [[false; 30], [true; 30]].concat());
    for (before, found) in first[30..].iter().zip(&again) {
        assert_eq!((before.seq, before.entry), (found.seq, found.entry));
    }
    let seqs: Vec<_> = again[30..].iter().map(|one| one.seq).collect();
    assert_eq!(seqs, (61..=90).collect::<Vec<i64>>());
}
