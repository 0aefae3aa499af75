//! One call's connection, holding the instance's lock.

use std::{pin::pin, sync::Arc, time::Duration};

use delivery::provisioner::{ProvisionError, Request};
use sqlx::{Postgres, Row as _, pool::PoolConnection};
use tokio::time::timeout;

use super::sql::{self, Names, trusted};
use crate::servers::{POSTGRES, PostgresServer, SILENCE, Servers, held};

/// How often a session says something while its call works elsewhere: well within
/// [`SILENCE`].
const WORD: Duration = Duration::from_secs(SILENCE / 3);

/// A connection of the pool. Where the call does not reach [`Session::end`], it is closed rather
/// than given back, because the lock lives as long as the connection.
pub(super) struct Session<'a> {
    connection: Option<PoolConnection<Postgres>>,
    servers: &'a Servers,
    server: &'a Arc<PostgresServer>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl<'a> Session<'a> {
    /// Takes a connection and the instance's lock.
    pub(super) async fn begin(
        servers: &'a Servers,
        server: &'a Arc<PostgresServer>,
        request: &Request,
        names: &Names,
    ) -> Result<Self, ProvisionError> {
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        let connection = match server.acquire().await {
            Ok(connection) => connection,
            Err(error) => {
                servers.forget_postgres(server).await;
                return Err(explain(server, &error));
            }
        };
        let mut session = Self {
            connection: Some(connection),
            servers,
            server,
        };
        match session.rows(&sql::lock_instance(request)).await {
            Ok(_) => Ok(session),
            Err(error) if code(&error).as_deref() == Some(LOCK_NOT_AVAILABLE) => Err(held(
                &format!("`{}` on Postgres at {}", names.database, server.address),
            )),
            Err(error) => Err(session.explained(&error).await),
        }
    }

    /// Does `work` on other connections, and keeps the lock meanwhile: the server ends a session that
    /// is silent.
    pub(super) async fn hold_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = timeout(WORD, work.as_mut()).await {
                return done;
            }
            // Where the session has ended nevertheless, its next statement says so.
            let _word = self.rows("SELECT 1").await;
        }
    }

    /// Runs a batch; the rows of all its statements.
    async fn rows(&mut self, sql: &str) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::raw_sql(trusted(sql.to_owned()))
            .fetch_all(&mut **connection)
            .await
    }

    async fn explained(&mut self, error: &sqlx::Error) -> ProvisionError {
        if error.as_database_error().is_none() {
            self.servers.forget_postgres(self.server).await;
        }
        explain(self.server, error)
    }

    /// Runs a batch that answers nothing.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), ProvisionError> {
        match self.rows(sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// Runs [`sql::prepare`]; whether the database lets anyone in, `None` where there is none.
    pub(super) async fn prepare(&mut self, sql: &str) -> Result<Option<bool>, ProvisionError> {
        match self.rows(sql).await {
            Ok(rows) => Ok(rows
                .iter()
                .find_map(|row| row.try_get::<bool, _>("datallowconn").ok())),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    pub(super) async fn create_database(&mut self, names: &Names) -> Result<(), ProvisionError> {
        // Where the server's locale speaks another encoding than UTF-8, `C` speaks any.
        const INVALID_PARAMETER_VALUE: &str = "22023";
        let made = self.rows(&sql::create_database(names, "")).await;
        let Err(error) = made else { return Ok(()) };
        if code(&error).as_deref() == Some(INVALID_PARAMETER_VALUE) {
            return self
                .run(&sql::create_database(names, " LC_COLLATE 'C' LC_CTYPE 'C'"))
                .await;
        }
        Err(self.explained(&error).await)
    }

    /// The instance's roles, logins first.
    pub(super) async fn roles(&mut self, names: &Names) -> Result<Vec<String>, ProvisionError> {
        match self.rows(&sql::roles(names)).await {
            Ok(rows) => Ok(rows
                .iter()
                .filter_map(|row| row.try_get::<String, _>("role").ok())
                .collect()),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// How many of the instance's things the server lists.
    pub(super) async fn count_left(&mut self, names: &Names) -> Result<i64, ProvisionError> {
        let database = &names.database;
        let sql = format!(
            "SELECT (SELECT count(*) FROM pg_database WHERE datname = '{database}') + (SELECT \
             count(*) FROM pg_roles WHERE rolname = '{database}' OR rolname ~ \
             '^{database}_r[0-9]+$') AS left"
        );
        match self.rows(&sql).await {
            Ok(rows) => rows
                .first()
                .and_then(|row| row.try_get::<i64, _>("left").ok())
                .ok_or_else(|| ProvisionError::transient("Postgres did not count")),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// Gives the lock and the connection back.
    pub(super) async fn end(mut self, request: &Request) -> Result<(), ProvisionError> {
        self.run(&sql::unlock_instance(request)).await?;
        self.connection = None;
        Ok(())
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the server lacks the files of what it was asked for: an extension that is not installed.
pub(super) fn is_missing(error: &sqlx::Error) -> bool {
    // `undefined_file`; newer servers (15, for one) say `feature_not_supported`.
    matches!(code(error).as_deref(), Some("58P01" | "0A000"))
}

/// What Postgres said, and what can be done about it.
pub(super) fn explain(server: &PostgresServer, error: &sqlx::Error) -> ProvisionError {
    let address = &server.address;
    let Some(refused) = error.as_database_error() else {
        return POSTGRES.away(address, error);
    };
    let message = format!("Postgres at {address}: {}", refused.message());
    let code = code(error).unwrap_or_default();
    // By class (Postgres' appendix A): away or starting, out of room, in each other's way.
    match code.get(..2).unwrap_or_default() {
        "53" => ProvisionError::transient(message).remedy(match code.as_str() {
            "53100" => "make room on the server's disk; it is tried again by itself",
            "53300" => {
                "end connections that nobody needs, or raise the server's max_connections; it is tried \
                 again by itself"
            }
            _ => "give the server more memory, or less to do; it is tried again by itself",
        }),
        "08" | "40" | "55" | "57" | "XX" => POSTGRES.troubled(message),
        "28" => ProvisionError::permanent(message)
            .remedy("correct user and password in TOWPATH_POSTGRES_URL"),
        "42" if code == "42501" => ProvisionError::permanent(message).remedy(format!(
            "give the role `{}` the rights CREATEDB and CREATEROLE, or SUPERUSER",
            server.options.get_username()
        )),
        _ => POSTGRES.refused(message),
    }
}
