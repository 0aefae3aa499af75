use std::path::Path;

use kernel::ErrorKind;
use policy::{Bundle, RegoAuthorizer};

use super::*;
use crate::{Config, keys};

/// A key as people give it.
fn given() -> Secret {
    Secret::from(format!("{}=", "A".repeat(43)))
}

/// The use cases of a platform with its files in `data`.
async fn start(data: &Path) -> Rekey {
    let config = Config::local(data);
    let (sealer, turning) = keys::sealer(&config).await.expect("its keys");
    let store = Store::open(&config.store_url(), sealer).await;
    let store = store.expect("it opens");
    keys::digest_key(&store).await.expect("it is sealed");
    let authorizer = RegoAuthorizer::new(&Bundle::default()).expect("a policy");
    let guard = Guard::new(store.clone(), Arc::new(authorizer));
    Rekey::new(store, guard, turning)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_key_that_is_drawn_and_one_that_is_given_at_once_one_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let rekey = start(directory.path()).await;
    let admin = Caller::local_admin();
    let (drawn, announced) = tokio::join!(
        rekey.ask_for_new_key(&admin, None),
        rekey.ask_for_new_key(&admin, Some(given())),
    );
    assert_ne!(drawn.is_ok(), announced.is_ok(), "{drawn:?} {announced:?}");
    let refused = drawn.and(announced).expect_err("one of the two");
    assert_eq!(refused.kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_key_that_was_asked_for_before_is_announced_all_the_same() {
    let directory = tempfile::tempdir().expect("a directory");
    let rekey = start(directory.path()).await;
    let key = PlatformKey::read(&given(), "a test", None).await;
    let key = key.expect("a key").id();
    let platform = rekey.store.expect::<Platform>("", NAME).await;
    let mut platform = platform.expect("there is one");
    platform.status.rekey = Some(Asked {
        key: key.to_string(),
        done: None,
    });
    let mut change = Change::new();
    change.status(&platform).expect("it can be written");
    rekey.store.commit(change).await.expect("it is asked for");
    let admin = Caller::local_admin();
    for _ in 0..2 {
        let state = rekey.ask_for_new_key(&admin, Some(given())).await;
        let change = state.expect("it is taken").change;
        assert_eq!(change.expect("it is announced").key, key);
    }
}
