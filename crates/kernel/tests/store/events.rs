//! The event log: append-only, in the order of commits, with the writes that it tells of.

use jiff::Timestamp;
use kernel::{
    Caller, Cause, Change, ErrorKind, EventFilter, Key, Means, NewEvent, Outcome, Reason,
};
use serde_json::json;
use sqlx::Connection as _;
use testkit::PATIENCE;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Database, Thing, caller, commit, create, thing};

on_both!(
    each_write_comes_with_its_event,
    an_event_is_read_as_it_was_written,
    the_trail_says_by_which_means_and_why,
    a_log_from_before_there_were_means_goes_on,
    writes_take_their_cause_from_the_events_beside_them,
    filters_select,
    a_place_in_the_log_is_found_by_its_time,
    a_subscriber_wakes_with_the_commit,
    the_log_refuses_change,
    nothing_of_a_failed_change_is_logged,
    each_of_many_at_once_learns_the_place_of_its_own_events,
);

fn event(kind: &str, subject: Key) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        subject,
        team: "core".into(),
        cause: Cause {
            actor: "grace".into(),
            ..Cause::system("test", Uuid::now_v7())
        },
        outcome: Some(Outcome::Fail),
        data: json!({"text": "NUL \0 and 名前"}),
    }
}

async fn each_write_comes_with_its_event(database: &Database) {
    let store = database.open().await;
    let caller = caller();
    let mut change = Change::new().by(&caller);
    let mut one = thing("env", "a", 1);
    one.status.phase = "new".into();
    one.meta.labels.insert("team".into(), "core".into());
    change.create(&one).unwrap();
    let committed = store.commit(change).await.unwrap();
    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    let [event] = &events[..] else {
        panic!("one event, not {events:?}");
    };
    assert_eq!(event.kind, "dev.towpath.resource.created");
    assert_eq!(event.subject_key(), Some(one.key()));
    assert_eq!(event.correlation, caller.correlation);
    assert_eq!(event.actor, "ada");
    assert_eq!(event.team, "core");
    assert_eq!(event.source, format!("/towpath/{}", store.platform()));
    let revision = committed.documents[0].meta.revision;
    assert_eq!((event.seq, committed.head), (revision, revision));
    let data = json!({"revision": revision, "generation": 1, "phase": "new"});
    assert_eq!(event.data, data);
}

async fn an_event_is_read_as_it_was_written(database: &Database) {
    let store = database.open().await;
    let written = event("dev.towpath.test.done", Key::of::<Thing>("env", "a"));
    let mut change = Change::new();
    change.event(written.clone());
    let head = store.commit(change).await.unwrap().head;
    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    let read = &events[0];
    assert_eq!(read.seq, head);
    assert_eq!(read.kind, written.kind);
    assert_eq!(read.subject, "Thing/env/a");
    assert_eq!(read.outcome, Some(Outcome::Fail));
    assert_eq!(read.data, written.data);
    let cloud = serde_json::to_value(read).unwrap();
    assert_eq!(cloud["specversion"], "1.0");
    assert_eq!(cloud["type"], "dev.towpath.test.done");
    assert_eq!(cloud["datacontenttype"], "application/json");
}

async fn the_trail_says_by_which_means_and_why(database: &Database) {
    let store = database.open().await;
    let reason = Reason::new("INC-42: Schlüssel verloren").unwrap();
    let caller = Caller {
        means: Means::Key("0190".into()),
        reason: Some(reason.clone()),
        ..caller()
    };
    let mut change = Change::new().by(&caller);
    change.create(&thing("env", "a", 1)).unwrap();
    let told = || {
        let key = Key::of::<Thing>("env", "a");
        NewEvent::caused("test.done", key, "core", &caller, None, json!({}))
    };
    change.event(told());
    store.commit(change).await.unwrap();
    // On a server these go another way: nothing is written but events.
    let mut change = Change::new();
    change.event(told());
    change.event(event(
        "dev.towpath.test.other",
        Key::of::<Thing>("env", "b"),
    ));
    store.commit(change).await.unwrap();

    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    let [created, done, again, other] = &events[..] else {
        panic!("four events, not {events:?}");
    };
    for event in [created, done, again] {
        assert_eq!(event.means.as_deref(), Some("key:0190"), "{event:?}");
        assert_eq!(event.reason.as_deref(), Some(reason.as_str()), "{event:?}");
    }
    assert_eq!(other.means.as_deref(), Some("platform"));
    assert_eq!(other.reason, None);
    let cloud = serde_json::to_value(other).unwrap();
    assert_eq!(cloud["means"], "platform");
    assert!(cloud.get("reason").is_none(), "{cloud}");
}

async fn a_log_from_before_there_were_means_goes_on(database: &Database) {
    let store = database.open().await;
    let mut change = Change::new();
    change.event(event(
        "dev.towpath.test.before",
        Key::of::<Thing>("env", "a"),
    ));
    store.commit(change).await.unwrap();
    store.close().await;
    drop(store);
    // As the version before left it.
    let undo = "ALTER TABLE event DROP COLUMN means; ALTER TABLE event DROP COLUMN reason;
                DELETE FROM _sqlx_migrations WHERE version = 5;";
    if database.directory().is_some() {
        let mut old = sqlx::SqliteConnection::connect(&database.url)
            .await
            .unwrap();
        sqlx::raw_sql(undo).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
    } else {
        let mut old = sqlx::PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(undo).execute(&mut old).await.unwrap();
        let undo = "DROP FUNCTION event_append (TEXT, TEXT[], TEXT[], TEXT[], TEXT[], TEXT[],
                                                TEXT[], TEXT[], TEXT[], TEXT[], TEXT[])";
        sqlx::raw_sql(undo).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
    }

    let store = database.open().await;
    let mut change = Change::new();
    change.event(event(
        "dev.towpath.test.after",
        Key::of::<Thing>("env", "a"),
    ));
    store.commit(change).await.unwrap();
    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    let means: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.kind.as_str(),
                event.actor.as_str(),
                event.means.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        means,
        [
            ("dev.towpath.test.before", "grace", None),
            ("dev.towpath.test.after", "grace", Some("platform")),
        ]
    );
}

async fn writes_take_their_cause_from_the_events_beside_them(database: &Database) {
    let store = database.open().await;
    let one = thing("env", "a", 1);
    let cause = event("dev.towpath.test.asked", one.key());
    let mut change = Change::new();
    change.create(&one).unwrap();
    change.event(cause.clone());
    store.commit(change).await.unwrap();
    let filter = EventFilter {
        correlation: Some(cause.cause.correlation),
        ..EventFilter::default()
    };
    let events = store.events(&filter, 0, 10).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["dev.towpath.resource.created", "dev.towpath.test.asked"]
    );
    assert!(events.iter().all(|event| event.actor == "grace"));
}

async fn filters_select(database: &Database) {
    let store = database.open().await;
    let mut change = Change::new();
    for (kind, scope, name) in [
        ("dev.towpath.a", "env", "a"),
        ("dev.towpath.ab", "env", "ab"),
        ("dev.towpath.b%", "en", "v"),
    ] {
        change.event(event(kind, Key::of::<Thing>(scope, name)));
    }
    store.commit(change).await.unwrap();
    let all = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    let count = async |filter: EventFilter| {
        let found = store.events(&filter, 0, 10).await.unwrap();
        // Those who follow filter what they share: the same, by the same rule.
        let matching: Vec<_> = all.iter().filter(|e| filter.matches(e)).cloned().collect();
        assert_eq!(found, matching, "{filter:?}");
        found.len()
    };
    let of_type = |prefix: &str| EventFilter {
        type_prefix: Some(prefix.into()),
        ..EventFilter::default()
    };
    let about = |subject: &str| EventFilter {
        subject: Some(subject.into()),
        ..EventFilter::default()
    };
    assert_eq!(count(of_type("dev.towpath.a")).await, 2);
    assert_eq!(count(of_type("dev.towpath.b%")).await, 1);
    assert_eq!(count(of_type("%")).await, 0);
    assert_eq!(count(about("Thing/env")).await, 2);
    assert_eq!(count(about("Thing/env/a")).await, 1);
    assert_eq!(count(about("Thing\0")).await, 0);
    let team = EventFilter {
        team: Some("core".into()),
        ..EventFilter::default()
    };
    assert_eq!(count(team).await, 3);
    let actor = |actor: &str| EventFilter {
        actor: Some(actor.into()),
        ..EventFilter::default()
    };
    assert_eq!(count(actor("grace")).await, 3);
    assert_eq!(count(actor("grac")).await, 0);
    let upto = EventFilter {
        upto: Some(2),
        ..EventFilter::default()
    };
    assert_eq!(count(upto).await, 2);
    let page = store.events(&EventFilter::default(), 1, 1).await.unwrap();
    assert_eq!(page.iter().map(|e| e.seq).collect::<Vec<_>>(), [2]);
}

async fn a_place_in_the_log_is_found_by_its_time(database: &Database) {
    let store = database.open().await;
    let begun = Timestamp::now();
    assert_eq!(store.place_before(begun).await.unwrap(), 0);
    for name in ["a", "b", "c", "d", "e"] {
        create(&store, &thing("env", name, 1)).await;
    }
    let all = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    for event in &all {
        let first = all.iter().find(|other| other.time >= event.time).unwrap();
        let place = store.place_before(event.time).await.unwrap();
        assert_eq!(place, first.seq - 1);
    }
    assert_eq!(store.place_before(Timestamp::MIN).await.unwrap(), 0);
    let last = store.place_before(Timestamp::MAX).await.unwrap();
    assert_eq!(last, all.last().unwrap().seq);
}

async fn a_subscriber_wakes_with_the_commit(database: &Database) {
    let store = database.open().await;
    let mut head = store.subscribe();
    create(&store, &thing("env", "a", 1)).await;
    timeout(PATIENCE, head.wait_for(|head| *head == 1))
        .await
        .unwrap()
        .unwrap();
}

async fn the_log_refuses_change(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    for sql in ["DELETE FROM event", "UPDATE event SET actor = 'eve'"] {
        let error = if database.directory().is_some() {
            let path = database.url.trim_start_matches("sqlite://");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap_err()
        } else {
            let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
            sqlx::query(sql).execute(&pool).await.unwrap_err()
        };
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

async fn nothing_of_a_failed_change_is_logged(database: &Database) {
    let store = database.open().await;
    let stale = thing("env", "absent", 1);
    let refused = commit(&store, |change| {
        change.event(event("dev.towpath.test.never", stale.key()));
        change.create(&thing("env", "a", 1))?;
        change.status(&stale)
    });
    refused.await.unwrap_err();
    assert_eq!(store.head().await.unwrap(), 0);
    let mut nul = event("dev.towpath.\0", stale.key());
    nul.data = json!(null);
    let mut nowhere = event("dev.towpath.test.never", Key::of::<Thing>("env", "\0"));
    nowhere.data = json!(null);
    for event in [nul, nowhere] {
        let refused = commit(&store, |change| {
            change.event(event);
            Ok(())
        });
        assert_eq!(refused.await.unwrap_err().kind, ErrorKind::Invalid);
    }
    assert_eq!(store.head().await.unwrap(), 0);
}

async fn each_of_many_at_once_learns_the_place_of_its_own_events(database: &Database) {
    let store = database.open().await;
    // Most append two events and nothing else; some write a resource too; one cannot be stored.
    let commits = (0..40).map(|n| {
        let mut change = Change::new();
        let kind = format!("dev.towpath.test.n{n}");
        for outcome in [None, Some(Outcome::Pass)] {
            let mut one = event(&kind, Key::of::<Thing>("env", "a"));
            one.outcome = outcome;
            one.data = json!({ "outcome": outcome });
            change.event(one);
        }
        if n % 10 == 3 {
            change.create(&thing("env", &kind[13..], n)).unwrap();
        }
        if n == 17 {
            change.event(event("\0", Key::of::<Thing>("env", "a")));
        }
        let store = store.clone();
        async move { (kind, store.commit(change).await) }
    });
    for (kind, committed) in futures::future::join_all(commits).await {
        if kind.ends_with("n17") {
            committed.unwrap_err();
            continue;
        }
        let head = committed.unwrap().head;
        let own = store.events(&EventFilter::default(), head - 2, 2).await;
        for (event, outcome) in own.unwrap().iter().zip([None, Some(Outcome::Pass)]) {
            assert_eq!((&event.kind, event.outcome), (&kind, outcome));
            assert_eq!(event.data, json!({ "outcome": outcome }));
        }
    }
    let all = store.events(&EventFilter::default(), 0, 200).await.unwrap();
    assert_eq!(all.len(), 39 * 2 + 4);
    let places: Vec<_> = all.iter().map(|event| event.seq).collect();
    assert_eq!(places, (1..=82).collect::<Vec<_>>());
}
