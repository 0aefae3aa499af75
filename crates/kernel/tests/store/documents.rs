//! Writing resources: revisions, generations, conflicts, all or nothing.

use kernel::{Change, ErrorKind, EventFilter, Query, Resource};

use crate::support::{Database, Thing, commit, create, read, thing};

on_both!(
    what_is_committed_is_read_also_after_a_restart,
    a_taken_key_is_refused_by_name,
    a_spec_counts_revision_and_generation_up,
    a_status_leaves_the_generation_alone,
    what_changes_nothing_is_not_written,
    a_note_is_kept_and_told_to_nobody,
    a_stale_write_is_a_conflict_and_writes_nothing,
    two_writes_of_one_resource_in_one_change,
    deleting_is_asked_for_once,
    what_is_removed_is_gone_and_its_name_free,
    a_resource_made_anew_is_another_one,
    a_requirement_holds_or_the_change_fails,
    names_that_would_not_come_apart_are_refused,
    text_of_any_kind_is_kept,
    many_at_once_each_count,
);

async fn what_is_committed_is_read_also_after_a_restart(database: &Database) {
    let store = database.open().await;
    let platform = store.platform();
    let made = create(&store, &thing("env", "a", 1)).await;
    assert_eq!(made.meta.generation, 1);
    store.close().await;

    let store = database.open().await;
    assert_eq!(store.platform(), platform);
    let found = read(&store, "a").await;
    assert_eq!((found.meta, found.spec), (made.meta, made.spec));
    let missing = store.expect::<Thing>("env", "b").await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert_eq!(missing.message, "thing `b` in `env` does not exist");
}

async fn a_taken_key_is_refused_by_name(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    let refused = commit(&store, |change| change.create(&thing("env", "a", 2))).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(error.message, "thing `a` in `env` already exists");
    assert_eq!(read(&store, "a").await.spec.size, 1);
}

async fn a_spec_counts_revision_and_generation_up(database: &Database) {
    let store = database.open().await;
    let mut one = create(&store, &thing("env", "a", 1)).await;
    one.spec.size = 2;
    one.meta.labels.insert("team".into(), "core".into());
    commit(&store, |change| change.spec(&one)).await.unwrap();
    let now = read(&store, "a").await;
    assert_eq!(now.spec.size, 2);
    assert_eq!(now.meta.generation, 2);
    assert_eq!(now.meta.labels["team"], "core");
    assert!(now.meta.revision > one.meta.revision);
    assert_eq!(now.meta.created, one.meta.created);
}

async fn a_status_leaves_the_generation_alone(database: &Database) {
    let store = database.open().await;
    let mut one = create(&store, &thing("env", "a", 1)).await;
    one.status.phase = "ready".into();
    one.spec.size = 99;
    commit(&store, |change| change.status(&one)).await.unwrap();
    let now = read(&store, "a").await;
    assert_eq!(now.status.phase, "ready");
    assert_eq!((now.spec.size, now.meta.generation), (1, 1));
    assert!(now.meta.revision > one.meta.revision);
}

async fn a_note_is_kept_and_told_to_nobody(database: &Database) {
    let store = database.open().await;
    let made = create(&store, &thing("env", "a", 1)).await;
    let mut noted = made.clone();
    noted.status.phase = "third try".into();
    noted.spec.size = 2;
    commit(&store, |change| change.note(&noted)).await.unwrap();
    let now = read(&store, "a").await;
    assert_eq!(now.status.phase, "third try");
    assert_eq!(now.spec.size, 1, "a note is of the status alone");
    assert_eq!(now.meta, made.meta, "the ETag that others have still holds");
    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    assert_eq!(events.len(), 1, "{events:?}");

    let mut moved = made.clone();
    moved.spec.size = 3;
    commit(&store, |change| change.spec(&moved)).await.unwrap();
    let stale = commit(&store, |change| change.note(&noted)).await;
    assert_eq!(stale.unwrap_err().kind, ErrorKind::Conflict);
}

async fn what_changes_nothing_is_not_written(database: &Database) {
    let store = database.open().await;
    let one = create(&store, &thing("env", "a", 1)).await;
    let head = store.head().await.unwrap();
    let written = commit(&store, |change| {
        change.status(&one)?;
        change.spec(&one)
    })
    .await
    .unwrap();
    assert_eq!(written.len(), 2);
    assert_eq!(store.head().await.unwrap(), head);
    assert_eq!(read(&store, "a").await.meta, one.meta);
}

async fn a_stale_write_is_a_conflict_and_writes_nothing(database: &Database) {
    let store = database.open().await;
    let stale = create(&store, &thing("env", "a", 1)).await;
    let mut fresh = stale.clone();
    fresh.spec.size = 2;
    commit(&store, |change| change.spec(&fresh)).await.unwrap();
    let head = store.head().await.unwrap();

    let mut late = stale.clone();
    late.status.phase = "late".into();
    for write in [Change::spec, Change::status, Change::delete, Change::remove] {
        let refused = commit(&store, |change| {
            change.create(&thing("env", "beside", 1))?;
            write(change, &late)
        });
        assert_eq!(refused.await.unwrap_err().kind, ErrorKind::Conflict);
    }
    assert!(store.get::<Thing>("env", "beside").await.unwrap().is_none());
    assert_eq!(read(&store, "a").await.spec.size, 2);
    assert_eq!(store.head().await.unwrap(), head);
}

async fn two_writes_of_one_resource_in_one_change(database: &Database) {
    let store = database.open().await;
    let mut one = thing("env", "a", 1);
    let written = commit(&store, |change| {
        change.create(&one)?;
        one.status.phase = "made".into();
        change.status(&one)
    })
    .await
    .unwrap();
    assert!(written[1].meta.revision > written[0].meta.revision);
    let mut now = read(&store, "a").await;
    assert_eq!(now.status.phase, "made");

    commit(&store, |change| {
        now.spec.size = 2;
        change.spec(&now)?;
        now.status.phase = "changed".into();
        change.status(&now)?;
        change.delete(&now)?;
        change.remove(&now)
    })
    .await
    .unwrap();
    assert!(store.get::<Thing>("env", "a").await.unwrap().is_none());
    let kinds: Vec<String> = store
        .events(&EventFilter::default(), 0, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.kind.replace("dev.towpath.resource.", ""))
        .collect();
    let expected = [
        "created",
        "status-changed",
        "changed",
        "status-changed",
        "deleting",
        "removed",
    ];
    assert_eq!(kinds, expected);
}

async fn deleting_is_asked_for_once(database: &Database) {
    let store = database.open().await;
    let one = create(&store, &thing("env", "a", 1)).await;
    commit(&store, |change| change.delete(&one)).await.unwrap();
    let asked = read(&store, "a").await;
    assert!(asked.is_deleting());
    // Again, by one who has not seen it yet.
    commit(&store, |change| change.delete(&one)).await.unwrap();
    assert_eq!(read(&store, "a").await.meta, asked.meta);
    let refused = commit(&store, |change| change.create(&thing("env", "a", 2))).await;
    assert!(refused.unwrap_err().remedy.unwrap().contains("deleted"));
}

async fn what_is_removed_is_gone_and_its_name_free(database: &Database) {
    let store = database.open().await;
    let one = create(&store, &thing("env", "a", 1)).await;
    commit(&store, |change| change.remove(&one)).await.unwrap();
    assert!(store.get::<Thing>("env", "a").await.unwrap().is_none());
    let late = commit(&store, |change| change.status(&one)).await;
    let error = late.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains("was removed"), "{error}");
    create(&store, &thing("env", "a", 2)).await;
}

async fn a_resource_made_anew_is_another_one(database: &Database) {
    let store = database.open().await;
    let first = create(&store, &thing("env", "a", 1)).await;
    commit(&store, |change| change.remove(&first))
        .await
        .unwrap();
    let second = create(&store, &thing("env", "a", 1)).await;
    assert_ne!(first.meta.uid, second.meta.uid);
    assert!(second.meta.revision > first.meta.revision, "no ETag twice");
    let mut forged = first.clone();
    forged.meta.revision = second.meta.revision;
    let refused = commit(&store, |change| change.delete(&forged)).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Conflict);
}

async fn a_requirement_holds_or_the_change_fails(database: &Database) {
    let store = database.open().await;
    let mut one = create(&store, &thing("env", "a", 1)).await;
    commit(&store, |change| {
        change.require(&one)?;
        change.create(&thing("env", "b", 1))
    })
    .await
    .unwrap();
    let before = one.clone();
    one.spec.size = 2;
    commit(&store, |change| change.spec(&one)).await.unwrap();
    let refused = commit(&store, |change| {
        change.require(&before)?;
        change.create(&thing("env", "c", 1))
    });
    assert_eq!(refused.await.unwrap_err().kind, ErrorKind::Conflict);
    assert!(store.get::<Thing>("env", "c").await.unwrap().is_none());
}

async fn names_that_would_not_come_apart_are_refused(database: &Database) {
    let store = database.open().await;
    for (scope, name) in [
        ("env", ""),
        ("", "a/b"),
        ("env", "a//b"),
        ("env", "a/"),
        ("e/nv", "a"),
        ("env", "a\0"),
    ] {
        let refused = commit(&store, |change| change.create(&thing(scope, name, 1))).await;
        assert_eq!(
            refused.unwrap_err().kind,
            ErrorKind::Invalid,
            "{scope}/{name}"
        );
        assert!(store.get::<Thing>(scope, name).await.unwrap().is_none());
    }
    // What is in a scope may be named by a path.
    let path = create(&store, &thing("env", "a/b/c", 1)).await;
    let events = store.events(&EventFilter::default(), 0, 10).await.unwrap();
    assert_eq!(events.last().unwrap().subject_key(), Some(path.key()));
    let page = Query {
        limit: 1,
        ..Query::scope("env")
    };
    create(&store, &thing("env", "b", 1)).await;
    let first = store.list::<Thing>(&page).await.unwrap();
    let after = Query {
        after: first.next,
        ..page
    };
    let next = store.list::<Thing>(&after).await.unwrap();
    assert_eq!(next.items[0].meta.name, "b");
}

async fn text_of_any_kind_is_kept(database: &Database) {
    let store = database.open().await;
    let mut one: Resource<Thing> = thing("env", "größe-名前-🛶", 1);
    one.status.phase = "NUL \0, quote ' \" and \\ and \u{2028}".into();
    one.meta
        .labels
        .insert("a'b\"c".into(), "%_; DROP TABLE resource".into());
    create(&store, &one).await;
    let now = read(&store, "größe-名前-🛶").await;
    assert_eq!(now.status, one.status);
    assert_eq!(now.meta.labels, one.meta.labels);
}

async fn many_at_once_each_count(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 0)).await;
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut conflicts = 0;
                for _ in 0..5 {
                    loop {
                        let mut one = read(&store, "a").await;
                        one.spec.size += 1;
                        match commit(&store, |change| change.spec(&one)).await {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind, ErrorKind::Conflict),
                        }
                        conflicts += 1;
                    }
                }
                conflicts
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let now = read(&store, "a").await;
    assert_eq!((now.spec.size, now.meta.generation), (80, 81));
}
