//! Work that somebody else has overtaken is done anew, and a refusal is not asked for twice.

use std::sync::atomic::{AtomicU32, Ordering};

use kernel::{Change, Error, ErrorKind, anew};

use crate::support::{Database, Thing, create, read, thing};

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

on_both!(
    what_was_overtaken_is_done_anew,
    a_refusal_is_asked_for_once,
    a_removed_row_has_moved_on_too,
);
