//! Several stores on one Postgres.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use kernel::{Event, EventFilter, Follower, Result, Store, follower::View};
use testkit::{PATIENCE, eventually};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Database, commit, thing};

/// Follows the log as a consumer does, up to `last`.
async fn follow(store: Store, last: i64) -> Vec<i64> {
    let mut head = store.subscribe();
    let (mut seen, mut after) = (Vec::new(), 0);
    while after < last {
        head.borrow_and_update();
        let events = store
            .events(&EventFilter::default(), after, 7)
            .await
            .unwrap();
        seen.extend(events.iter().map(|event| event.seq));
        match events.last() {
            Some(event) => after = event.seq,
            None => head.changed().await.unwrap(),
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sees_the_others_events_in_order_and_without_gaps() {
    const EACH: i64 = 40;
    const WRITERS: i64 = 4;
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (one, two) = (database.open().await, database.open().await);
    assert_eq!(one.platform(), two.platform());
    let last = 2 * WRITERS * EACH;
    let followers = [&one, &two].map(|store| tokio::spawn(follow(store.clone(), last)));
    let mut writers = vec![];
    for (number, store) in [&one, &two].into_iter().enumerate() {
        for writer in 0..WRITERS {
            let store = store.clone();
            writers.push(tokio::spawn(async move {
                for n in 0..EACH {
                    let name = format!("{number}-{writer}-{n}");
                    commit(&store, |change| change.create(&thing("env", &name, n)))
                        .await
                        .unwrap();
                    // One that fails in between leaves no gap.
                    let taken = commit(&store, |change| change.create(&thing("env", &name, n)));
                    taken.await.unwrap_err();
                }
            }));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let expected: Vec<i64> = (1..=last).collect();
    for follower in followers {
        let seen = timeout(PATIENCE, follower).await.unwrap().unwrap();
        assert_eq!(seen, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_reaches_the_other_at_once() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (one, two) = (database.open().await, database.open().await);
    let mut head = two.subscribe();
    // The first may find the listener still on its way; the fallback finds it then.
    for n in 1..=5 {
        let name = n.to_string();
        commit(&one, |change| change.create(&thing("env", &name, 1)))
            .await
            .unwrap();
        timeout(PATIENCE, head.wait_for(|head| *head >= n))
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_connections_were_cut_heals() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let (one, two) = (database.open().await, database.open().await);
    let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
    commit(&one, |change| change.create(&thing("env", "a", 1)))
        .await
        .unwrap();
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut head = two.subscribe();
    eventually("the store writes again", PATIENCE, || async {
        let again = commit(&one, |change| change.create(&thing("env", "b", 1)));
        again.await.ok()
    })
    .await;
    timeout(PATIENCE, head.wait_for(|head| *head >= 2))
        .await
        .unwrap()
        .unwrap();
}

/// Keeps the place of the last event that it has heard of.
#[derive(Default)]
struct Last(AtomicI64);

impl Last {
    fn seq(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl View for Last {
    fn called(&self) -> &'static str {
        "the last event"
    }

    async fn hear(&self, events: &[Event]) -> Result<()> {
        if let Some(last) = events.last() {
            self.0.store(last.seq, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// Appends as a replica does that dies before it tells the others. Gives the event's place in the log.
async fn append_untold(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT event_append_one('2025-01-01T00:00:00Z', $1, 'dev.towpath.thing.told', 'Thing/env/a', '', $1,
                                 'ada', 'platform', NULL, NULL, '{}')",
    )
    .bind(Uuid::now_v7().to_string())
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_current_with_what_another_has_committed_and_told_nobody_of() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.open().await;
    let (follower, view) = (Follower::new(store.clone()).await.unwrap(), Last::default());
    let other = sqlx::PgPool::connect(&database.url).await.unwrap();
    for _ in 0..50 {
        let committed = append_untold(&other).await;
        follower.current(&view).await.unwrap();
        assert_eq!(view.seq(), committed);
    }
    // Many at once, each with what was committed before it asked.
    let asked = (0..100).map(|_| async {
        let committed = append_untold(&other).await;
        follower.current(&view).await.unwrap();
        assert!(view.seq() >= committed);
    });
    join_all(asked).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_is_current_though_the_connection_that_asks_was_cut() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let store = database.open().await;
    let (follower, view) = (Follower::new(store.clone()).await.unwrap(), Last::default());
    let other = sqlx::PgPool::connect(&database.url).await.unwrap();
    for _ in 0..5 {
        let committed = append_untold(&other).await;
        follower.current(&view).await.unwrap();
        assert_eq!(view.seq(), committed);
        let cut = sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'towpath read index'",
        );
        assert_eq!(cut.fetch_all(&other).await.unwrap().len(), 1);
    }
    store.close().await;
}
