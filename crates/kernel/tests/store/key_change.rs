//! Another platform key that all replicas take while they run.

use std::{pin::pin, time::Duration};

use kernel::{
    Error, ErrorKind, Result, Sealer, Secret, Store,
    sealer::{KeyId, PlatformKey},
    store::{Attendance, KeyChange},
};
use sqlx::Connection as _;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    rekey::{assert_all_open, fill, keys, open, reseal},
    support::{Database, commit},
};

/// More than it takes to open a store.
const MOMENT: Duration = Duration::from_millis(500);

on_both!(
    killed_between_any_two_steps_the_store_opens_with_either_key,
    of_two_changes_at_once_one_is_refused,
    a_key_that_was_changed_is_not_taken_again,
    while_something_is_sealed_by_a_former_key_none_is_announced,
    who_slept_through_a_change_takes_part_in_the_next_by_the_key_that_it_has,
    who_says_that_it_is_there_is_told_of,
);

/// A replica, as it says that it is there.
struct Replica {
    id: Uuid,
    place: &'static str,
    keeps: KeyId,
    ttl: Duration,
}

impl Replica {
    fn started_with(key: &PlatformKey) -> Self {
        Self {
            id: Uuid::now_v7(),
            place: "here",
            keeps: key.id(),
            ttl: Duration::from_hours(1),
        }
    }

    async fn says(&self, store: &Store, ready: Option<&PlatformKey>) -> Result<Option<KeyChange>> {
        let attendance = Attendance {
            replica: self.id,
            name: self.id.to_string(),
            place: self.place.into(),
            ready: ready.map(PlatformKey::id),
            keeps: self.keeps.clone(),
            reason: None,
            ttl: self.ttl,
        };
        store.attend(attendance).await
    }

    /// While a change is under way.
    async fn tells(&self, store: &Store, ready: Option<&PlatformKey>) -> KeyChange {
        self.says(store, ready).await.unwrap().unwrap()
    }
}

async fn announce(store: &Store, key: &PlatformKey) -> Result<()> {
    let announced = commit(store, |change| {
        change.announce_key(key.clone());
        Ok(())
    });
    announced.await.map(drop)
}

async fn forget(store: &Store) -> Result<()> {
    let forgotten = commit(store, |change| {
        change.forget_former_key();
        Ok(())
    });
    forgotten.await.map(drop)
}

async fn refused_with(database: &Database, key: &PlatformKey) -> Error {
    let opened = Store::open(&database.url, Sealer::new(key.clone())).await;
    opened.err().unwrap()
}

async fn killed_between_any_two_steps_the_store_opens_with_either_key(database: &Database) {
    const COUNT: u32 = 120;
    let [old, new] = keys();
    let replica = Replica::started_with(&old);
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, COUNT).await;
    assert!(replica.says(&store, None).await.unwrap().is_none());
    announce(&store, &new).await.unwrap();
    store.close().await;
    for step in 0..5 {
        let is_used = step >= 3;
        for key in [&old, &new] {
            let store = open(database, Sealer::new(key.clone())).await;
            assert_all_open(&store, &owner, COUNT).await;
            let seals = if is_used { &new } else { &old };
            assert_eq!(store.sealing_key(), seals.id(), "{step}: {key:?}");
            let change = store.key_change().await.unwrap().unwrap();
            assert_eq!((change.in_use, change.done), (is_used, step == 4));
            store.close().await;
        }
        let given = if step % 2 == 0 { &old } else { &new };
        let store = open(database, Sealer::new(given.clone())).await;
        match step {
            0 => assert!(!replica.tells(&store, None).await.in_use),
            1 => assert!(!replica.tells(&store, Some(&old)).await.in_use),
            2 => assert!(replica.tells(&store, Some(&new)).await.in_use),
            3 => {
                let progress = store.reseal(None).await.unwrap();
                assert!(progress.is_some(), "some is left");
                assert!(!store.key_change().await.unwrap().unwrap().done);
                reseal(&store).await;
            }
            _ => {
                assert!(replica.tells(&store, Some(&new)).await.done);
                forget(&store).await.unwrap();
            }
        }
        store.close().await;
    }
    let refused = refused_with(database, &old).await;
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    assert!(refused.message.contains(new.id().as_str()), "{refused}");
    let store = open(database, Sealer::new(new)).await;
    assert_all_open(&store, &owner, COUNT).await;
}

async fn of_two_changes_at_once_one_is_refused(database: &Database) {
    let [old, new] = keys();
    let [other, _] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    fill(&store, 1).await;
    let (first, second) = tokio::join!(announce(&store, &new), announce(&store, &other));
    let [taken, refused] = if first.is_ok() {
        [&new, &other]
    } else {
        [&other, &new]
    };
    let error = first.and(second).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains(taken.id().as_str()), "{error}");
    assert!(error.remedy.unwrap().contains("--status"));
    announce(&store, taken).await.unwrap();
    let early = forget(&store).await.unwrap_err();
    assert_eq!(early.kind, ErrorKind::Conflict);

    let replica = Replica::started_with(&old);
    replica.tells(&store, Some(taken)).await;
    reseal(&store).await;
    let kept = announce(&store, refused).await.unwrap_err();
    assert!(kept.remedy.unwrap().contains("--forget-former"));
    forget(&store).await.unwrap();
    announce(&store, refused).await.unwrap();
}

async fn a_key_that_was_changed_is_not_taken_again(database: &Database) {
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    let owner = fill(&store, 3).await;
    announce(&store, &new).await.unwrap();
    Replica::started_with(&old).tells(&store, Some(&new)).await;
    reseal(&store).await;
    forget(&store).await.unwrap();
    for key in [&old, &new] {
        let refused = announce(&store, key).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Invalid, "{key:?}");
    }
    store.close().await;
    // Whoever starts it with the former key, and the new one beside it, does not seal by the former one.
    let store = open(database, Sealer::new(old).with_former(new.clone())).await;
    assert_eq!(store.sealing_key(), new.id());
    assert_all_open(&store, &owner, 3).await;
}

async fn while_something_is_sealed_by_a_former_key_none_is_announced(database: &Database) {
    let [old, new] = keys();
    let [next, _] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    fill(&store, 3).await;
    store.close().await;
    let store = open(database, Sealer::new(new).with_former(old)).await;
    let refused = announce(&store, &next).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    reseal(&store).await;
    announce(&store, &next).await.unwrap();
}

async fn who_slept_through_a_change_takes_part_in_the_next_by_the_key_that_it_has(
    database: &Database,
) {
    let [first, second] = keys();
    let [third, _] = keys();
    let replica = Replica::started_with(&first);
    let store = open(database, Sealer::new(first.clone())).await;
    let owner = fill(&store, 3).await;
    announce(&store, &second).await.unwrap();
    assert!(replica.tells(&store, Some(&second)).await.in_use);
    reseal(&store).await;
    forget(&store).await.unwrap();
    announce(&store, &third).await.unwrap();
    store.close().await;
    for seals in [&second, &third] {
        let sealer = Sealer::new(first.clone()).with_former(second.clone());
        let store = open(database, sealer).await;
        assert_eq!(store.sealing_key(), seals.id());
        assert_all_open(&store, &owner, 3).await;
        assert!(replica.tells(&store, Some(&third)).await.in_use);
        assert_eq!(store.sealing_key(), third.id());
        store.close().await;
    }
    let refused = refused_with(database, &first).await;
    assert_eq!(refused.kind, ErrorKind::Forbidden);
}

async fn who_says_that_it_is_there_is_told_of(database: &Database) {
    let [old, new] = keys();
    let store = open(database, Sealer::new(old.clone())).await;
    fill(&store, 1).await;
    announce(&store, &new).await.unwrap();
    let mut replica = Replica::started_with(&old);
    replica.ttl = Duration::ZERO;
    let change = replica.tells(&store, None).await;
    assert_eq!(change.replicas.len(), 1, "{change:?}");
}

/// Two stores on one Postgres, with the same key and each with its own sealer; and their replicas.
async fn two(database: &Database, key: &PlatformKey) -> [(Store, Replica); 2] {
    let one = open(database, Sealer::new(key.clone())).await;
    let other = open(database, Sealer::new(key.clone())).await;
    [one, other].map(|store| (store, Replica::started_with(key)))
}

/// As if a replica had sealed something by another key just then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_opens_by_what_those_who_write_meanwhile_leave() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let [key, _] = keys();
    open(&database, Sealer::new(key.clone()))
        .await
        .close()
        .await;
    let mut writer = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let begun = "BEGIN; SELECT pg_advisory_xact_lock(7311867010);
        INSERT INTO platform (name, value) VALUES ('key/0123456789abcdef', '')";
    sqlx::raw_sql(begun).execute(&mut writer).await.unwrap();
    let mut opening = pin!(Store::open(&database.url, Sealer::new(key)));
    assert!(timeout(MOMENT, &mut opening).await.is_err());
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    let refused = opening.await.err().unwrap();
    assert!(refused.message.contains("0123456789abcdef"), "{refused}");
}

async fn seal(store: &Store, owner: Uuid, name: &str) -> Result<()> {
    let sealed = commit(store, |change| {
        change.seal(owner, name, Secret::from(name));
        Ok(())
    });
    sealed.await.map(drop)
}

async fn opens(store: &Store, owner: Uuid, name: &str) -> Option<Secret> {
    store.secret(owner, name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_seals_when_every_replica_that_lives_can_open_by_it() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let [old, new] = keys();
    let [(one, first), (two, second)] = two(&database, &old).await;
    let owner = fill(&one, 3).await.meta.uid;
    for (store, replica) in [(&one, &first), (&two, &second)] {
        assert!(replica.says(store, None).await.unwrap().is_none());
    }
    announce(&one, &new).await.unwrap();
    let change = first.tells(&one, Some(&new)).await;
    assert!(!change.in_use, "{change:?}");
    let waited = change.replicas.iter().filter(|replica| !replica.ready);
    let waited: Vec<_> = waited.map(|replica| replica.name.clone()).collect();
    assert_eq!(waited, [second.id.to_string()]);
    // One that starts in the midst, with the new key, seals by the old one as the others do, and is waited for.
    let three = open(&database, Sealer::new(new.clone())).await;
    let third = Replica::started_with(&new);
    assert!(!third.tells(&three, None).await.in_use);
    assert!(!second.tells(&two, Some(&new)).await.in_use);
    seal(&three, owner, "by-three").await.unwrap();
    assert_eq!(three.sealing_key(), old.id());
    assert!(opens(&one, owner, "by-three").await.is_some());

    let change = third.tells(&three, Some(&new)).await;
    assert!(change.in_use, "{change:?}");
    assert_eq!(three.sealing_key(), new.id());
    seal(&three, owner, "by-new").await.unwrap();
    // Those who have not looked since open it, and seal by it as soon as they do.
    assert_eq!(one.sealing_key(), old.id());
    assert!(opens(&one, owner, "by-new").await.is_some());
    seal(&one, owner, "by-one").await.unwrap();
    assert_eq!(one.sealing_key(), new.id());
    reseal(&two).await;
    let change = second.tells(&two, Some(&new)).await;
    assert!(change.done, "{change:?}");
    let keep: Vec<_> = change.replicas.iter().filter(|one| one.keeps).collect();
    assert_eq!(keep.len(), 1, "only one was started with it: {change:?}");
    for store in [&one, &two, &three] {
        for name in ["by-three", "by-new", "by-one", "s0"] {
            assert!(opens(store, owner, name).await.is_some(), "{name}");
        }
    }
    // Whoever ends in order is not asked for any more.
    for replica in [&first, &second] {
        one.leave(replica.id).await.unwrap();
    }
    let change = third.tells(&three, Some(&new)).await;
    assert!(change.replicas.iter().all(|replica| replica.keeps));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_away_seals_nothing_by_the_former_key() {
    let Some(database) = Database::postgres().await else {
        return;
    };
    let [old, new] = keys();
    let [(one, first), (away, mut second)] = two(&database, &old).await;
    let lost = open(&database, Sealer::new(old.clone())).await;
    let owner = fill(&one, 3).await.meta.uid;
    // Frozen from here on, it is taken for dead.
    second.ttl = Duration::ZERO;
    second.place = "there";
    second.says(&away, None).await.unwrap();
    announce(&one, &new).await.unwrap();
    assert!(first.tells(&one, Some(&new)).await.in_use);
    reseal(&one).await;

    for store in [&away, &lost] {
        let refused = seal(store, owner, "late").await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unavailable);
        assert!(refused.message.contains(new.id().as_str()), "{refused}");
    }
    assert!(second.tells(&away, None).await.done, "it learns of it");
    seal(&away, owner, "late").await.unwrap();
    assert_eq!(away.sealing_key(), new.id());
    assert!(opens(&one, owner, "late").await.is_some());

    // Dead, it may come back with the former key; where it ran another runs now, which was started with the new one.
    let change = first.tells(&one, Some(&new)).await;
    assert_eq!(change.replicas.len(), 2, "{change:?}");
    let mut again = Replica::started_with(&new);
    again.place = second.place;
    let change = again.tells(&away, Some(&new)).await;
    assert_eq!(change.replicas.len(), 2, "{change:?}");
    assert!(change.replicas.iter().all(|replica| replica.alive));

    forget(&one).await.unwrap();
    let third = Replica::started_with(&old);
    let refused = third.says(&lost, None).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    assert!(one.sealed_by().await.unwrap().former.is_empty());
}
