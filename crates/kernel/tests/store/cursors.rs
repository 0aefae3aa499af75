//! How far consumers have read, and the terms in which they do.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use kernel::term::{Tenure, Term};
use testkit::{PATIENCE, eventually};
use tokio_util::sync::CancellationToken;

use crate::support::Database;

on_both!(
    cursors_only_move_on,
    many_cursors_move_at_once,
    one_at_a_time_works_and_the_next_takes_over,
);

async fn cursors_only_move_on(database: &Database) {
    let store = database.open().await;
    assert_eq!(store.cursor("mail").await.unwrap(), 0);
    store.set_cursor("mail", 7).await.unwrap();
    store.set_cursor("mail", 5).await.unwrap();
    store.set_cursor("other", 1).await.unwrap();
    assert_eq!(store.cursor("mail").await.unwrap(), 7);
    store.drop_cursor("mail").await.unwrap();
    assert_eq!(store.cursor("mail").await.unwrap(), 0);
}

async fn many_cursors_move_at_once(database: &Database) {
    let store = database.open().await;
    store.set_cursor("elsewhere", 3).await.unwrap();
    store.set_cursors(&[]).await.unwrap();
    let all: Vec<_> = (0..1234).map(|n| (format!("hook/{n}"), n + 1)).collect();
    store.set_cursors(&all).await.unwrap();
    // The same one twice, and one that has moved on.
    let again = [("hook/0", 9), ("hook/0", 8), ("hook/1000", 1)];
    let again = again.map(|(name, seq)| (name.to_owned(), seq));
    store.set_cursors(&again).await.unwrap();
    let found = store.cursors("hook/").await.unwrap();
    assert_eq!(found.len(), all.len());
    assert_eq!(
        (found["hook/0"], found["hook/1000"], found["hook/1233"]),
        (9, 1001, 1234)
    );
}

async fn one_at_a_time_works_and_the_next_takes_over(database: &Database) {
    let store = database.open().await;
    // Longer than a busy machine keeps anybody from renewing.
    let ttl = Duration::from_secs(10);
    let (working, terms) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let replica = |stop: CancellationToken| {
        let (working, terms) = (working.clone(), terms.clone());
        let tenure = Tenure::new(store.clone(), "work", "test").lease_ttl(ttl);
        tokio::spawn(tenure.run(stop, move |term: Term| {
            let (working, terms) = (working.clone(), terms.clone());
            async move {
                assert_eq!(working.fetch_add(1, SeqCst), 0, "two work at once");
                terms.fetch_add(1, SeqCst);
                term.stop.cancelled().await;
                working.fetch_sub(1, SeqCst);
            }
        }))
    };
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let tasks = [replica(first.clone()), replica(second.clone())];
    let begun = async |count: usize| {
        eventually("a term begins", PATIENCE, async || {
            (terms.load(SeqCst) == count).then_some(())
        })
        .await;
    };
    begun(1).await;
    // Renewed, it outlives its time.
    let left = Cell::new(store.held_for("work").await.unwrap());
    eventually("the lease is renewed", PATIENCE, async || {
        let now = store.held_for("work").await.unwrap();
        (left.replace(now) < now).then_some(())
    })
    .await;
    assert_eq!((terms.load(SeqCst), working.load(SeqCst)), (1, 1));
    // Whichever holds it is the one that stops first or second: the other goes on alone.
    first.cancel();
    eventually("one works", PATIENCE, async || {
        (working.load(SeqCst) == 1 && tasks[0].is_finished()).then_some(())
    })
    .await;
    second.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(working.load(SeqCst), 0);
}
