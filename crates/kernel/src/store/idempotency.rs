//! What makes a repeated request harmless: the answer of the first, kept for the others.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    Store, keys,
    sql::args,
    work::{Transaction, Work},
};
use crate::{Error, Result, Secret};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// How long a request may take before its key is free again: the process that had it is gone.
const RUNNING: Duration = Duration::from_mins(1);

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The HTTP status.
    pub status: u16,
    /// Headers and body, as the one who kept it wrote them.
    pub body: Vec<u8>,
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing: the request is to be run, and its answer kept by [`Store::keep_answer`], or the key
    /// freed by [`Store::forget_answer`].
    First,
    /// The request was answered: with this.
    Answered(Replay),
}

impl Store {
    /// Takes the idempotency key `key` of `caller` for a request with this digest.
    ///
    /// Fails with `Conflict` while the first request with the key still runs, and with `Invalid`
    /// where that was another request.
    pub async fn idempotent(
        &self,
        caller: &str,
        key: &str,
        digest: [u8; 32],
    ) -> Result<Idempotency> {
        self.write(Take {
            caller: caller.into(),
            key: key.into(),
            digest,
        })
        .await
    }

    /// Keeps the answer of the request that has taken `key`, for a day. It is sealed: an answer may
    /// contain what its caller alone may see.
    pub async fn keep_answer(&self, caller: &str, key: &str, answer: Replay) -> Result<()> {
        self.write(Keep {
            caller: caller.into(),
            key: key.into(),
            answer,
        })
        .await
    }

    /// Frees `key`: the request did nothing, and may be tried again.
    pub async fn forget_answer(&self, caller: &str, key: &str) -> Result<()> {
        self.write(Forget {
            caller: caller.into(),
            key: key.into(),
        })
        .await
    }
}

pub(super) fn place(caller: &str, key: &str) -> String {
    format!("answer/{caller}/{key}")
}

fn after(now: i64, time: Duration) -> i64 {
    now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

struct Take {
    caller: String,
    key: String,
    digest: [u8; 32],
}

#[async_trait]
impl Work for Take {
    type Output = Idempotency;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Idempotency> {
        let now = tx.connection.now().await?;
        tx.connection
            .execute("DELETE FROM idempotency WHERE expires <= $1", args![now])
            .await?;
        let row = tx
            .connection
            .first(
                "SELECT digest, status, sealed FROM idempotency WHERE caller = $1 AND name = $2",
                args![self.caller.as_str(), self.key.as_str()],
            )
            .await?;
        let Some(row) = row else {
            tx.connection
                .execute(
                    "INSERT INTO idempotency (caller, name, digest, expires)
                     VALUES ($1, $2, $3, $4)",
                    args![
                        self.caller,
                        self.key,
                        self.digest.to_vec(),
                        after(now, RUNNING)
                    ],
                )
                .await?;
            return Ok(Idempotency::First);
        };
        if row.bytes(0)? != self.digest {
            return Err(Error::invalid(format!(
                "the Idempotency-Key `{}` was used for another request",
                self.key.escape_debug()
            ))
            .remedy("use a new key for a new request"));
        }
        let (Some(status), Some(sealed)) = (row.optional_int(1)?, row.optional_bytes(2)?) else {
            return Err(Error::conflict(format!(
                "the first request with the Idempotency-Key `{}` still runs",
                self.key.escape_debug()
            ))
            .remedy("try again in a moment: you will have its answer"));
        };
        let body = tx
            .sealer
            .open(tx.platform, &place(&self.caller, &self.key), &sealed)?;
        Ok(Idempotency::Answered(Replay {
            status: u16::try_from(status)
                .map_err(|error| Error::internal("a kept answer is not readable", error))?,
            body: body.expose().to_vec(),
        }))
    }
}

struct Keep {
    caller: String,
    key: String,
    answer: Replay,
}

#[async_trait]
impl Work for Keep {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        let now = tx.connection.now().await?;
        let place = place(&self.caller, &self.key);
        let body = Secret::new(self.answer.body);
        let owner: Uuid = tx.platform;
        let sealed = keys::seal(tx, owner, &place, &body).await?;
        tx.connection
            .execute(
                "UPDATE idempotency SET status = $3, sealed = $4, expires = $5
                 WHERE caller = $1 AND name = $2",
                args![
                    self.caller,
                    self.key,
                    i64::from(self.answer.status),
                    sealed,
                    after(now, KEPT)
                ],
            )
            .await
            .map(drop)
    }
}

struct Forget {
    caller: String,
    key: String,
}

#[async_trait]
impl Work for Forget {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        tx.connection
            .execute(
                "DELETE FROM idempotency WHERE caller = $1 AND name = $2",
                args![self.caller, self.key],
            )
            .await
            .map(drop)
    }
}
