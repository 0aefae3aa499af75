//! Reads on Postgres that end, whatever has become of the network.
//!
//! A connection that hangs (a firewall has forgotten it, its backend stands still) says nothing of it, and the pool
//! waits for as long as it hangs: for the answer, and, where nobody waits for that any more, for the ping with which
//! it takes the connection back. So a read has an end, and what has not answered by then is closed and never used
//! again.

use std::{io, time::Duration};

use sqlx::{
    PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::time::timeout;

/// How long a read may take, the wait for a connection included.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// All rows; an error of input and output where they are not there in time.
pub(super) async fn fetch_all(
    pool: &PgPool,
    query: Query<'_, Postgres, PgArguments>,
) -> sqlx::Result<Vec<PgRow>> {
    let read = async {
        let taken = Taken(Some(pool.acquire().await?));
        taken.fetch_all(query).await
    };
    timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| Err(late()))
}

/// That nothing came in time.
pub(super) fn late() -> sqlx::Error {
    sqlx::Error::Io(io::ErrorKind::TimedOut.into())
}

/// A connection whose query has not come to its end. Dropped as such, by whoever waits no longer, it is closed.
struct Taken(Option<PoolConnection<Postgres>>);

impl Taken {
    async fn fetch_all(
        mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> sqlx::Result<Vec<PgRow>> {
        let Some(connection) = self.0.as_mut() else {
            return Err(sqlx::Error::PoolClosed);
        };
        let rows = query.fetch_all(&mut **connection).await;
        if let Some(mut connection) = self.0.take() {
            // Dropping it would do the same, without an end.
            tokio::spawn(timeout(PATIENCE, connection.return_to_pool()));
        }
        rows
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // Frees its place in the pool; its socket is closed with it.
            drop(connection.detach());
        }
    }
}
