//! The little that SQLite and Postgres differ in, so that every statement is written once.
//!
//! Only text, 64-bit integers and bytes are stored, and placeholders are `$1`: both know these.

use sqlx::{AssertSqlSafe, Executor, Row as _, postgres, sqlite};

use super::pooled;
use crate::{Error, ErrorKind, Result};

/// A value bound to a placeholder.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Vec<u8>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.into()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// The values of a statement's placeholders, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::work::Value::from($value)),*] };
}
pub(crate) use args;

/// A row of either database. Columns are read by position.
pub(crate) enum Row {
    Sqlite(sqlite::SqliteRow),
    Postgres(postgres::PgRow),
}

macro_rules! column {
    ($name:ident, $type:ty) => {
        pub(crate) fn $name(&self, index: usize) -> Result<$type> {
            match self {
                Self::Sqlite(row) => row.try_get(index),
                Self::Postgres(row) => row.try_get(index),
            }
            .map_err(failed)
        }
    };
}

impl Row {
    column!(text, String);
    column!(optional_text, Option<String>);
    column!(int, i64);
    column!(optional_int, Option<i64>);
    column!(bytes, Vec<u8>);
    column!(optional_bytes, Option<Vec<u8>>);
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql));
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query
    }};
}

macro_rules! postgres_clock {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

macro_rules! sqlite_clock {
    () => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

macro_rules! head {
    () => {
        "SELECT COALESCE(MAX(seq), 0) FROM event"
    };
}

/// Where Postgres tells of new events: the newest one's place in the log.
pub(super) const FEED: &str = "towpath_event";

/// One connection.
pub(crate) enum Connection {
    Sqlite(sqlite::SqliteConnection),
    Postgres(postgres::PgConnection),
}

impl Connection {
    /// Runs statements without placeholders, in one round trip.
    pub(super) async fn batch(&mut self, sql: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(c) => c.execute(sqlx::raw_sql(sql)).await.map(drop),
            Self::Postgres(c) => c.execute(sqlx::raw_sql(sql)).await.map(drop),
        }
        .map_err(failed)
    }

    /// Begins a transaction that writes; gives the newest event's place in the log.
    ///
    /// On Postgres a lock makes the order of `seq` the order of commits: a reader that has seen
    /// `seq` n has seen, or can see, all before it. It goes in one message with what it guards, since
    /// a round trip costs as much as an insert; each statement of it sees what was committed before
    /// that statement.
    pub(super) async fn begin(&mut self) -> Result<i64> {
        let head = match self {
            Self::Sqlite(c) => {
                c.execute(sqlx::raw_sql("BEGIN IMMEDIATE"))
                    .await
                    .map_err(failed)?;
                sqlx::query_scalar(head!()).fetch_one(c).await
            }
            Self::Postgres(c) => {
                let sql = concat!("BEGIN; SELECT pg_advisory_xact_lock(7311867010); ", head!());
                let rows = c.fetch_all(sqlx::raw_sql(sql)).await.map_err(failed)?;
                rows.last().map_or(Ok(0), |row| row.try_get(0))
            }
        };
        head.map_err(failed)
    }

    /// Runs a statement; says how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Result<u64> {
        match self {
            Self::Sqlite(c) => bound!(sql, values)
                .execute(c)
                .await
                .map(|done| done.rows_affected()),
            Self::Postgres(c) => bound!(sql, values)
                .execute(c)
                .await
                .map(|done| done.rows_affected()),
        }
        .map_err(failed)
    }

    /// All rows.
    pub(crate) async fn all(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(c) => bound!(sql, values)
                .fetch_all(c)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Self::Postgres(c) => bound!(sql, values)
                .fetch_all(c)
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        }
        .map_err(failed)
    }

    pub(crate) async fn first(
        &mut self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<Row>> {
        match self {
            Self::Sqlite(c) => bound!(sql, values)
                .fetch_optional(c)
                .await
                .map(|row| row.map(Row::Sqlite)),
            Self::Postgres(c) => bound!(sql, values)
                .fetch_optional(c)
                .await
                .map(|row| row.map(Row::Postgres)),
        }
        .map_err(failed)
    }

    /// Whether it is Postgres.
    fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// The database's own time, in milliseconds since 1970: one clock for all replicas.
    pub(crate) async fn now(&mut self) -> Result<i64> {
        let sql = if self.is_postgres() {
            concat!("SELECT ", postgres_clock!())
        } else {
            concat!("SELECT ", sqlite_clock!())
        };
        match self.first(sql, vec![]).await? {
            Some(row) => row.int(0),
            None => Err(Error::internal("the store did not tell the time", sql)),
        }
    }

    /// Closes it; a failure to do so is of no consequence.
    pub(super) async fn close(self) {
        let closed = match self {
            Self::Sqlite(c) => sqlx::Connection::close(c).await,
            Self::Postgres(c) => sqlx::Connection::close(c).await,
        };
        if let Err(error) = closed {
            tracing::debug!(%error, "a connection of the store did not close well");
        }
    }
}

/// The connections that read.
#[derive(Clone)]
pub(super) enum Readers {
    Sqlite(sqlx::SqlitePool),
    Postgres(sqlx::PgPool),
}

impl Readers {
    /// All rows. `sql` may be put together at run time, from literals only: what comes from outside
    /// is bound.
    pub(super) async fn all(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(pool) => bound!(sql, values)
                .fetch_all(pool)
                .await
                .map(|rows| rows.into_iter().map(Row::Sqlite).collect()),
            Self::Postgres(pool) => pooled::fetch_all(pool, bound!(sql, values))
                .await
                .map(|rows| rows.into_iter().map(Row::Postgres).collect()),
        }
        .map_err(failed)
    }

    /// The first row, if any.
    pub(super) async fn first(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// SQL for the database's own time, in milliseconds since 1970.
    pub(super) fn clock(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite_clock!(),
            Self::Postgres(_) => postgres_clock!(),
        }
    }

    /// Waits for the connections to close.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// What a failure of the database means for a caller. Its own words go to the log alone.
pub(super) fn failed(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            // Postgres: connection exceptions, insufficient resources, operator intervention, and a
            // standby. SQLite: busy, locked, I/O error, full.
            let postgres =
                code.len() == 5 && (["08", "53", "57"].contains(&&code[..2]) || code == "25006");
            let sqlite = code
                .parse::<i32>()
                .is_ok_and(|code| [5, 6, 10, 13].contains(&(code & 0xff)));
            postgres || (code.len() < 5 && sqlite)
        }),
        _ => false,
    };
    if is_full(&error) {
        Error::new(ErrorKind::Unavailable, "the store's disk is full")
            .remedy("make room on it, then try again")
            .caused_by(error)
    } else if away {
        Error::new(ErrorKind::Unavailable, "the store does not answer")
            .remedy("check that the database runs and that its disk has room, then try again")
            .caused_by(error)
    } else {
        Error::internal("the store refused a statement", error)
    }
}

/// Whether the database has no room: SQLite's FULL, Postgres' disk_full.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| match code.parse::<i32>() {
        Ok(number) if code.len() < 5 => number & 0xff == 13,
        _ => code == "53100",
    })
}
