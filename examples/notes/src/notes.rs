//! Notes and what is known of their attachments, in Postgres.

use std::time::Duration;

use serde::Serialize;
use sqlx::{
    PgPool, Row as _,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How many of the newest notes are listed.
const LISTED: i64 = 100;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Counts up.
    pub id: i64,
    /// 1 to 4000 characters.
    pub body: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// What is attached.
    pub attachments: Vec<Attachment>,
}

/// What is known of an attachment. Its bytes are in the bucket under [`Attachment::key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// Counts up.
    pub id: i64,
    /// The note that it belongs to.
    pub note: i64,
    /// The file's name where it came from.
    pub name: String,
    /// Its media type, as its sender says.
    pub media_type: String,
    /// Bytes.
    pub size: i64,
}

impl Attachment {
    /// The object's key. Made of numbers alone: no name from outside becomes a path.
    pub fn key(&self) -> String {
        format!("notes/{}/{}", self.note, self.id)
    }
}

/// The notes in their database.
#[derive(Debug, Clone)]
pub struct Notes {
    pool: PgPool,
}

impl Notes {
    /// Connects when it is first asked.
    pub fn new(database: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(database);
        Self { pool }
    }

    /// Makes or changes the tables. Safe to run again, and at once from several places.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let mut migrator = sqlx::migrate!("./migrations");
        // An older release, after a rollback, finds tables that are newer than it.
        migrator.set_ignore_missing(true);
        migrator.run(&self.pool).await
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop)
    }

    /// The newest notes, newest first.
    pub async fn list(&self) -> sqlx::Result<Vec<Note>> {
        let rows = sqlx::query(
            "SELECT id, body, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             FROM notes ORDER BY id DESC LIMIT $1",
        )
        .bind(LISTED)
        .fetch_all(&self.pool)
        .await?;
        let mut notes = rows
            .iter()
            .map(|row| {
                Ok(Note {
                    id: row.try_get(0)?,
                    body: row.try_get(1)?,
                    created_at: row.try_get(2)?,
                    attachments: Vec::new(),
                })
            })
            .collect::<sqlx::Result<Vec<Note>>>()?;
        let ids: Vec<i64> = notes.iter().map(|note| note.id).collect();
        let rows = sqlx::query(
            "SELECT id, note, name, media_type, size FROM attachments
             WHERE note = ANY($1) ORDER BY id",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        for row in &rows {
            let attachment = attachment(row)?;
            if let Some(note) = notes.iter_mut().find(|note| note.id == attachment.note) {
                note.attachments.push(attachment);
            }
        }
        Ok(notes)
    }

    /// Keeps a note; its id.
    pub async fn create(&self, body: &str) -> sqlx::Result<i64> {
        sqlx::query_scalar("INSERT INTO notes (body) VALUES ($1) RETURNING id")
            .bind(body)
            .fetch_one(&self.pool)
            .await
    }

    /// Forgets a note; what was attached to it. `None`: there is no such note.
    pub async fn delete(&self, id: i64) -> sqlx::Result<Option<Vec<Attachment>>> {
        let mut transaction = self.pool.begin().await?;
        let rows = sqlx::query(
            "DELETE FROM attachments WHERE note = $1 RETURNING id, note, name, media_type, size",
        )
        .bind(id)
        .fetch_all(&mut *transaction)
        .await?;
        let deleted = sqlx::query("DELETE FROM notes WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if deleted.rows_affected() == 0 {
            return Ok(None);
        }
        rows.iter()
            .map(attachment)
            .collect::<sqlx::Result<_>>()
            .map(Some)
    }

    /// Whether there is a note.
    pub async fn exists(&self, id: i64) -> sqlx::Result<bool> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM notes WHERE id = $1)")
            .bind(id)
            .fetch_one(&self.pool)
            .await
    }

    /// An id for an attachment that is about to be stored.
    pub async fn next_attachment(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT nextval(pg_get_serial_sequence('attachments', 'id'))")
            .fetch_one(&self.pool)
            .await
    }

    /// Attaches what has been stored.
    pub async fn attach(&self, attachment: &Attachment) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO attachments (id, note, name, media_type, size) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(attachment.id)
        .bind(attachment.note)
        .bind(&attachment.name)
        .bind(&attachment.media_type)
        .bind(attachment.size)
        .execute(&self.pool)
        .await
        .map(drop)
    }

    /// What is known of an attachment.
    pub async fn attachment(&self, id: i64) -> sqlx::Result<Option<Attachment>> {
        sqlx::query("SELECT id, note, name, media_type, size FROM attachments WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(attachment)
            .transpose()
    }
}

fn attachment(row: &sqlx::postgres::PgRow) -> sqlx::Result<Attachment> {
    Ok(Attachment {
        id: row.try_get("id")?,
        note: row.try_get("note")?,
        name: row.try_get("name")?,
        media_type: row.try_get("media_type")?,
        size: row.try_get("size")?,
    })
}
