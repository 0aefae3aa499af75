use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use kernel::{Change, Sealer, Secret};

use super::*;
use crate::{
    Config, keys,
    turning::{before, beside},
};

/// A replica: its files, and the store as it has it.
struct Replica {
    config: Config,
    sealer: Sealer,
    turning: Arc<Turning>,
    store: Store,
}

impl Replica {
    /// Starts one with the files in `data`.
    async fn start(data: &Path, url: &str) -> Self {
        let config = Config {
            store: Some(Secret::from(url)),
            ..Config::local(data)
        };
        let (sealer, turning) = keys::sealer(&config).await.expect("its keys");
        let store = Store::open(url, sealer.clone()).await;
        let store = store.expect("it opens");
        turning.join(&store).await.expect("it takes part");
        Self {
            config,
            sealer,
            turning,
            store,
        }
    }

    /// As after a kill.
    async fn again(self) -> Self {
        self.store.close().await;
        let url = self.config.store_url();
        Self::start(&self.config.data, &url).await
    }

    fn file(&self) -> PathBuf {
        self.config.data.join("platform.key")
    }

    async fn step(&self) -> Option<KeyChange> {
        self.turning.step(&self.store).await.expect("it answers")
    }

    async fn announce(&self) -> KeyId {
        let next = self.turning.next(&self.store, None).await;
        let key = next.expect("one is drawn").expect("it is to be announced");
        let id = key.id();
        let mut change = Change::new();
        change.announce_key(key);
        self.store.commit(change).await.expect("it is announced");
        id
    }

    async fn reseal(&self) {
        let mut progress = None;
        loop {
            progress = self.store.reseal(progress).await.expect("it is sealed");
            if progress.is_none() {
                return;
            }
        }
    }

    async fn digest_key(&self) -> Secret {
        keys::digest_key(&self.store).await.expect("it opens")
    }
}

/// Two directories with the same key in a file of each.
async fn directories() -> [tempfile::TempDir; 2] {
    let both = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [one, other] = both.each_ref().map(|at| at.path().join("platform.key"));
    PlatformKey::from_file(&one, None).await.expect("drawn");
    fs::copy(&one, &other).expect("the same");
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_take_a_key_together_and_each_keeps_it_in_its_file() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directories = directories().await;
    let one = Replica::start(directories[0].path(), &database.url).await;
    let two = Replica::start(directories[1].path(), &database.url).await;
    let digest_key = one.digest_key().await;
    let old = one.sealer.current();
    let new = one.announce().await;
    assert!(!one.step().await.expect("announced").in_use, "two has not");
    assert_eq!(one.sealer.current(), old);
    assert!(two.step().await.expect("announced").in_use, "it was last");
    one.step().await;
    for replica in [&one, &two] {
        assert_eq!(replica.sealer.current(), new);
        assert_eq!(replica.digest_key().await, digest_key);
        let mode = replica.file().metadata().expect("a file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(before(&replica.file()).exists(), "still needed");
    }
    one.reseal().await;
    for replica in [&one, &two, &one] {
        replica.step().await;
    }
    let forgotten = one.store.key_change().await.expect("it answers");
    assert!(forgotten.is_none(), "all keep it: {forgotten:?}");
    for replica in [one, two] {
        let former = beside(&replica.file(), &format!("former-{old}"));
        assert!(former.exists(), "for older copies of the store");
        let replica = replica.again().await;
        assert_eq!(replica.sealer.known().len(), 1);
        assert_eq!(replica.sealer.current(), new);
        assert_eq!(replica.digest_key().await, digest_key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_with_one_file_take_a_key_and_keep_the_former_one() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let one = Replica::start(directory.path(), &database.url).await;
    let two = Replica::start(directory.path(), &database.url).await;
    let digest_key = one.digest_key().await;
    let old = one.sealer.current();
    let new = two.announce().await;
    let (first, second) = tokio::join!(one.step(), two.step());
    assert!(first.is_some() && second.is_some());
    tokio::join!(one.step(), two.step());
    let kept = PlatformKey::from_existing(&before(&one.file()), None).await;
    assert_eq!(kept.expect("the former one").id(), old);
    two.reseal().await;
    tokio::join!(one.step(), two.step());
    one.step().await;
    assert!(beside(&one.file(), &format!("former-{old}")).exists());
    assert!(!before(&one.file()).exists());
    let one = one.again().await;
    assert_eq!(one.sealer.current(), new);
    assert_eq!(one.digest_key().await, digest_key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_any_step_replicas_go_on_with_what_they_find() {
    for killed in 0..6 {
        let Some(database) = testkit::servers::postgres_database().await else {
            return;
        };
        let directories = directories().await;
        let mut one = Replica::start(directories[0].path(), &database.url).await;
        let mut two = Replica::start(directories[1].path(), &database.url).await;
        let digest_key = one.digest_key().await;
        let new = one.announce().await;
        for step in 0..6 {
            if step == killed {
                for replica in [&one, &two] {
                    // As long as it takes to be taken for dead.
                    let left = replica.store.leave(replica.turning.replica).await;
                    left.expect("it answers");
                }
                (one, two) = (one.again().await, two.again().await);
                assert_eq!(one.digest_key().await, digest_key, "{killed}");
                assert_eq!(two.digest_key().await, digest_key, "{killed}");
            }
            match step {
                0 | 2 | 5 => drop(one.step().await),
                1 | 4 => drop(two.step().await),
                _ => one.reseal().await,
            }
        }
        for replica in [&one, &two] {
            replica.step().await;
            assert_eq!(replica.sealer.current(), new, "{killed}");
        }
        one.reseal().await;
        for replica in [&one, &two, &one] {
            replica.step().await;
        }
        let change = one.store.key_change().await.expect("it answers");
        assert!(change.is_none(), "{killed}: {change:?}");
        for replica in [one, two] {
            let replica = replica.again().await;
            assert_eq!(replica.sealer.current(), new, "{killed}");
            assert_eq!(replica.digest_key().await, digest_key, "{killed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_keep_the_key_says_why_and_is_waited_for() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directories = directories().await;
    let one = Replica::start(directories[0].path(), &database.url).await;
    let two = Replica::start(directories[1].path(), &database.url).await;
    one.digest_key().await;
    one.announce().await;
    let away = two.config.data.join("away");
    fs::rename(two.file(), &away).expect("it is away");
    two.step().await;
    let change = one.step().await.expect("announced");
    assert!(!change.in_use, "{change:?}");
    let reasons: Vec<_> = change
        .replicas
        .iter()
        .filter_map(|r| r.reason.as_ref())
        .collect();
    assert_eq!(reasons.len(), 1, "{change:?}");
    assert!(reasons[0].contains("platform.key"), "{reasons:?}");
    fs::rename(&away, two.file()).expect("it is back");
    let change = two.step().await.expect("announced");
    assert!(change.in_use, "{change:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_replica_cannot_put_the_key_in_its_place_the_former_one_is_not_forgotten() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directories = directories().await;
    let one = Replica::start(directories[0].path(), &database.url).await;
    let two = Replica::start(directories[1].path(), &database.url).await;
    one.digest_key().await;
    one.announce().await;
    two.step().await;
    let away = two.config.data.join("away");
    fs::rename(two.file(), &away).expect("it is away");
    assert!(one.step().await.expect("announced").in_use);
    two.step().await;
    one.reseal().await;
    for replica in [&one, &two, &one, &two] {
        let change = replica.step().await.expect("it is kept");
        assert!(change.done, "{change:?}");
    }
    let change = one.step().await.expect("it is kept");
    let kept = change.replicas.iter().filter(|replica| replica.keeps);
    assert_eq!(kept.count(), 1, "{change:?}");
    let reasons = change.replicas.iter().filter_map(|r| r.reason.as_ref());
    assert_eq!(reasons.count(), 1, "{change:?}");
    fs::rename(&away, two.file()).expect("it is back");
    for replica in [&two, &one, &two] {
        replica.step().await;
    }
    let change = one.store.key_change().await.expect("it answers");
    assert!(change.is_none(), "{change:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_slept_through_a_change_keeps_its_key_in_the_next_one() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directories = directories().await;
    let one = Replica::start(directories[0].path(), &database.url).await;
    let two = Replica::start(directories[1].path(), &database.url).await;
    let digest_key = one.digest_key().await;
    let first = one.sealer.current();
    let second = one.announce().await;
    two.step().await;
    let left = two.store.leave(two.turning.replica).await;
    left.expect("as when it is taken for dead");
    assert!(one.step().await.expect("announced").in_use);
    one.reseal().await;
    for _ in 0..2 {
        one.step().await;
    }
    let third = one.announce().await;
    let two = two.again().await;
    for (file, key) in [
        (two.file(), &second),
        (next(&two.file()), &third),
        (beside(&two.file(), &format!("former-{first}")), &first),
    ] {
        let found = PlatformKey::from_existing(&file, None).await;
        let found = found.expect("it is kept").id();
        assert_eq!(found, *key, "{}", file.display());
    }
    assert!(one.step().await.expect("announced").in_use, "it was last");
    two.step().await;
    assert_eq!(two.sealer.current(), third);
    assert_eq!(two.digest_key().await, digest_key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_started_with_the_announced_key_leaves_it_in_its_file() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let directories = directories().await;
    let one = Replica::start(directories[0].path(), &database.url).await;
    let digest_key = one.digest_key().await;
    let new = PlatformKey::generate().expect("a key");
    let mut change = Change::new();
    change.announce_key(new.clone());
    one.store.commit(change).await.expect("it is announced");
    let file = directories[1].path().join("platform.key");
    let kept = new.keep(&file, None, &one.sealer).await;
    kept.expect("in place of the former one");
    let two = Replica::start(directories[1].path(), &database.url).await;
    assert_ne!(two.sealer.current(), new.id(), "the others have not");
    let found = PlatformKey::from_existing(&file, None).await;
    assert_eq!(found.expect("a key").id(), new.id());
    assert!(!before(&file).exists());
    assert!(one.step().await.expect("announced").in_use, "it was last");
    one.reseal().await;
    for replica in [&two, &one, &two] {
        replica.step().await;
    }
    let change = one.store.key_change().await.expect("it answers");
    assert!(change.is_none(), "{change:?}");
    assert_eq!(two.sealer.current(), new.id());
    assert_eq!(two.again().await.digest_key().await, digest_key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_replica_does_not_know_is_not_replaced() {
    for is_beside in [false, true] {
        let Some(database) = testkit::servers::postgres_database().await else {
            return;
        };
        let directory = tempfile::tempdir().expect("a directory");
        let one = Replica::start(directory.path(), &database.url).await;
        one.digest_key().await;
        let file = if is_beside {
            next(&one.file())
        } else {
            fs::remove_file(one.file()).expect("there is one");
            one.file()
        };
        let other = PlatformKey::from_file(&file, None).await.expect("drawn");
        one.announce().await;
        let change = one.step().await.expect("announced");
        assert!(!change.in_use, "{change:?}");
        assert!(change.replicas[0].reason.is_some(), "{change:?}");
        let found = PlatformKey::from_existing(&file, None).await;
        assert_eq!(found.expect("it is there").id(), other.id());
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_another_replica_holds_are_not_waited_for_for_ever() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config::local(directory.path());
    let (_, turning) = keys::sealer(&config).await.expect("its keys");
    let held = turning.files().await.expect("they are free");
    let late = turning.files().await.expect_err("they are held");
    assert_eq!(late.kind, ErrorKind::Unavailable);
    drop(held);
    turning.files().await.expect("they are free");
}

#[tokio::test]
async fn a_key_of_before_that_is_the_one_in_the_file_is_not_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config {
        store: Some(Secret::from("postgres://nowhere.invalid/towpath")),
        ..Config::local(directory.path())
    };
    let (sealer, turning) = keys::sealer(&config).await.expect("its keys");
    let file = directory.path().join("platform.key");
    fs::hard_link(&file, before(&file)).expect("a second name");
    let done = turning.finish(&sealer.current()).await;
    assert!(done.expect("nothing hinders it"));
    assert!(!before(&file).exists() && file.exists());
}

/// A process that has `key` in its environment, and the store at `url` alone.
async fn from_environment(
    data: &Path,
    url: &str,
    key: &PlatformKey,
) -> kernel::Result<(Turning, Store)> {
    let sealer = Sealer::new(key.clone());
    let file = data.join("platform.key");
    let turning = Turning::new(file, None, sealer.clone(), Source::Environment, false);
    let store = Store::open(url, sealer).await?;
    turning.join(&store).await?;
    Ok((turning, store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_the_environment_is_changed_while_it_runs_and_either_starts_it_until_the_new_one_has()
 {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let url = Config::local(data).store_url();
    let [old, new] = [(); 2].map(|()| PlatformKey::generate().expect("a key"));
    let (turning, store) = from_environment(data, &url, &old).await.expect("it starts");
    let digest_key = keys::digest_key(&store).await.expect("it is sealed");
    let refused = turning
        .next(&store, None)
        .await
        .expect_err("nowhere to keep it");
    let remedy = refused.remedy.expect("what to do");
    assert!(remedy.contains("--new-key-file"), "{remedy}");

    let mut change = Change::new();
    change.announce_key(new.clone());
    store.commit(change).await.expect("it is announced");
    let change = turning.step(&store).await.expect("it answers");
    assert!(change.expect("announced").in_use, "there is no other");
    let mut progress = store.reseal(None).await.expect("it is sealed");
    while progress.is_some() {
        progress = store.reseal(progress).await.expect("it is sealed");
    }
    let change = turning.step(&store).await.expect("it answers");
    let change = change.expect("it was not started with the new key");
    assert!(change.done && !change.replicas[0].keeps, "{change:?}");
    store.close().await;

    for (given, is_over) in [(&old, false), (&new, true)] {
        let (_, store) = from_environment(data, &url, given)
            .await
            .expect("it starts");
        assert_eq!(store.sealing_key(), new.id());
        let opened = keys::digest_key(&store).await.expect("it opens");
        assert_eq!(opened, digest_key);
        let change = store.key_change().await.expect("it answers");
        assert_eq!(change.is_none(), is_over, "{change:?}");
        store.close().await;
    }
    let refused = from_environment(data, &url, &old).await.err();
    let refused = refused.expect("the former key is forgotten");
    assert_eq!(refused.kind, ErrorKind::Forbidden);
    assert!(!data.join("platform.key").exists(), "none is written");
}
