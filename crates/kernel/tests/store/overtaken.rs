//! Work that somebody else has overtaken is done anew, and a refusal is not asked for twice.

use std::sync::atomic::{AtomicU32, Ordering};

use kernel::{Caller, Change, Error, ErrorKind, Kind, NewEvent, Resource, anew, anew_counted};
use serde_json::json;

use crate::support::{Database, Thing, create, read, thing};

/// Another kind.
#[derive(Debug, Clone)]
struct Other;

impl Kind for Other {
    const KIND: &'static str = "ThingBeside";
    type Spec = ();
    type Status = ();
}

async fn what_was_overtaken_is_done_anew(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    let tries = AtomicU32::new(0);
    let written = anew(|| async {
        let mut mine = read(&store, "a").await;
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            let mut theirs = mine.clone();
            theirs.spec.size = 10;
            let mut change = Change::new();
            change.spec(&theirs)?;
            store.commit(change).await?;
        }
        mine.spec.size += 1;
        let mut change = Change::new();
        change.spec(&mine)?;
        store.commit(change).await?.resource::<Thing>(&mine.key())
    })
    .await
    .unwrap();
    assert_eq!((written.spec.size, tries.into_inner()), (11, 2));
    store.close().await;
}

async fn who_is_overtaken_is_told_how_often(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    let first = read(&store, "a").await;
    let done = anew_counted(|overtaken| {
        let (store, first) = (store.clone(), first.clone());
        async move {
            let mut mine = if overtaken < 2 {
                first
            } else {
                read(&store, "a").await
            };
            mine.spec.size += 1;
            let mut change = Change::new();
            change.spec(&mine)?;
            if overtaken == 0 {
                // Somebody else is first.
                let mut theirs = mine.clone();
                theirs.spec.size = 10;
                let mut before = Change::new();
                before.spec(&theirs)?;
                store.commit(before).await?;
            }
            store.commit(change).await?;
            Ok::<_, Error>(overtaken)
        }
    });
    assert_eq!(done.await.unwrap(), 2);
    assert_eq!(read(&store, "a").await.spec.size, 11);
    store.close().await;
}

async fn what_is_put_is_made_and_then_written(database: &Database) {
    let store = database.open().await;
    let put = async |thing: &Resource<Thing>| {
        let mut change = Change::new();
        let is_new = change.put(thing).unwrap();
        (is_new, store.commit(change).await)
    };
    let new = thing("env", "a", 1);
    assert!(matches!(put(&new).await, (true, Ok(_))));
    let mut there = read(&store, "a").await;
    there.spec.size = 2;
    assert!(matches!(put(&there).await, (false, Ok(_))));
    assert_eq!(read(&store, "a").await.spec.size, 2);
    // Of two who make it, one has.
    let (_, beside) = put(&new).await;
    assert_eq!(beside.unwrap_err().kind, ErrorKind::AlreadyExists);
    store.close().await;
}

async fn a_refusal_is_asked_for_once(database: &Database) {
    let store = database.open().await;
    let made = create(&store, &thing("env", "a", 1)).await;
    let tries = AtomicU32::new(0);
    let other_revision = anew(|| async {
        tries.fetch_add(1, Ordering::SeqCst);
        let now = read(&store, "a").await;
        now.meta.require_revision(Some(made.meta.revision + 1))
    });
    let error = other_revision.await.unwrap_err();
    assert_eq!(
        (error.kind, tries.load(Ordering::SeqCst)),
        (ErrorKind::Conflict, 1)
    );
    let used = anew(|| async {
        tries.fetch_add(1, Ordering::SeqCst);
        Err::<(), _>(Error::conflict("it is used"))
    });
    let error = used.await.unwrap_err();
    assert_eq!((error.kind, tries.into_inner()), (ErrorKind::Conflict, 2));
    store.close().await;
}

async fn a_removed_row_has_moved_on_too(database: &Database) {
    let store = database.open().await;
    let made = create(&store, &thing("env", "a", 1)).await;
    let mut change = Change::new();
    change.remove(&made).unwrap();
    store.commit(change).await.unwrap();
    let mut change = Change::new();
    change.status(&made).unwrap();
    let error = store.commit(change).await.unwrap_err();
    assert!(
        error.kind == ErrorKind::Conflict && error.is_overtaken(),
        "{error}"
    );
    store.close().await;
}

async fn what_was_written_since_overtakes_what_is_said_of_all(database: &Database) {
    let store = database.open().await;
    let last = create(&store, &thing("env", "last", 1)).await;
    let remove = async |head| {
        let mut change = Change::new();
        change.remove(&last)?;
        change.unless_written::<Thing>(head);
        store.commit(change).await
    };
    let head = store.head().await.unwrap();
    let beside = create(&store, &thing("env", "beside", 1)).await;
    assert!(remove(head).await.unwrap_err().is_overtaken());
    let head = store.head().await.unwrap();
    let mut larger = beside.clone();
    larger.spec.size = 2;
    let mut change = Change::new();
    change.spec(&larger).unwrap();
    let written = store.commit(change).await.unwrap();
    let mut beside: Resource<Thing> = written.resource(&larger.key()).unwrap();
    assert!(remove(head).await.unwrap_err().is_overtaken());
    // What is observed of one, that one goes, and what is of another kind, or no resource, is nothing to it.
    let head = store.head().await.unwrap();
    beside.status.phase = "ready".into();
    let mut change = Change::new();
    change.status(&beside).unwrap();
    let written = store.commit(change).await.unwrap();
    let mut gone = Change::new();
    gone.remove(&written.resource::<Thing>(&beside.key()).unwrap())
        .unwrap();
    store.commit(gone).await.unwrap();
    let mut other = Change::new();
    other
        .create(&Resource::<Other>::new("env", "other", ()))
        .unwrap();
    let told = ("thing.looked-at", last.key());
    let caller = Caller::local_admin();
    other.event(NewEvent::caused(
        told.0,
        told.1,
        "",
        &caller,
        None,
        json!({}),
    ));
    store.commit(other).await.unwrap();
    remove(head).await.unwrap();
}

on_both!(
    what_was_written_since_overtakes_what_is_said_of_all,
    what_was_overtaken_is_done_anew,
    who_is_overtaken_is_told_how_often,
    what_is_put_is_made_and_then_written,
    a_refusal_is_asked_for_once,
    a_removed_row_has_moved_on_too,
);
