//! Leases: taken, renewed and given up.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    Store,
    sql::{Connection, args},
    work::{Transaction, Work},
};
use crate::{Result, lease::Fence};

impl Store {
    /// Takes the lease `lease` for `holder`, for `ttl` from now, in an epoch of its own: what still carries
    /// a fence from before is refused from now on, `holder`'s too, which may not have been able to give it up.
    /// None while another holds it. `holder` must be this holder's alone. Fails where the store does not answer.
    pub async fn acquire(&self, lease: &str, holder: &str, ttl: Duration) -> Result<Option<Fence>> {
        self.write(Acquire {
            lease: lease.into(),
            holder: holder.into(),
            ttl: milliseconds(ttl),
        })
        .await
    }

    /// Holds the lease behind `fence`, which `holder` has taken, for `ttl` from now, in the same epoch. False
    /// where it was taken or given up since. Fails where the store does not answer.
    pub async fn renew(&self, fence: &Fence, holder: &str, ttl: Duration) -> Result<bool> {
        self.write(Renew {
            fence: fence.clone(),
            holder: holder.into(),
            ttl: milliseconds(ttl),
        })
        .await
    }

    /// How long the lease `lease` is still held; zero where anybody may take it.
    pub async fn held_for(&self, lease: &str) -> Result<Duration> {
        let readers = &self.inner.readers;
        let row = readers
            .first(
                &format!(
                    "SELECT expires - ({}) FROM lease WHERE name = $1",
                    readers.clock()
                ),
                args![lease],
            )
            .await?;
        // Negative where it has expired.
        let left = row.map_or(Ok(0), |row| row.int(0))?;
        Ok(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    /// Gives the lease up, where `holder` still has it: the next may take it at once, and what still
    /// carries the fence is refused from now on.
    pub async fn release(&self, fence: &Fence, holder: &str) -> Result<()> {
        self.write(Release {
            fence: fence.clone(),
            holder: holder.into(),
        })
        .await
    }
}

fn milliseconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Ends all leases, for a store that no other process can have.
pub(super) async fn expire_all(connection: &mut Connection) -> Result<()> {
    connection
        .execute(
            "UPDATE lease SET holder = '', epoch = epoch + 1, expires = 0 WHERE holder <> ''",
            vec![],
        )
        .await
        .map(drop)
}

struct Acquire {
    lease: String,
    holder: String,
    ttl: i64,
}

#[async_trait]
impl Work for Acquire {
    type Output = Option<Fence>;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Option<Fence>> {
        let now = tx.connection.now().await?;
        let held = tx
            .connection
            .first(
                "SELECT holder, epoch, expires FROM lease WHERE name = $1",
                args![self.lease.as_str()],
            )
            .await?;
        let epoch = match held {
            None => 1,
            Some(row) => {
                let (holder, epoch, expires) = (row.text(0)?, row.int(1)?, row.int(2)?);
                if holder != self.holder && expires > now {
                    return Ok(None);
                }
                epoch + 1
            }
        };
        tx.connection
            .execute(
                "INSERT INTO lease (name, holder, epoch, expires) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO UPDATE
                 SET holder = excluded.holder, epoch = excluded.epoch, expires = excluded.expires",
                args![
                    self.lease.as_str(),
                    self.holder,
                    epoch,
                    now.saturating_add(self.ttl)
                ],
            )
            .await?;
        Ok(Some(Fence {
            lease: self.lease,
            epoch,
        }))
    }
}

struct Renew {
    fence: Fence,
    holder: String,
    ttl: i64,
}

#[async_trait]
impl Work for Renew {
    type Output = bool;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<bool> {
        let now = tx.connection.now().await?;
        let rows = tx
            .connection
            .execute(
                "UPDATE lease SET expires = $4 WHERE name = $1 AND holder = $2 AND epoch = $3",
                args![
                    self.fence.lease,
                    self.holder,
                    self.fence.epoch,
                    now.saturating_add(self.ttl)
                ],
            )
            .await?;
        Ok(rows > 0)
    }
}

struct Release {
    fence: Fence,
    holder: String,
}

#[async_trait]
impl Work for Release {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        tx.connection
            .execute(
                "UPDATE lease SET holder = '', epoch = epoch + 1, expires = 0
                 WHERE name = $1 AND holder = $2 AND epoch = $3",
                args![self.fence.lease, self.holder, self.fence.epoch],
            )
            .await
            .map(drop)
    }
}
