//! Many who do ordinary things to one thing at the same moment all succeed, on one replica and on two.

use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use kernel::{Change, ErrorKind, Result, Store, anew};

use crate::support::{Database, Thing, create, read, thing};

/// As many as two replicas share: on SQLite there is one, which both are.
async fn replicas(database: &Database) -> [Store; 2] {
    let one = database.open().await;
    let other = match database.directory() {
        Some(_) => one.clone(),
        None => database.open().await,
    };
    [one, other]
}

/// Does `work` so many times at once, on both.
async fn at_once<T, F>(
    stores: &[Store; 2],
    times: usize,
    work: impl Fn(Store) -> F,
) -> Vec<Result<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let all = (0..times).map(|number| tokio::spawn(work(stores[number % 2].clone())));
    let done = join_all(all).await.into_iter();
    done.map(std::result::Result::unwrap).collect()
}

async fn one_more(store: &Store) -> Result<()> {
    let mut mine = read(store, "a").await;
    mine.spec.size += 1;
    let mut change = Change::new();
    change.spec(&mine)?;
    store.commit(change).await.map(drop)
}

/// Whether it has made it: where it is there, it is as it should be.
async fn made(store: &Store) -> Result<bool> {
    if store.get::<Thing>("env", "a").await?.is_some() {
        return Ok(false);
    }
    let mut change = Change::new();
    change.create(&thing("env", "a", 1))?;
    store.commit(change).await.map(|_| true)
}

async fn forty_who_count_one_thing_up_all_do(database: &Database) {
    let stores = replicas(database).await;
    create(&stores[0], &thing("env", "a", 0)).await;
    let work = |store: Store| async move { anew(|| one_more(&store)).await };
    for done in at_once(&stores, 40, work).await {
        done.unwrap();
    }
    assert_eq!(read(&stores[0], "a").await.spec.size, 40);
    for store in stores {
        store.close().await;
    }
}

async fn of_twenty_who_make_the_same_one_does_and_the_others_find_it(database: &Database) {
    let stores = replicas(database).await;
    let work = |store: Store| async move { anew(|| made(&store)).await };
    let all: Result<Vec<bool>> = at_once(&stores, 20, work).await.into_iter().collect();
    let made = all.unwrap().into_iter().filter(|made| *made).count();
    assert_eq!(made, 1);
    for store in stores {
        store.close().await;
    }
}

async fn of_twenty_who_decide_upon_one_thing_all_do(database: &Database) {
    let stores = replicas(database).await;
    let work = |store: Store| async move {
        anew(|| async {
            let serial = store.serial("line", "a", "the things of `a`").await?;
            let mut change = Change::new();
            change.after(&serial);
            store.commit(change).await.map(drop)
        })
        .await
    };
    for done in at_once(&stores, 20, work).await {
        done.unwrap();
    }
    for store in stores {
        store.close().await;
    }
}

/// It replaces nothing, and does not try for ever.
async fn who_makes_what_is_there_is_refused_at_once(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    store.expect_free::<Thing>("env", "b").await.unwrap();
    let tries = AtomicI64::new(0);
    let refused = anew(|| async {
        tries.fetch_add(1, Ordering::SeqCst);
        store.expect_free::<Thing>("env", "a").await
    });
    let error = refused.await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(error.message, "thing `a` in `env` already exists");
    assert_eq!(tries.into_inner(), 1);
    store.close().await;
}

on_both!(
    forty_who_count_one_thing_up_all_do,
    of_twenty_who_make_the_same_one_does_and_the_others_find_it,
    of_twenty_who_decide_upon_one_thing_all_do,
    who_makes_what_is_there_is_refused_at_once,
);
