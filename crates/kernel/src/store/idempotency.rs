//! What makes a repeated request harmless: the answer of the first, kept for the others.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use rand::Rng as _;
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

/// One run of a request under its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    caller: String,
    key: String,
    /// Drawn: a run that took too long knows that the key is another's by now.
    run: i64,
}

tokio::task_local! {
    /// The run that this task's commits belong to.
    static HELD: Held;
}

impl Held {
    /// Does `work`: what it commits is this run's, and says so in the same transaction. What it spawns is
    /// not.
    pub async fn during<F: Future>(self, work: F) -> F::Output {
        HELD.scope(self, work).await
    }

    /// The run that this task works for.
    pub(super) fn present() -> Option<Self> {
        HELD.try_with(Clone::clone).ok()
    }

    /// Notes that the run has committed something. Fails where the key was given up meanwhile.
    pub(super) async fn worked(&self, tx: &mut Transaction<'_>) -> Result<()> {
        let now = tx.connection.now().await?;
        let noted = tx
            .connection
            .execute(
                "UPDATE idempotency SET worked = $4, expires = $5
                 WHERE caller = $1 AND name = $2 AND run = $3 AND expires > $4",
                args![
                    self.caller.as_str(),
                    self.key.as_str(),
                    self.run,
                    now,
                    after(now, KEPT)
                ],
            )
            .await?;
        if noted == 0 {
            return Err(Error::conflict(format!(
                "the request with the Idempotency-Key `{}` took too long, and has done nothing",
                self.key.escape_debug()
            ))
            .remedy("send it again with the same key"));
        }
        Ok(())
    }
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing: the request is to be run ([`Held::during`]), and its answer kept by
    /// [`Store::keep_answer`], or the key freed by [`Store::forget_answer`].
    First(Held),
    /// The request was answered: with this.
    Answered(Replay),
}

/// What an error says of the work that it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was refused, and the caller knows why.
    Refused,
    /// It broke off: what it had committed by then stands.
    BrokenOff,
}

impl Store {
    /// Takes the idempotency key `key` of `caller` for a request with this digest.
    ///
    /// Fails with `Conflict` while the first request with the key still runs, and where it has committed
    /// something and its answer is lost; with `Invalid` where that was another request.
    pub async fn idempotent(
        &self,
        caller: &str,
        key: &str,
        digest: [u8; 32],
    ) -> Result<Idempotency> {
        let held = Held {
            caller: caller.into(),
            key: key.into(),
            run: rand::rng().random_range(1..=i64::MAX),
        };
        self.write(Take { held, digest }).await
    }

    /// Keeps the answer of the request that holds its key, for a day. It is sealed: an answer may
    /// contain what its caller alone may see.
    pub async fn keep_answer(&self, held: Held, answer: Replay) -> Result<()> {
        self.write(Keep { held, answer }).await
    }

    /// Frees the key, and answers true: the request did nothing, and may be tried again. Where it broke off
    /// after it had committed something, the key stays taken, and the answer is false.
    pub async fn forget_answer(&self, held: Held, ended: Ended) -> Result<bool> {
        self.write(Forget { held, ended }).await
    }
}

pub(super) fn place(caller: &str, key: &str) -> String {
    format!("answer/{caller}/{key}")
}

fn after(now: i64, time: Duration) -> i64 {
    now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

struct Take {
    held: Held,
    digest: [u8; 32],
}

#[async_trait]
impl Work for Take {
    type Output = Idempotency;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Idempotency> {
        let now = tx.connection.now().await?;
        let Held { caller, key, run } = &self.held;
        tx.connection
            .execute("DELETE FROM idempotency WHERE expires <= $1", args![now])
            .await?;
        let row = tx
            .connection
            .first(
                "SELECT digest, status, sealed, worked FROM idempotency
                 WHERE caller = $1 AND name = $2",
                args![caller.as_str(), key.as_str()],
            )
            .await?;
        let Some(row) = row else {
            tx.connection
                .execute(
                    "INSERT INTO idempotency (caller, name, digest, expires, run)
                     VALUES ($1, $2, $3, $4, $5)",
                    args![
                        caller.as_str(),
                        key.as_str(),
                        self.digest.to_vec(),
                        after(now, RUNNING),
                        *run
                    ],
                )
                .await?;
            return Ok(Idempotency::First(self.held));
        };
        if row.bytes(0)? != self.digest {
            return Err(Error::invalid(format!(
                "the Idempotency-Key `{}` was used for another request",
                key.escape_debug()
            ))
            .remedy("use a new key for a new request"));
        }
        let (Some(status), Some(sealed)) = (row.optional_int(1)?, row.optional_bytes(2)?) else {
            let lost = row
                .optional_int(3)?
                .is_some_and(|worked| after(worked, RUNNING) <= now);
            return Err(if lost {
                Error::conflict(format!(
                    "the request with the Idempotency-Key `{}` was carried out, at least in part, and its \
                     answer is lost",
                    key.escape_debug()
                ))
                .remedy("look at what there is now; send what is still missing with a new key")
            } else {
                Error::conflict(format!(
                    "the first request with the Idempotency-Key `{}` still runs",
                    key.escape_debug()
                ))
                .remedy("try again in a moment: you will have its answer")
            });
        };
        let body = tx.sealer.open(tx.platform, &place(caller, key), &sealed)?;
        Ok(Idempotency::Answered(Replay {
            status: u16::try_from(status)
                .map_err(|error| Error::internal("a kept answer is not readable", error))?,
            body: body.expose().to_vec(),
        }))
    }
}

struct Keep {
    held: Held,
    answer: Replay,
}

#[async_trait]
impl Work for Keep {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        let now = tx.connection.now().await?;
        let Held { caller, key, run } = self.held;
        let place = place(&caller, &key);
        let body = Secret::new(self.answer.body);
        let owner: Uuid = tx.platform;
        let sealed = keys::seal(tx, owner, &place, &body).await?;
        tx.connection
            .execute(
                "UPDATE idempotency SET status = $3, sealed = $4, expires = $5
                 WHERE caller = $1 AND name = $2 AND run = $6",
                args![
                    caller,
                    key,
                    i64::from(self.answer.status),
                    sealed,
                    after(now, KEPT),
                    run
                ],
            )
            .await
            .map(drop)
    }
}

struct Forget {
    held: Held,
    ended: Ended,
}

#[async_trait]
impl Work for Forget {
    type Output = bool;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<bool> {
        let Held { caller, key, run } = self.held;
        if self.ended == Ended::BrokenOff {
            // Of long ago: nobody waits for its answer any more.
            let stands = tx
                .connection
                .execute(
                    "UPDATE idempotency SET worked = 0
                     WHERE caller = $1 AND name = $2 AND run = $3 AND worked IS NOT NULL",
                    args![caller.as_str(), key.as_str(), run],
                )
                .await?;
            if stands > 0 {
                return Ok(false);
            }
        }
        tx.connection
            .execute(
                "DELETE FROM idempotency WHERE caller = $1 AND name = $2 AND run = $3",
                args![caller, key, run],
            )
            .await?;
        Ok(true)
    }
}
