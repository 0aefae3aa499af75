//! Telling other replicas of this one's commits, on Postgres; what [`super::feed`] hears.
//!
//! Told after the commit, and not in it: a transaction that notifies waits for the database's one queue of
//! notifications, which takes as long as the rest of an append. Commits that come while one is being told are
//! told together. A replica that dies between a commit and its telling leaves that to the others' own looking.

use std::{io, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{feed, sql::FEED};

/// The wait after each notification: of a log that grows fast others are told a few hundred times in a second, each
/// time of all of it, and not with each commit, which shares its processors with the telling and the hearing.
const BREATH: Duration = Duration::from_millis(1);
/// The wait before a server that did not take a notification is tried again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one may take. It is also how long the end of the store waits for the last of them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells, in a task of its own, until [`Herald::end`].
pub(super) struct Herald {
    heads: watch::Sender<i64>,
    task: JoinHandle<()>,
}

impl Herald {
    pub(super) fn start(options: PgConnectOptions) -> Self {
        // A notification need not outlive the server: nobody waits for a disk for its sake.
        let options = options.options([("synchronous_commit", "off")]);
        let (heads, newest) = watch::channel(0);
        let task = tokio::spawn(tell(options, newest));
        Self { heads, task }
    }

    /// That the log goes to `head` is committed.
    pub(super) fn tell(&self, head: i64) {
        feed::raise(&self.heads, head);
    }

    /// Waits until the last is told, or cannot be.
    pub(super) async fn end(self) {
        drop(self.heads);
        let mut task = self.task;
        if timeout(PATIENCE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn tell(options: PgConnectOptions, mut newest: watch::Receiver<i64>) {
    let mut connection = None;
    while newest.changed().await.is_ok() {
        loop {
            let head = *newest.borrow_and_update();
            let told = timeout(PATIENCE, notify(&options, &mut connection, head));
            match told
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
            {
                Ok(()) => {
                    sleep(BREATH).await;
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "other replicas could not be told of new events");
                    connection = None;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn notify(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
    head: i64,
) -> sqlx::Result<()> {
    let connected = match connection {
        Some(connected) => connected,
        None => connection.insert(options.connect().await?),
    };
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(FEED)
        .bind(head.to_string())
        .execute(connected)
        .await
        .map(drop)
}
