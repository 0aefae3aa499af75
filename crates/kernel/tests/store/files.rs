//! The store's file: whose it is, and who may read it. And what cannot be opened.

use std::os::unix::fs::PermissionsExt as _;

use kernel::{ErrorKind, Sealer, Store};

use crate::support::{Database, create, thing};

async fn refused(url: &str) -> kernel::Error {
    Store::open(url, Sealer::generate().unwrap())
        .await
        .err()
        .unwrap()
}

#[tokio::test]
async fn only_its_owner_can_read_the_files() {
    let database = Database::sqlite();
    let store = database.open().await;
    create(&store, &thing("env", "a", 1)).await;
    let mut files = 0;
    for entry in std::fs::read_dir(database.directory().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
        files += 1;
    }
    assert!(files >= 3, "database, log and lock");
}

#[tokio::test]
async fn a_file_has_one_store() {
    let database = Database::sqlite();
    let first = database.open().await;
    let error = refused(&database.url).await;
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    let process = format!("process {}", std::process::id());
    assert!(error.message.contains(&process), "{error}");
    assert!(error.remedy.is_some());
    drop(first);
    database.open().await;
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_shows_no_password() {
    for (url, kind, words) in [
        ("mysql://u:hunter2@h/d", ErrorKind::Invalid, "`mysql`"),
        ("sqlite://", ErrorKind::Invalid, "no file"),
        ("sqlite://:memory:", ErrorKind::Invalid, "no file"),
        (
            "sqlite:///no/such/directory/store.db",
            ErrorKind::Unavailable,
            "/no/such/directory",
        ),
        (
            "postgres://u:hunter2@127.0.0.1:1/d",
            ErrorKind::Unavailable,
            "does not answer",
        ),
    ] {
        let error = refused(url).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
        assert!(error.remedy.is_some());
        assert!(!error.chain().contains("hunter2"), "{}", error.chain());
    }
}
