//! A database of a test's own: SQLite, or Postgres where the test is run on both.

use std::future::Future;

use tempfile::TempDir;

use crate::servers::{PostgresDatabase, postgres, postgres_database};

tokio::task_local! {
    static ON_POSTGRES: ();
}

/// A database of its own, which goes with the value.
pub enum Database {
    /// A file.
    Sqlite(TempDir),
    /// One of a server.
    Postgres(PostgresDatabase),
}

impl Database {
    /// What the running test is run on: SQLite, unless [`on_postgres`] runs it.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub async fn of_test() -> Self {
        if ON_POSTGRES.try_with(|()| ()).is_err() {
            return Self::Sqlite(tempfile::tempdir().expect("a directory"));
        }
        let database = postgres_database().await;
        Self::Postgres(database.expect("Postgres was there a moment ago"))
    }

    /// Where it is.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => {
                format!("sqlite://{}/store.db", directory.path().display())
            }
            Self::Postgres(database) => database.url.clone(),
        }
    }
}

/// Runs a test whose databases are Postgres'; does nothing where there is no server.
pub async fn on_postgres(test: impl Future<Output = ()>) {
    if postgres().await.is_some() {
        ON_POSTGRES.scope((), test).await;
    }
}

/// Declares each of these tests on both databases: those whose [`Database::of_test`] is what they are about.
#[macro_export]
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test().await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::database::on_postgres(super::$test()).await;
            })*
        }
    };
}
