use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use kernel::{
    Change, ErrorKind, Key, Next, Reconciler as _, Store,
    driver::LEASE,
    reconciler::{Context, Nudges},
};

use super::*;
use crate::{
    Config,
    keys::{self, Asked, Platform},
    rekey::Rekeying,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The keys of a platform that starts.
async fn start(data: &Path) -> (Sealer, Arc<Turning>) {
    keys::sealer(&Config::local(data)).await.expect("its keys")
}

fn file(data: &Path) -> PathBuf {
    data.join("platform.key")
}

/// Draws the key that is to follow.
async fn draw_next(data: &Path) -> KeyId {
    let next = PlatformKey::from_file(&beside(&file(data), NEXT), None).await;
    next.expect("a key").id()
}

/// What a turn leaves whose last steps have failed.
#[derive(Debug, Clone, Copy)]
enum Failed {
    /// The next key has not taken the place of the present one.
    Passing,
    /// It has, and nothing seals by it.
    Sealing,
    /// It has not, and is lost.
    Keeping,
}

#[tokio::test]
async fn a_change_that_has_failed_half_way_is_gone_on_with_and_not_taken_for_done() {
    for failed in [Failed::Passing, Failed::Sealing, Failed::Keeping] {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path();
        let (sealer, turning) = start(data).await;
        let old = sealer.current();
        fs::hard_link(file(data), before(&file(data))).expect("a second name");
        let drawn = match failed {
            Failed::Passing => Some(draw_next(data).await),
            Failed::Sealing => {
                let drawn = draw_next(data).await;
                fs::rename(beside(&file(data), NEXT), file(data)).expect("it passes");
                Some(drawn)
            }
            Failed::Keeping => None,
        };

        let refused = turning.finish(&old).await.expect_err("it is not done");
        assert_eq!(refused.kind, ErrorKind::Conflict, "{failed:?}");
        assert!(turning.is_under_way(), "{failed:?}");

        turning.turn().await.expect("it is gone on with");
        let new = sealer.current();
        assert_ne!(new, old, "{failed:?}");
        assert_eq!(drawn.unwrap_or(new.clone()), new, "{failed:?}");
        let (next_start, _) = start(data).await;
        assert_eq!(next_start.current(), new, "{failed:?}");
        assert!(next_start.known().contains(&old), "{failed:?}");

        turning.turn().await.expect("nothing is left to do");
        assert_eq!(sealer.current(), new, "no second key is drawn");
        assert!(
            turning.finish(&new).await.expect("it is done"),
            "{failed:?}"
        );
        assert!(!turning.is_under_way(), "{failed:?}");
        assert!(beside(&file(data), &format!("former-{old}")).exists());
    }
}

#[tokio::test]
async fn the_key_of_before_is_kept_until_all_is_sealed_by_the_one_that_seals_now() {
    let directory = tempfile::tempdir().expect("a directory");
    let (sealer, turning) = start(directory.path()).await;
    let sealed_by = sealer.current();
    turning.turn().await.expect("it turns");
    assert!(!turning.finish(&sealed_by).await.expect("it can be asked"));
    assert!(turning.is_under_way());
    let sealed_by = sealer.current();
    assert!(turning.finish(&sealed_by).await.expect("it is done"));
    assert!(!turning.is_under_way());
}

#[tokio::test]
async fn without_second_names_the_key_of_before_is_a_copy() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let (sealer, turning) = start(data).await;
    let old = sealer.current();
    // One that was killed while it copied has left its draft.
    fs::write(beside(&file(data), DRAFT), "cut").expect("a draft");
    keep(&file(data), |_, _| Err(io::ErrorKind::Unsupported.into())).expect("a copy");
    let copied = before(&file(data));
    let key = PlatformKey::from_existing(&copied, None).await;
    assert_eq!(key.expect("the same").id(), old);
    assert!(!beside(&file(data), DRAFT).exists());
    turning.turn().await.expect("it turns");
    let kept = start(data).await.0.known();
    assert_eq!(kept, BTreeSet::from([old, sealer.current()]));
}

#[test]
fn a_copy_is_for_the_eyes_of_its_owner_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path());
    fs::write(&file, "a key").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("for all");
    keep(&file, |_, _| Err(io::ErrorKind::PermissionDenied.into())).expect("a copy");
    let mode = before(&file)
        .metadata()
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_mounted_by_itself_is_said_to_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = file(directory.path());
    fs::write(&file, "a key").expect("written");
    let kept = keep(&file, |_, _| Err(io::ErrorKind::CrossesDevices.into()));
    let error = kept.expect_err("nothing can take its place");
    let remedy = unusable(&file, &error).remedy.expect("what to do");
    assert!(remedy.contains("rather than the file alone"), "{remedy}");
    assert!(!before(&file).exists());
    // Where replicas change it together that is seen before any of them seals by the next one.
    let tried = can_pass_on(&file, |_, _| Err(io::ErrorKind::CrossesDevices.into()));
    let error = tried.expect_err("nothing can take its place");
    assert_eq!(error.kind(), io::ErrorKind::CrossesDevices);
    can_pass_on(&file, |_, _| Err(io::ErrorKind::Unsupported.into())).expect("by a copy");
    fs::write(beside(&file, TRIAL), "a key").expect("left of one that was killed");
    can_pass_on(&file, fs::hard_link).expect("by a second name");
    assert!(!beside(&file, TRIAL).exists());
}

async fn open(data: &Path, sealer: Sealer) -> Store {
    let store = Store::open(&Config::local(data).store_url(), sealer).await;
    store.expect("a store that opens")
}

async fn asked(store: &Store) -> Option<Asked> {
    let platform = store.expect::<Platform>("", Platform::NAME).await;
    platform.expect("there is one").status.rekey
}

async fn context(store: &Store) -> Context {
    let fence = store.acquire(LEASE, "test", PATIENCE * 10).await;
    Context {
        store: store.clone(),
        fence: fence.expect("it answers").expect("it is free"),
        stop: Default::default(),
        nudges: Nudges::channel().0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_anew_that_overlaps_a_change_of_the_key_does_not_drop_the_key_of_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let (sealer, turning) = start(data).await;
    let old = sealer.current();
    let store = open(data, sealer.clone()).await;
    let digest_key = keys::digest_key(&store).await.expect("it is sealed");
    let mut platform = store
        .expect::<Platform>("", Platform::NAME)
        .await
        .expect("there is one");
    platform.status.rekey = Some(Asked {
        key: old.to_string(),
        done: None,
    });
    let mut change = Change::new();
    change.status(&platform).expect("it can be written");
    store.commit(change).await.expect("it is asked for");

    // Sealing by the old key has come to its end when the key changes.
    let alone = turning.alone.lock().await;
    let context = context(&store).await;
    let key = Key::of::<Platform>("", Platform::NAME);
    let rekeying = Arc::new(Rekeying(turning.clone()));
    let overlapping = tokio::spawn({
        let (rekeying, context, key) = (rekeying.clone(), context.clone(), key.clone());
        async move { rekeying.reconcile(&context, &key).await }
    });
    testkit::eventually("all is sealed by the old key", PATIENCE, || async {
        asked(&store).await?.done
    })
    .await;
    turning.seal_by_the_next().await.expect("it turns");
    drop(alone);
    let next = overlapping.await.expect("no panic").expect("it goes on");
    assert!(matches!(next, Next::After(_)), "{next:?}");
    assert!(turning.is_under_way());

    let next = rekeying.reconcile(&context, &key).await;
    assert_eq!(next.expect("it ends"), Next::Idle);
    assert!(!turning.is_under_way());
    let new = sealer.current();
    assert_ne!(new, old);
    assert_eq!(
        asked(&store).await.map(|asked| asked.key),
        Some(new.to_string())
    );
    store.close().await;

    let (sealer, _) = start(data).await;
    assert_eq!(sealer.known(), BTreeSet::from([new]));
    let store = open(data, sealer).await;
    let opened = keys::digest_key(&store).await.expect("it opens");
    assert_eq!(opened, digest_key);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_has_failed_is_gone_on_with_by_the_reconciler() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path();
    let (sealer, turning) = start(data).await;
    let store = open(data, sealer.clone()).await;
    keys::digest_key(&store).await.expect("it is sealed");
    let new = draw_next(data).await;
    fs::hard_link(file(data), before(&file(data))).expect("a second name");

    let key = Key::of::<Platform>("", Platform::NAME);
    let rekeying = Rekeying(turning.clone());
    let next = rekeying.reconcile(&context(&store).await, &key).await;
    assert_eq!(next.expect("it ends"), Next::Idle);
    assert_eq!(sealer.current(), new);
    assert!(!turning.is_under_way());
    store.close().await;
    let (sealer, _) = start(data).await;
    assert_eq!(sealer.known(), BTreeSet::from([new]));
    open(data, sealer).await.close().await;
}
