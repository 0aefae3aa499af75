//! Both databases, and a kind to keep in them.

use kernel::{Caller, Change, Document, Kind, Resource, Result, Sealer, Store};
use serde::{Deserialize, Serialize};
use testkit::servers::PostgresDatabase;

/// A kind for tests.
#[derive(Debug, Clone)]
pub(crate) struct Thing;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) size: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    pub(crate) phase: String,
}

impl Kind for Thing {
    const KIND: &'static str = "Thing";
    type Spec = Spec;
    type Status = Status;
}

/// A database that stores can be opened on; gone with the value.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) sealer: Sealer,
    place: Place,
}

enum Place {
    Directory(tempfile::TempDir),
    Server { _database: PostgresDatabase },
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite://{}/store.db", directory.path().display()),
            sealer: Sealer::generate().unwrap(),
            place: Place::Directory(directory),
        }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = testkit::servers::postgres_database().await?;
        Some(Self {
            url: database.url.clone(),
            sealer: Sealer::generate().unwrap(),
            place: Place::Server {
                _database: database,
            },
        })
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.url, self.sealer.clone()).await.unwrap()
    }

    /// Where SQLite keeps its files.
    pub(crate) fn directory(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Directory(directory) => Some(directory.path()),
            Place::Server { .. } => None,
        }
    }
}

/// Declares each test on both databases.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&$crate::support::Database::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(database) = $crate::support::Database::postgres().await {
                    super::$test(&database).await;
                }
            })*
        }
    };
}

pub(crate) fn thing(scope: &str, name: &str, size: i64) -> Resource<Thing> {
    Resource::new(scope, name, Spec { size })
}

pub(crate) fn caller() -> Caller {
    Caller {
        subject: "ada".into(),
        ..Caller::local_admin()
    }
}

/// Commits what `fill` puts into a change.
pub(crate) async fn commit(
    store: &Store,
    fill: impl FnOnce(&mut Change) -> Result<()>,
) -> Result<Vec<Document>> {
    let mut change = Change::new().by(&caller());
    fill(&mut change)?;
    Ok(store.commit(change).await?.documents)
}

pub(crate) async fn create(store: &Store, thing: &Resource<Thing>) -> Resource<Thing> {
    let written = commit(store, |change| change.create(thing)).await.unwrap();
    written.into_iter().next().unwrap().typed().unwrap()
}

pub(crate) async fn read(store: &Store, name: &str) -> Resource<Thing> {
    store.expect("env", name).await.unwrap()
}
