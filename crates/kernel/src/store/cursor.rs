//! How far those that pass events on have read the log.
//!
//! For what passes events on to somewhere else (webhooks, a broker): it reads on from its cursor, does
//! its work, then moves the cursor. Killed in between, it does some of it again, so that each event
//! arrives at least once. What only has to be as the store says needs none: it is a reconciler, and
//! begins with a listing.

use std::{collections::BTreeMap, sync::LazyLock};

use async_trait::async_trait;

use super::{Store, read::Select, sql::args, work::Transaction, work::Work};
use crate::Result;

/// Cursors that are written in one piece of work: others write in between.
const PART: usize = 200;
/// Cursors that are read at once.
const PAGE: usize = 1000;

impl Store {
    /// How far `consumer` has read the event log; 0 where it has not begun.
    pub async fn cursor(&self, consumer: &str) -> Result<i64> {
        let row = self
            .inner
            .readers
            .first(
                "SELECT seq FROM cursor WHERE consumer = $1",
                args![consumer],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int(0))
    }

    /// How far each has read whose name begins with `prefix`, by name.
    pub async fn cursors(&self, prefix: &str) -> Result<BTreeMap<String, i64>> {
        let mut all = BTreeMap::new();
        let mut last = String::new();
        loop {
            let mut select = Select::new("SELECT consumer, seq FROM cursor");
            select.prefix("consumer", prefix);
            select.and("consumer > ", last.as_str());
            let rows = select.run(self, "consumer", PAGE).await?;
            for row in &rows {
                last = row.text(0)?;
                all.insert(last.clone(), row.int(1)?);
            }
            if rows.len() < PAGE {
                return Ok(all);
            }
        }
    }

    /// Notes how far `consumer` has read. A place before the noted one changes nothing: a consumer
    /// that runs late twice does not read again what was read.
    pub async fn set_cursor(&self, consumer: &str, seq: i64) -> Result<()> {
        self.set_cursors(&[(consumer.to_owned(), seq)]).await
    }

    /// The same for many, some at a time: however many they are, others write in between. What is
    /// noted stays noted where it fails half-way.
    pub async fn set_cursors(&self, cursors: &[(String, i64)]) -> Result<()> {
        for part in cursors.chunks(PART) {
            self.write(SetCursors(part.to_vec())).await?;
        }
        Ok(())
    }

    /// Forgets how far `consumer` has read.
    pub async fn drop_cursor(&self, consumer: &str) -> Result<()> {
        self.write(DropCursor(consumer.to_owned())).await
    }
}

struct SetCursors(Vec<(String, i64)>);

#[async_trait]
impl Work for SetCursors {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        // One row of each: a statement writes none twice.
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for (consumer, seq) in self.0 {
            let known = newest.entry(consumer).or_insert(seq);
            *known = seq.max(*known);
        }
        let mut rest: Vec<(String, i64)> = newest.into_iter().collect();
        while let Some(upsert) = UPSERTS.iter().find(|upsert| upsert.rows <= rest.len()) {
            let values = rest.drain(rest.len() - upsert.rows..);
            let values = values.flat_map(|(consumer, seq)| args![consumer, seq]);
            let values = values.collect();
            tx.connection.execute(&upsert.sql, values).await?;
        }
        Ok(())
    }
}

/// A statement that writes so many cursors.
struct Upsert {
    rows: usize,
    sql: String,
}

/// Most cursors in few round trips: the widest first, and the last for one.
static UPSERTS: LazyLock<[Upsert; 3]> = LazyLock::new(|| {
    [100, 10, 1].map(|rows| {
        let row = |row: usize| format!("(${}, ${})", 2 * row + 1, 2 * row + 2);
        let values: Vec<String> = (0..rows).map(row).collect();
        let sql = format!(
            "INSERT INTO cursor (consumer, seq) VALUES {}
             ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq
             WHERE cursor.seq < excluded.seq",
            values.join(", ")
        );
        Upsert { rows, sql }
    })
});

struct DropCursor(String);

#[async_trait]
impl Work for DropCursor {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        tx.connection
            .execute("DELETE FROM cursor WHERE consumer = $1", args![self.0])
            .await
            .map(drop)
    }
}
