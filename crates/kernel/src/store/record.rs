//! Short-lived state: see [`crate::record`].

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng as _;
use uuid::Uuid;

use super::{
    Store, keys,
    read::Select,
    sql::{Row, args},
    work::Transaction,
};
use crate::{Error, Record, Result, Serial, Transient, change::StoredRecord, contention::Contest};

const COLUMNS: &str = "SELECT name, version, expires, sealed FROM record";

impl Store {
    /// The record `name`, also where its time is over and it is not removed yet.
    pub async fn record<T: Transient>(&self, name: &str) -> Result<Option<Record<T>>> {
        let mut select = Select::new(COLUMNS);
        select.and("kind = ", T::KIND);
        select.and("name = ", name);
        let rows = select.run(self, "name", 1).await?;
        rows.first().map(|row| self.read_record(row)).transpose()
    }

    /// All records of a sort whose names begin with `prefix`, by name.
    pub async fn records<T: Transient>(&self, prefix: &str) -> Result<Vec<Record<T>>> {
        const PAGE: usize = 1000;
        let mut all: Vec<Record<T>> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.as_str());
            let page = self.records_after(prefix, after, PAGE).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// The first `limit` of them whose names come after this one.
    pub async fn records_after<T: Transient>(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record<T>>> {
        let mut select = Select::new(COLUMNS);
        select.and("kind = ", T::KIND);
        select.prefix("name", prefix);
        if let Some(after) = after {
            select.and("name > ", after);
        }
        let rows = select.run(self, "name", limit).await?;
        rows.iter().map(|row| self.read_record(row)).collect()
    }

    /// Where the line of decisions `line` about `name` is; `line` is unique in the store, as
    /// [`Transient::KIND`] is. `called` is what people call what is decided upon: "the subscriptions of team
    /// `payments`". Fails where the store does not answer.
    pub async fn serial(
        &self,
        line: &'static str,
        name: &str,
        called: impl Into<String>,
    ) -> Result<Serial> {
        let called = called.into();
        let mut select = Select::new("SELECT version FROM record");
        select.and("kind = ", line);
        select.and("name = ", name);
        let rows = select.run(self, "name", 1).await?;
        Ok(Serial {
            line,
            name: name.into(),
            called,
            version: rows.first().map_or(Ok(0), |row| row.int(0))?,
        })
    }

    fn read_record<T: Transient>(&self, row: &Row) -> Result<Record<T>> {
        let name = row.text(0)?;
        let value =
            self.inner
                .sealer
                .open(self.inner.platform, &place(T::KIND, &name), &row.bytes(3)?)?;
        Ok(Record {
            version: row.int(1)?,
            expires: Timestamp::from_millisecond(row.int(2)?)
                .map_err(|e| Error::internal("a record's time is not readable", e))?,
            value: serde_json::from_slice(value.expose())
                .map_err(|e| Error::internal("a record has an unknown shape", e))?,
            name,
        })
    }
}

pub(super) fn place(kind: &str, name: &str) -> String {
    format!("record/{kind}/{name}")
}

fn moved_on(kind: &'static str, name: String, called: String) -> Error {
    Error::conflict(format!("{called}: it was changed since it was read"))
        .remedy("read it again, and repeat the change on what it is now")
        .overtaken_at(Contest::Record { kind, name, called })
}

/// How long a record stays after its end: those who read it go by their own clock, which may be behind
/// the database's, and still tell "ended" from "never was".
const STAYS: Duration = Duration::from_mins(10);

/// Writes a record, and removes those that ended [`STAYS`] ago by the database's clock.
pub(super) async fn keep(tx: &mut Transaction<'_>, record: StoredRecord) -> Result<()> {
    let over = tx.connection.now().await? - i64::try_from(STAYS.as_millis()).unwrap_or(i64::MAX);
    tx.connection
        .execute("DELETE FROM record WHERE expires <= $1", args![over])
        .await?;
    let owner: Uuid = tx.platform;
    let place = place(record.kind, &record.name);
    let sealed = keys::seal(tx, owner, &place, &record.value).await?;
    let expires = record.expires.as_millisecond();
    // Drawn, not counted: a record made anew under a name never has an earlier one's version.
    let version = rand::rng().random_range(1..=i64::MAX);
    let rows = if record.version == 0 {
        tx.connection
            .execute(
                "INSERT INTO record (kind, name, version, sealed, expires)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, name) DO NOTHING",
                args![record.kind, record.name.as_str(), version, sealed, expires],
            )
            .await?
    } else {
        tx.connection
            .execute(
                "UPDATE record SET version = $3, sealed = $4, expires = $5
                 WHERE kind = $1 AND name = $2 AND version = $6",
                args![
                    record.kind,
                    record.name.as_str(),
                    version,
                    sealed,
                    expires,
                    record.version
                ],
            )
            .await?
    };
    match rows {
        0 => Err(moved_on(record.kind, record.name, record.called)),
        _ => Ok(()),
    }
}

/// Removes a record that is as it was read.
pub(super) async fn take(
    tx: &mut Transaction<'_>,
    kind: &'static str,
    name: String,
    version: i64,
    called: String,
) -> Result<()> {
    let rows = tx
        .connection
        .execute(
            "DELETE FROM record WHERE kind = $1 AND name = $2 AND version = $3",
            args![kind, name.as_str(), version],
        )
        .await?;
    match rows {
        0 => Err(moved_on(kind, name, called)),
        _ => Ok(()),
    }
}
