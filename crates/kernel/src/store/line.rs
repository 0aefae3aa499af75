//! What an event is in the log.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{
    document::json_text,
    sql::{Connection, args, failed},
};
use crate::{Error, NewEvent, Result};

/// An event as it is written, but for its place and time.
pub(crate) struct Line {
    id: String,
    kind: String,
    subject: String,
    team: String,
    correlation: String,
    actor: String,
    means: String,
    reason: Option<String>,
    outcome: Option<String>,
    data: String,
}

impl Line {
    /// Fails where a text of it cannot be stored.
    pub(super) fn new(event: &NewEvent) -> Result<Self> {
        let subject = event.subject.to_string();
        let means = event.cause.means.to_string();
        let texts = [
            &event.kind,
            &subject,
            &event.team,
            &event.cause.actor,
            &means,
        ];
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(Error::invalid("an event's text contains a NUL character"));
        }
        let outcome = match event.outcome {
            None => None,
            Some(outcome) => json!(outcome).as_str().map(str::to_owned),
        };
        Ok(Self {
            id: Uuid::now_v7().to_string(),
            kind: event.kind.clone(),
            subject,
            team: event.team.clone(),
            correlation: event.cause.correlation.to_string(),
            actor: event.cause.actor.clone(),
            means,
            reason: event
                .cause
                .reason
                .as_ref()
                .map(|reason| reason.as_str().to_owned()),
            outcome,
            data: json_text(&event.data)?,
        })
    }
}

impl Connection {
    /// Writes one line, in a transaction that holds the log's lock.
    pub(super) async fn line(&mut self, seq: i64, time: Timestamp, line: Line) -> Result<()> {
        self.execute(
            "INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason,
                                outcome, data)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            args![
                seq,
                line.id,
                time.to_string(),
                line.kind,
                line.subject,
                line.team,
                line.correlation,
                line.actor,
                line.means,
                line.reason,
                line.outcome,
                line.data,
            ],
        )
        .await
        .map(drop)
    }

    /// Appends `lines` outside of any transaction, in one statement: beside the write itself, what an
    /// append costs is the ways to the database and back. Gives the newest event's place in the log. There
    /// is one line at the least: a change of nothing is not written.
    pub(super) async fn append(&mut self, lines: Vec<Line>) -> Result<i64> {
        let now = Timestamp::now().to_string();
        match self {
            Self::Sqlite(connection) => append_sqlite(connection, now, lines).await,
            Self::Postgres(server) => append_postgres(server, now, lines).await,
        }
        .map_err(failed)
    }
}

async fn append_sqlite(
    connection: &mut SqliteConnection,
    now: String,
    lines: Vec<Line>,
) -> sqlx::Result<i64> {
    let lines: Vec<_> = lines
        .into_iter()
        .map(|line| {
            json!([
                line.id,
                line.kind,
                line.subject,
                line.team,
                line.correlation,
                line.actor,
                line.means,
                line.reason,
                line.outcome,
                line.data
            ])
        })
        .collect();
    sqlx::query(
        "INSERT INTO event (seq, id, time, type, subject, team, correlation, actor, means, reason,
                            outcome, data)
         SELECT (SELECT COALESCE(MAX(seq), 0) FROM event) + 1 + key, value ->> 0, $1, value ->> 1,
                value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
                value ->> 8, value ->> 9
         FROM json_each($2)",
    )
    .bind(now)
    .bind(serde_json::Value::from(lines).to_string())
    .execute(connection)
    .await
    .map(|done| done.last_insert_rowid())
}

async fn append_postgres(
    server: &mut PgConnection,
    now: String,
    mut lines: Vec<Line>,
) -> sqlx::Result<i64> {
    match lines.pop() {
        Some(line) if lines.is_empty() => append_one(server, now, line).await,
        last => append_many(server, now, lines.into_iter().chain(last)).await,
    }
}

async fn append_one(server: &mut PgConnection, now: String, line: Line) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT event_append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(now)
        .bind(line.id)
        .bind(line.kind)
        .bind(line.subject)
        .bind(line.team)
        .bind(line.correlation)
        .bind(line.actor)
        .bind(line.means)
        .bind(line.reason)
        .bind(line.outcome)
        .bind(line.data)
        .fetch_one(server)
        .await
}

async fn append_many(
    server: &mut PgConnection,
    now: String,
    lines: impl Iterator<Item = Line>,
) -> sqlx::Result<i64> {
    let mut columns: [Vec<String>; 8] = Default::default();
    let mut outcomes = Vec::new();
    let mut reasons = Vec::new();
    for line in lines {
        outcomes.push(line.outcome);
        reasons.push(line.reason);
        let texts = [
            line.id,
            line.kind,
            line.subject,
            line.team,
            line.correlation,
            line.actor,
            line.means,
            line.data,
        ];
        for (column, text) in columns.iter_mut().zip(texts) {
            column.push(text);
        }
    }
    let [
        ids,
        kinds,
        subjects,
        teams,
        correlations,
        actors,
        means,
        data,
    ] = columns;
    sqlx::query_scalar("SELECT event_append_untold($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(now)
        .bind(ids)
        .bind(kinds)
        .bind(subjects)
        .bind(teams)
        .bind(correlations)
        .bind(actors)
        .bind(means)
        .bind(reasons)
        .bind(outcomes)
        .bind(data)
        .fetch_one(server)
        .await
}
