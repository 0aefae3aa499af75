//! Leases, and the commits that they fence.

use std::time::Duration;

use kernel::{Change, ErrorKind};
use testkit::{PATIENCE, eventually};

use crate::support::{Database, create, thing};

const LONG: Duration = Duration::from_mins(1);

on_both!(
    a_lease_has_one_holder,
    an_expired_lease_passes_on,
    a_lost_lease_writes_nothing,
    a_lease_given_up_is_free_at_once,
    a_lease_taken_again_has_an_epoch_of_its_own,
    many_ask_and_one_gets_it,
);

async fn a_lease_has_one_holder(database: &Database) {
    let store = database.open().await;
    assert_eq!(store.held_for("l").await.unwrap(), Duration::ZERO);
    let fence = store.acquire("l", "a", LONG).await.unwrap().unwrap();
    assert_eq!(fence.epoch, 1);
    assert_eq!(store.acquire("l", "b", LONG).await.unwrap(), None);
    assert!(store.renew(&fence, "a", LONG).await.unwrap());
    assert!(!store.renew(&fence, "b", LONG).await.unwrap());
    store.commit(Change::new().fenced(fence)).await.unwrap();
    let left = store.held_for("l").await.unwrap();
    assert!(left > LONG / 2 && left <= LONG, "{left:?}");
    let other = store.acquire("other", "b", LONG).await.unwrap();
    assert!(other.is_some());
}

async fn an_expired_lease_passes_on(database: &Database) {
    let store = database.open().await;
    let short = Duration::from_millis(50);
    store.acquire("l", "a", short).await.unwrap().unwrap();
    let fence = eventually("the lease expires", PATIENCE, || async {
        store.acquire("l", "b", LONG).await.unwrap()
    })
    .await;
    assert_eq!(fence.epoch, 2);
    assert_eq!(store.acquire("l", "a", LONG).await.unwrap(), None);
}

async fn a_lost_lease_writes_nothing(database: &Database) {
    let store = database.open().await;
    let lost = store
        .acquire("l", "a", Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let mut change = Change::new().fenced(lost.clone());
    change.create(&thing("env", "a", 1)).unwrap();
    store.commit(change).await.unwrap();

    let held = store.acquire("l", "b", LONG).await.unwrap().unwrap();
    let mut change = Change::new().fenced(lost.clone());
    change.create(&thing("env", "late", 1)).unwrap();
    let error = store.commit(change).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let empty = Change::new().fenced(lost);
    assert!(store.commit(empty).await.is_err());
    let mut change = Change::new().fenced(held);
    change.create(&thing("env", "late", 2)).unwrap();
    store.commit(change).await.unwrap();
}

async fn a_lease_given_up_is_free_at_once(database: &Database) {
    let store = database.open().await;
    let fence = store.acquire("l", "a", LONG).await.unwrap().unwrap();
    store.release(&fence, "b").await.unwrap();
    assert_eq!(store.acquire("l", "b", LONG).await.unwrap(), None);
    store.release(&fence, "a").await.unwrap();
    let late = Change::new().fenced(fence);
    assert!(store.commit(late).await.is_err(), "already before the next");
    assert!(store.acquire("l", "b", LONG).await.unwrap().is_some());
}

async fn a_lease_taken_again_has_an_epoch_of_its_own(database: &Database) {
    let store = database.open().await;
    // Not given up, as where the store was away just then.
    let before = store.acquire("l", "a", LONG).await.unwrap().unwrap();
    let again = store.acquire("l", "a", LONG).await.unwrap().unwrap();
    assert!(again.epoch > before.epoch, "{before:?} {again:?}");
    let late = Change::new().fenced(before.clone());
    let error = store.commit(late).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(!store.renew(&before, "a", LONG).await.unwrap());
    store.release(&before, "a").await.unwrap();
    assert!(store.renew(&again, "a", LONG).await.unwrap());
    store.commit(Change::new().fenced(again)).await.unwrap();
}

async fn many_ask_and_one_gets_it(database: &Database) {
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    let asking: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.acquire("l", &n.to_string(), LONG).await.unwrap() })
        })
        .collect();
    let mut holders = 0;
    for asked in asking {
        holders += usize::from(asked.await.unwrap().is_some());
    }
    assert_eq!(holders, 1);
}

#[tokio::test]
async fn a_file_opened_again_has_no_leases_of_the_dead() {
    let database = Database::sqlite();
    let store = database.open().await;
    let lost = store.acquire("l", "killed", LONG).await.unwrap().unwrap();
    store.close().await;
    let store = database.open().await;
    let late = Change::new().fenced(lost.clone());
    assert!(store.commit(late).await.is_err());
    let held = store.acquire("l", "new", LONG).await.unwrap().unwrap();
    assert!(held.epoch > lost.epoch);
}
