//! What every store of secrets does, whatever is behind it.

use std::sync::Arc;

use kernel::{Caller, CallerKind, ErrorKind, Event, EventFilter, Secret, Store};
use secrets::{
    Sealed, SecretStore, Write,
    model::{Origin, SecretInfo, SecretRef},
};

use crate::support::{Room, caller};

/// Declares each test for each store.
macro_rules! for_each_store {
    ($($test:ident),* $(,)?) => {
        mod sealed_on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                let room = crate::support::Room::sqlite().await;
                super::$test(&room.store, super::sealed(&room)).await;
            })*
        }
        mod sealed_on_postgres {
            $(#[tokio::test]
            async fn $test() {
                let Some(room) = crate::support::Room::postgres().await else { return };
                super::$test(&room.store, super::sealed(&room)).await;
            })*
        }
        mod vault {
            $(#[tokio::test]
            async fn $test() {
                let room = crate::support::Room::sqlite().await;
                let vault = crate::vault::FakeVault::start().await;
                super::$test(&room.store, vault.store(&room)).await;
            })*
        }
    };
}

for_each_store!(
    what_is_put_is_got,
    of_two_that_expect_the_same_one_writes,
    writes_at_once_are_all_kept,
    what_is_deleted_is_absent,
    what_is_written_anew_is_another,
    teams_and_names_keep_apart,
    every_write_is_kept_as_an_event,
    errors_say_nothing_of_values,
);

fn sealed(room: &Room) -> Arc<dyn SecretStore> {
    Arc::new(Sealed::new(room.store.clone()))
}

fn one() -> SecretRef {
    SecretRef::new("payments", "stripe/api-key").unwrap()
}

fn by() -> Caller {
    caller(CallerKind::Person, "payments")
}

fn write(text: &str, expected: Option<u64>) -> Write {
    Write {
        value: Secret::from(text),
        description: None,
        origin: Origin::Written,
        expected,
    }
}

async fn text(values: &dyn SecretStore, secret: &SecretRef, version: Option<u64>) -> String {
    let found = values.get(secret, version).await.unwrap().unwrap();
    found.value.expose_str().unwrap().to_owned()
}

async fn what_is_put_is_got(_: &Store, values: Arc<dyn SecretStore>) {
    assert_eq!(values.info(&one()).await.unwrap(), None);
    assert_eq!(values.get(&one(), None).await.unwrap(), None);
    let first = Write {
        description: Some("for the till".into()),
        ..write("größe \"1\"\n", None)
    };
    let info = values.put(&by(), &one(), first).await.unwrap();
    assert_eq!((info.version, info.versions.len()), (1, 1));
    let second = Write {
        origin: Origin::Generated,
        ..write("second", None)
    };
    let info = values.put(&by(), &one(), second).await.unwrap();
    assert_eq!((info.version, info.versions.len()), (2, 2));
    assert_eq!(info.description, "for the till");
    assert_eq!(info.origin, Origin::Generated);
    assert_eq!(values.info(&one()).await.unwrap(), Some(info.clone()));
    assert_eq!(values.list(&one().team).await.unwrap(), [info]);
    assert_eq!(text(&*values, &one(), None).await, "second");
    assert_eq!(text(&*values, &one(), Some(1)).await, "größe \"1\"\n");
    assert_eq!(values.get(&one(), Some(3)).await.unwrap(), None);

    let bytes = Secret::new([0, 255, 10, 128]);
    let third = Write {
        value: bytes.clone(),
        ..write("", None)
    };
    values.put(&by(), &one(), third).await.unwrap();
    let found = values.get(&one(), None).await.unwrap().unwrap();
    assert_eq!((found.version, found.value), (3, bytes));
    for number in 4..=12 {
        values
            .put(&by(), &one(), write(&number.to_string(), None))
            .await
            .unwrap();
    }
    let info = values.info(&one()).await.unwrap().unwrap();
    assert_eq!(info.versions.len() as u64, SecretInfo::KEPT);
    assert_eq!(info.versions.last().unwrap().number, 3);
    assert_eq!(values.get(&one(), Some(2)).await.unwrap(), None);
}

async fn of_two_that_expect_the_same_one_writes(_: &Store, values: Arc<dyn SecretStore>) {
    for newest in 0..4 {
        let (caller, secret) = (by(), one());
        let put = async |text: &'static str| {
            let write = write(text, Some(newest));
            values.put(&caller, &secret, write).await
        };
        let (a, b) = tokio::join!(put("a"), put("b"));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        let refused = if a.is_err() { a } else { b }.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
        assert_eq!(
            values.info(&one()).await.unwrap().unwrap().version,
            newest + 1
        );
    }
    let stale = values.put(&by(), &one(), write("c", Some(9))).await;
    assert_eq!(stale.unwrap_err().kind, ErrorKind::Conflict);
}

async fn what_is_written_anew_is_another(_: &Store, values: Arc<dyn SecretStore>) {
    let newest = async || values.get(&one(), None).await.unwrap().unwrap();
    values
        .put(&by(), &one(), write("first", None))
        .await
        .unwrap();
    let first = newest().await;
    assert_eq!(newest().await, first);
    values.delete(&by(), &one(), None).await.unwrap();
    values
        .put(&by(), &one(), write("second", None))
        .await
        .unwrap();
    let second = newest().await;
    assert_eq!(first.version, second.version);
    assert!(first.written < second.written);
}

async fn writes_at_once_are_all_kept(_: &Store, values: Arc<dyn SecretStore>) {
    let (caller, secret) = (by(), one());
    let put = async |text: &'static str| {
        let info = values.put(&caller, &secret, write(text, None)).await;
        (info.unwrap().version, text)
    };
    let (a, b, c) = tokio::join!(put("a"), put("b"), put("c"));
    for (version, wrote) in [a, b, c] {
        assert_eq!(text(&*values, &one(), Some(version)).await, wrote);
    }
}

async fn what_is_deleted_is_absent(_: &Store, values: Arc<dyn SecretStore>) {
    assert!(!values.delete(&by(), &one(), None).await.unwrap());
    values.put(&by(), &one(), write("a", None)).await.unwrap();
    let stale = values.delete(&by(), &one(), Some(2)).await;
    assert_eq!(stale.unwrap_err().kind, ErrorKind::Conflict);
    assert!(values.delete(&by(), &one(), Some(1)).await.unwrap());
    assert_eq!(values.get(&one(), Some(1)).await.unwrap(), None);
    assert_eq!(values.info(&one()).await.unwrap(), None);
    assert_eq!(values.list(&one().team).await.unwrap(), []);
    let anew = values
        .put(&by(), &one(), write("b", Some(0)))
        .await
        .unwrap();
    assert_eq!(anew.version, 1);
}

async fn teams_and_names_keep_apart(_: &Store, values: Arc<dyn SecretStore>) {
    let names = ["a", "a/b", "a/b/c", "ab", "a.b"];
    for team in ["payments", "payments-2"] {
        for name in names {
            let secret = SecretRef::new(team, name).unwrap();
            let value = format!("{team} {name}");
            values
                .put(&by(), &secret, write(&value, Some(0)))
                .await
                .unwrap();
        }
    }
    for team in ["payments", "payments-2"] {
        for name in names {
            let secret = SecretRef::new(team, name).unwrap();
            assert_eq!(
                text(&*values, &secret, None).await,
                format!("{team} {name}")
            );
        }
        let team = kernel::Name::new(team).unwrap();
        let mut listed = values.list(&team).await.unwrap();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let listed: Vec<_> = listed.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(listed, ["a", "a.b", "a/b", "a/b/c", "ab"]);
    }
    let below = SecretRef::new("payments", "a/b").unwrap();
    assert!(values.delete(&by(), &below, None).await.unwrap());
    let deeper = SecretRef::new("payments", "a/b/c").unwrap();
    assert_eq!(text(&*values, &deeper, None).await, "payments a/b/c");
}

async fn told(store: &Store) -> Vec<Event> {
    let filter = EventFilter {
        type_prefix: Some("dev.towpath.secret.".into()),
        ..EventFilter::default()
    };
    store.events(&filter, 0, 100).await.unwrap()
}

async fn every_write_is_kept_as_an_event(store: &Store, values: Arc<dyn SecretStore>) {
    values
        .put(&by(), &one(), write("canary", None))
        .await
        .unwrap();
    values.delete(&by(), &one(), None).await.unwrap();
    let events = told(store).await;
    let done = |what: &str| {
        let done = events.iter().find(|event| event.kind.ends_with(what));
        done.unwrap_or_else(|| panic!("{what}: {events:?}"))
    };
    assert_eq!(done("secret.written").data["version"], 1);
    for event in [done("secret.written"), done("secret.deleted")] {
        assert_eq!(event.subject, "TeamSecret/payments/stripe/api-key");
        assert_eq!(event.actor, by().subject);
        assert_eq!(event.team, "payments");
        assert_eq!(event.outcome, Some(kernel::Outcome::Pass));
    }
    assert!(!serde_json::to_string(&events).unwrap().contains("canary"));
}

async fn errors_say_nothing_of_values(_: &Store, values: Arc<dyn SecretStore>) {
    values
        .put(&by(), &one(), write("canary-1", None))
        .await
        .unwrap();
    let stale = write("canary-2", Some(7));
    assert!(!format!("{stale:?}").contains("canary"));
    let refused = values.put(&by(), &one(), stale).await.unwrap_err();
    assert!(refused.remedy.is_some());
    assert!(!format!("{refused:?} {}", refused.chain()).contains("canary"));
    let found = values.get(&one(), None).await.unwrap();
    assert!(!format!("{found:?}").contains("canary"));
}
