//! Several stores on one Postgres.

use std::time::Duration;

use kernel::{EventFilter, Store};
use testkit::eventually;
use tokio::time::timeout;

use crate::support::{Database, commit, thing};

const PATIENCE: Duration = Duration::from_secs(20);

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
