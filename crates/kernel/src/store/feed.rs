//! Learning of other replicas' commits, on Postgres.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::sql::FEED;

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
                if let Err(error) = hear(told, &head).await {
                    tracing::warn!(%error, "the store no longer tells of new events");
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

/// Takes in what is told, until it is time to look: after a silence, or where the connection was lost
/// and made anew, or where an older version tells without saying what.
async fn hear(told: &mut PgListener, head: &watch::Sender<i64>) -> sqlx::Result<()> {
    while let Ok(heard) = timeout(LOOK, told.try_recv()).await {
        let Some(newest) = heard?.and_then(|heard| heard.payload().parse().ok()) else {
            break;
        };
        raise(head, newest);
    }
    Ok(())
}

async fn listen(pool: &PgPool) -> Option<PgListener> {
    let connected = async {
        // A connection of its own: it is held for as long as the store is open.
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(FEED).await?;
        Ok::<_, sqlx::Error>(listener)
    };
    match connected.await {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::debug!(%error, "the store does not tell of new events; looking instead");
            None
        }
    }
}

async fn look(pool: &PgPool, head: &watch::Sender<i64>) {
    match sqlx::query_scalar::<_, i64>("SELECT COALESCE(MAX(seq), 0) FROM event")
        .fetch_one(pool)
        .await
    {
        Ok(newest) => raise(head, newest),
        Err(error) => tracing::debug!(%error, "the newest event could not be read"),
    }
}

/// Tells those who follow that the log goes to `newest`, unless they know.
pub(super) fn raise(head: &watch::Sender<i64>, newest: i64) {
    head.send_if_modified(|known| {
        let newer = newest > *known;
        *known = newest.max(*known);
        newer
    });
}
