//! Another platform key: everything is sealed anew while the store is in use.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kernel::{
    ErrorKind, Record, Sealer, Secret, Store, Transient,
    sealer::PlatformKey,
    store::{Idempotency, Replay},
};
use serde::{Deserialize, Serialize};

use crate::support::{Database, Thing, commit, create, thing};

on_both!(
    everything_is_sealed_by_the_new_key_and_the_old_one_is_not_needed,
    broken_off_and_begun_anew_it_is_done_once,
    two_at_once_and_writers_between_them_lose_nothing,
    turned_to_another_key_while_in_use_nothing_is_lost,
    a_key_that_is_needed_is_asked_for_by_its_id,
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note(u32);

impl Transient for Note {
    const KIND: &'static str = "rekey-note";
}

/// A later `Database` of the same, with other keys.
pub(crate) async fn open(database: &Database, sealer: Sealer) -> Store {
    Store::open(&database.url, sealer).await.unwrap()
}

pub(crate) fn keys() -> [PlatformKey; 2] {
    [(); 2].map(|()| PlatformKey::generate().unwrap())
}

fn soon() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

/// Secrets, records and an answer; as many as several batches hold.
pub(crate) async fn fill(store: &Store, count: u32) -> kernel::Resource<Thing> {
    let owner = create(store, &thing("env", "owner", 1)).await;
    for number in 0..count {
        commit(store, |change| {
            change.seal(owner.meta.uid, format!("s{number}"), secret(number));
            change.keep(&Record::new(format!("r{number}"), soon(), Note(number)))
        })
        .await
        .unwrap();
    }
    let first = store.idempotent("ada", "k", [1; 32]).await.unwrap();
    let Idempotency::First(held) = first else {
        panic!("{first:?}");
    };
    let answer = Replay {
        status: 201,
        body: b"answer".to_vec(),
    };
    store.keep_answer(held, answer).await.unwrap();
    owner
}

pub(crate) fn secret(number: u32) -> Secret {
    Secret::from(format!("secret {number}"))
}

pub(crate) async fn assert_all_open(store: &Store, owner: &kernel::Resource<Thing>, count: u32) {
    for number in 0..count {
        let name = format!("s{number}");
        let found = store.secret(owner.meta.uid, &name).await.unwrap();
        assert_eq!(found, Some(secret(number)));
        let record = store.record::<Note>(&format!("r{number}")).await.unwrap();
        assert_eq!(record.unwrap().value, Note(number));
    }
    let again = store.idempotent("ada", "k", [1; 32]).await.unwrap();
    assert!(matches!(again, Idempotency::Answered(replay) if replay.body == b"answer"));
}

pub(crate) async fn reseal(store: &Store) {
    let mut progress = None;
    loop {
        progress = store.reseal(progress).await.unwrap();
        if progress.is_none() {
            return;
        }
    }
}

async fn everything_is_sealed_by_the_new_key_and_the_old_one_is_not_needed(database: &Database) {
    const COUNT: u32 = 130;
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, COUNT).await;
    store.close().await;

    let store = open(database, Sealer::new(new.clone()).with_former(old.clone())).await;
    let before = store.sealed_by().await.unwrap();
    // Beside what was filled in: the proof of the key.
    assert_eq!(before.secrets, i64::from(COUNT) * 2 + 2);
    assert_eq!(before.remaining, before.secrets);
    assert_eq!((before.current, before.former), (new.id(), vec![old.id()]));
    assert_all_open(&store, &owner, COUNT).await;
    reseal(&store).await;
    let after = store.sealed_by().await.unwrap();
    assert_eq!((after.remaining, after.former.len()), (0, 0));
    assert_eq!(after.secrets, before.secrets);
    store.close().await;

    let store = open(database, Sealer::new(new)).await;
    assert_all_open(&store, &owner, COUNT).await;
    store.close().await;
    let refused = Store::open(&database.url, Sealer::new(old)).await;
    assert_eq!(refused.err().unwrap().kind, ErrorKind::Forbidden);
}

async fn broken_off_and_begun_anew_it_is_done_once(database: &Database) {
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, 130).await;
    store.close().await;
    let both = || Sealer::new(new.clone()).with_former(old.clone());
    for steps in 1..5 {
        let store = open(database, both()).await;
        let mut progress = None;
        for _ in 0..steps {
            progress = store.reseal(progress).await.unwrap();
        }
        // Where it has come to goes with the process.
        assert_all_open(&store, &owner, 130).await;
        store.close().await;
    }
    let store = open(database, both()).await;
    reseal(&store).await;
    store.close().await;
    let store = open(database, Sealer::new(new)).await;
    assert_all_open(&store, &owner, 130).await;
}

async fn two_at_once_and_writers_between_them_lose_nothing(database: &Database) {
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, 120).await;
    store.close().await;
    let store = open(database, Sealer::new(new.clone()).with_former(old.clone())).await;
    let writing = write_some(&store, &owner);
    tokio::join!(reseal(&store), reseal(&store), writing);
    reseal(&store).await;
    store.close().await;
    let store = open(database, Sealer::new(new)).await;
    assert_some_written(&store, &owner).await;
}

async fn write_some(store: &Store, owner: &kernel::Resource<Thing>) {
    for number in 0..40 {
        commit(store, |change| {
            change.seal(
                owner.meta.uid,
                format!("s{number}"),
                Secret::from("written"),
            );
            Ok(())
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Of 120 secrets.
async fn assert_some_written(store: &Store, owner: &kernel::Resource<Thing>) {
    for number in 0..120 {
        let name = format!("s{number}");
        let found = store.secret(owner.meta.uid, &name).await.unwrap();
        let expected = if number < 40 {
            Secret::from("written")
        } else {
            secret(number)
        };
        assert_eq!(found, Some(expected), "{number}");
    }
}

async fn turned_to_another_key_while_in_use_nothing_is_lost(database: &Database) {
    let [old, new] = keys();
    let sealer = Sealer::new(old.clone());
    let store = open(database, sealer.clone()).await;
    let owner = fill(&store, 120).await;
    let turning = async {
        sealer.turn_to(new.clone());
        reseal(&store).await;
    };
    tokio::join!(write_some(&store, &owner), turning);
    reseal(&store).await;
    let state = store.sealed_by().await.unwrap();
    assert_eq!((state.current, state.remaining), (new.id(), 0));
    assert!(state.former.is_empty(), "{:?}", state.former);
    store.close().await;
    let refused = Store::open(&database.url, Sealer::new(old)).await;
    assert_eq!(refused.err().unwrap().kind, ErrorKind::Forbidden);
    let store = open(database, Sealer::new(new)).await;
    assert_some_written(&store, &owner).await;
}

async fn a_key_that_is_needed_is_asked_for_by_its_id(database: &Database) {
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, 5).await;
    store.close().await;
    // The new key seals the proof anew and half of the rest: both are needed.
    let store = open(database, Sealer::new(new.clone()).with_former(old.clone())).await;
    store.reseal(None).await.unwrap();
    store.close().await;
    for (given, missing) in [(&new, &old), (&old, &new)] {
        let refused = Store::open(&database.url, Sealer::new(given.clone())).await;
        let refused = refused.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Forbidden);
        assert!(refused.message.contains(missing.id().as_str()), "{refused}");
        assert!(refused.remedy.is_some());
    }
    // One that still runs with the old key alone goes on sealing by it: that is kept, and told.
    let late = open(database, Sealer::new(old.clone()).with_former(new.clone())).await;
    reseal(&late).await;
    assert_all_open(&late, &owner, 5).await;
    late.close().await;
    open(database, Sealer::new(old)).await.close().await;
}
