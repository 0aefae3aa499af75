//! Sealed secrets: read by who has the key, seen by nobody else.

use kernel::{Change, ErrorKind, Sealer, Secret, Store};
use uuid::Uuid;

use crate::support::{Database, commit, create, read, thing};

const CANARY: &str = "canary-4cf1c0a1-never-in-the-clear";

on_both!(
    a_secret_is_read_back_and_replaced,
    a_secret_goes_with_its_owner,
    a_secret_without_owner_is_refused,
    another_key_does_not_open_the_store,
);

async fn a_secret_is_read_back_and_replaced(database: &Database) {
    let store = database.open().await;
    let one = thing("env", "a", 1);
    commit(&store, |change| {
        change.seal(one.meta.uid, "seed", Secret::from("first"));
        change.create(&one)
    })
    .await
    .unwrap();
    commit(&store, |change| {
        change.seal(one.meta.uid, "seed", Secret::from("second"));
        change.seal(one.meta.uid, "other", Secret::new(vec![0, 255]));
        Ok(())
    })
    .await
    .unwrap();
    let secret = async |name| store.secret(one.meta.uid, name).await.unwrap();
    assert_eq!(secret("seed").await, Some(Secret::from("second")));
    assert_eq!(secret("other").await, Some(Secret::new(vec![0, 255])));
    assert_eq!(secret("none").await, None);
}

async fn a_secret_goes_with_its_owner(database: &Database) {
    let store = database.open().await;
    let one = create(&store, &thing("env", "a", 1)).await;
    commit(&store, |change| {
        change.seal(one.meta.uid, "seed", Secret::from("x"));
        Ok(())
    })
    .await
    .unwrap();
    let now = read(&store, "a").await;
    commit(&store, |change| change.remove(&now)).await.unwrap();
    assert_eq!(store.secret(one.meta.uid, "seed").await.unwrap(), None);
}

async fn a_secret_without_owner_is_refused(database: &Database) {
    let store = database.open().await;
    let mut change = Change::new();
    change.seal(Uuid::now_v7(), "seed", Secret::from("x"));
    let error = store.commit(change).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let mut change = Change::new();
    change.seal(store.platform(), "seed", Secret::from("x"));
    store.commit(change).await.unwrap();
}

async fn another_key_does_not_open_the_store(database: &Database) {
    database.open().await.close().await;
    let refused = Store::open(&database.url, Sealer::generate().unwrap()).await;
    let error = refused.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.message.contains("key"), "{error}");
    database.open().await;
}

#[tokio::test]
async fn no_file_of_the_store_contains_a_secret() {
    let database = Database::sqlite();
    let store = database.open().await;
    let one = thing("env", "a", 1);
    commit(&store, |change| {
        change.create(&one)?;
        change.seal(one.meta.uid, "seed", Secret::from(CANARY));
        Ok(())
    })
    .await
    .unwrap();
    let files = || {
        std::fs::read_dir(database.directory().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect::<Vec<_>>()
    };
    let contains = |bytes: &[u8], text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    let open = files();
    // The search finds what is there: the log of the database names the owner.
    let owner = one.meta.uid.to_string();
    assert!(open.iter().any(|(_, bytes)| contains(bytes, &owner)));
    store.close().await;
    for (path, bytes) in open.into_iter().chain(files()) {
        assert!(!contains(&bytes, CANARY), "{} shows it", path.display());
    }
}
