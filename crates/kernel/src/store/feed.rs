//! Learning of other replicas' commits, on Postgres.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// How often to look without being told: a notification is lost only with its connection.
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
            let wait = match &mut listener {
                Some(told) => {
                    look(&pool, &head).await;
                    // `try_recv` is none where the connection was lost and is made anew; then, too,
                    // it is time to look.
                    match timeout(LOOK, told.try_recv()).await {
                        Ok(Ok(_)) | Err(_) => continue,
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "the store no longer tells of new events");
                            listener = None;
                            LOOK_BLIND
                        }
                    }
                }
                None => LOOK_BLIND,
            };
            tokio::time::sleep(wait).await;
            look(&pool, &head).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = following => {}
    }
}

async fn listen(pool: &PgPool) -> Option<PgListener> {
    let connected = async {
        // A connection of its own: it is held for as long as the store is open.
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen("towpath_event").await?;
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
        Ok(newest) => {
            head.send_if_modified(|known| {
                let newer = newest > *known;
                *known = newest.max(*known);
                newer
            });
        }
        Err(error) => tracing::debug!(%error, "the newest event could not be read"),
    }
}
