//! Learning of other replicas' commits, on Postgres.

use std::time::Duration;

use sqlx::{PgPool, Row as _, postgres::PgListener};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{pooled, sql::FEED};

/// How often to look without being told: of the last commit of a replica that dies just after it, nobody is.
const LOOK: Duration = Duration::from_secs(5);
/// The same while there is no connection that could tell.
const LOOK_BLIND: Duration = Duration::from_millis(250);

/// Keeps `head` at the newest event's place in the log, until `stop`, or until nobody follows.
pub(super) async fn follow(pool: PgPool, head: watch::Sender<i64>, stop: CancellationToken) {
    let following = async {
        let mut listener = None;
        loop {
            if listener.is_none() {
                listener = listen(&pool).await;
            }
            if let Some(told) = &mut listener {
                look(&pool, &head).await;
                let missed = match hear(told, &head).await {
                    Ok(Heard::Something) => false,
                    // A connection that hangs is as silent as one that has nothing to tell.
                    Ok(Heard::Nothing) => look(&pool, &head).await,
                    Err(error) => {
                        tracing::warn!(%error, "the store no longer tells of new events");
                        true
                    }
                };
                if missed {
                    listener = None;
                }
            } else {
                tokio::time::sleep(LOOK_BLIND).await;
                look(&pool, &head).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
}

/// Why hearing has ended.
enum Heard {
    /// There was a silence.
    Nothing,
    /// Something was told that does not say what.
    Something,
}

/// Takes in what is told, until it is time to look: after a silence, or where the connection was lost
/// and made anew, or where an older version tells without saying what.
async fn hear(told: &mut PgListener, head: &watch::Sender<i64>) -> sqlx::Result<Heard> {
    while let Ok(heard) = timeout(LOOK, told.try_recv()).await {
        let Some(newest) = heard?.and_then(|heard| heard.payload().parse().ok()) else {
            return Ok(Heard::Something);
        };
        raise(head, newest);
    }
    Ok(Heard::Nothing)
}

async fn listen(pool: &PgPool) -> Option<PgListener> {
    let connected = async {
        // A connection of its own: it is held for as long as the store is open.
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(FEED).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match timeout(pooled::PATIENCE, connected)
        .await
        .unwrap_or_else(|_| Err(pooled::late()))
    {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::debug!(%error, "the store does not tell of new events; looking instead");
            None
        }
    }
}

/// Looks how far the log goes; says whether that was news.
async fn look(pool: &PgPool, head: &watch::Sender<i64>) -> bool {
    let query = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM event");
    let rows = pooled::fetch_all(pool, query).await;
    match rows.and_then(|rows| rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0))) {
        Ok(newest) => raise(head, newest),
        Err(error) => {
            tracing::debug!(%error, "the newest event could not be read");
            false
        }
    }
}

/// Tells those who follow that the log goes to `newest`; says whether they did not know.
pub(super) fn raise(head: &watch::Sender<i64>, newest: i64) -> bool {
    head.send_if_modified(|known| {
        let newer = newest > *known;
        *known = newest.max(*known);
        newer
    })
}
