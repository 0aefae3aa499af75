//! Notes: a small web service that keeps its notes in Postgres and their attachments in S3.
//!
//! It is an ordinary program: it learns from its environment variables where its database and its
//! bucket are, and knows nothing of the platform that runs it.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod attachments;
pub mod config;
pub mod http;
pub mod notes;
pub mod page;

use std::{sync::Arc, time::Duration};

use axum::Router;
use tokio::sync::watch;

use crate::{attachments::Attachments, config::Config, notes::Notes};

/// The longest pause between two tries to reach the database at the start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the routes work with.
#[derive(Clone)]
pub struct App {
    /// The notes.
    pub notes: Notes,
    /// Their attachments.
    pub attachments: Attachments,
    /// Shown on the page.
    pub greeting: Arc<str>,
    /// Which release this is; shown on the page and in every answer's `x-version`.
    pub version: Arc<str>,
    /// Whether the tables are there.
    migrated: watch::Receiver<bool>,
}

impl App {
    /// Connects in the background: the service answers at once, and is ready once its tables are
    /// there.
    pub fn start(config: Config) -> Result<Self, config::ConfigError> {
        let notes = Notes::new(config.database);
        let (done, migrated) = watch::channel(false);
        tokio::spawn(migrate(notes.clone(), done));
        Ok(Self {
            notes,
            attachments: Attachments::new(config.bucket)?,
            greeting: config.greeting.into(),
            version: config.version.into(),
            migrated,
        })
    }

    /// The whole service.
    pub fn router(self) -> Router {
        http::router(self)
    }

    /// Whether it can do its work now; else what is missing, in a word that anybody may read.
    pub async fn ready(&self) -> Result<(), &'static str> {
        if !*self.migrated.borrow() {
            return Err("database: no tables yet");
        }
        let (database, bucket) = tokio::join!(self.notes.ping(), self.attachments.ping());
        database.map_err(|error| logged(&error, "database: unreachable"))?;
        bucket.map_err(|error| logged(&error, "bucket: unreachable"))
    }
}

fn logged(error: &dyn std::error::Error, short: &'static str) -> &'static str {
    tracing::warn!(%error, "{short}");
    short
}

async fn migrate(notes: Notes, done: watch::Sender<bool>) {
    let mut pause = Duration::from_millis(100);
    while let Err(error) = notes.migrate().await {
        tracing::warn!(%error, retry_in = ?pause, "the tables are not there yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    done.send_replace(true);
}
