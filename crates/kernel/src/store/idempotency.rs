//! What makes a repeated request harmless: the answer of the first, kept for the others.

use std::{future::Future, time::Duration};

use async_trait::async_trait;
use rand::Rng as _;
use tokio::{
    runtime::Handle,
    sync::broadcast,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    Store, keys,
    sql::{Connection, Row, args},
    work::{Transaction, Work},
};
use crate::{Backoff, Error, Problem, Result, Sealer, Secret, sealer::KeyId};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// Answers of one caller that are kept at the most: with the length of each (`http::idempotency`), all that one caller
/// can fill the store with. Far above what a caller sends before it knows that it was heard.
const KEPT_OF_ONE: i64 = 1_000;
/// How long a request may take before its key is free again: the process that had it is gone.
const RUNNING: Duration = Duration::from_mins(1);
/// How long a request waits for the first with its key: within what clients give a call.
const PATIENCE: Duration = Duration::from_secs(30);
/// The waits between two looks at what another replica runs. Of what this one does it is told.
const LOOK: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Ends of runs that one who waits may have missed before it looks instead.
pub(super) const UNHEARD: usize = 64;

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

    /// Waits until a run under the same key has ended in this process, or may have.
    async fn ends(&self, ended: &mut broadcast::Receiver<Self>) {
        while let Ok(other) = ended.recv().await {
            if other.caller == self.caller && other.key == self.key {
                return;
            }
        }
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
    /// [`Store::keep_answer`], or the key freed by [`Store::forget_answer`] where that may be.
    First(Held),
    /// The request was answered: with this.
    Answered(Replay),
}

impl Idempotency {
    /// The rule that a request breaks whose first run was carried out, at least in part, and whose answer is lost.
    pub const LOST: &'static str = "idempotency/answer-lost";
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
    /// Takes the idempotency key `key` of `caller` for a request with this digest. Where the first request with
    /// the key still runs, waits for its answer, or for the key to be free.
    ///
    /// Fails with `Conflict` where the first still runs after half a minute, which says when to ask again, and
    /// where it has committed something and its answer is lost; with `Invalid` where that was another request.
    pub async fn idempotent(
        &self,
        caller: &str,
        key: &str,
        digest: [u8; 32],
    ) -> Result<Idempotency> {
        let take = Take {
            held: Held {
                caller: caller.into(),
                key: key.into(),
                run: rand::rng().random_range(1..=i64::MAX),
            },
            digest,
        };
        let until = Instant::now() + PATIENCE;
        let mut looked = 0;
        loop {
            // From before it looks: what ends after that is heard.
            let mut ended = self.inner.ended.subscribe();
            // Most keys are new, and taken at once.
            let known = if looked == 0 {
                self.take(&take).await?
            } else {
                self.look(&take).await?
            };
            if let Some(known) = known {
                return Ok(known);
            }
            looked += 1;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::conflict(format!(
                    "the first request with the Idempotency-Key `{}` still runs",
                    key.escape_debug()
                ))
                .remedy("send it again in a moment with the same key: you will have its answer")
                .after(Duration::from_secs(1)));
            }
            tokio::select! {
                () = take.held.ends(&mut ended) => {}
                () = sleep(LOOK.jittered(looked).min(left)) => {}
            }
        }
    }

    /// What is known of the key; nothing while another run has it.
    async fn take(&self, take: &Take) -> Result<Option<Idempotency>> {
        let leaving = Leaving {
            store: Some(self.clone()),
            held: take.held.clone(),
        };
        let known = self.write(take.clone()).await;
        leaving.stays();
        known
    }

    /// The same for one who waits, who takes no turn of the one writer unless the key is free.
    async fn look(&self, take: &Take) -> Result<Option<Idempotency>> {
        let readers = &self.inner.readers;
        let clock = readers.clock();
        let Held { caller, key, .. } = &take.held;
        let row = readers
            .first(
                &format!(
                    "SELECT digest, status, sealed, worked, {clock} FROM idempotency
                     WHERE caller = $1 AND name = $2 AND expires > {clock}"
                ),
                args![caller.as_str(), key.as_str()],
            )
            .await?;
        match row {
            Some(row) => take.known(&row, row.int(4)?, &self.inner.sealer, self.inner.platform),
            None => self.take(take).await,
        }
    }

    /// Keeps the answer of the request that holds its key, for a day, and of one caller the newest thousand. It is
    /// sealed: an answer may contain what its caller alone may see.
    pub async fn keep_answer(&self, held: Held, answer: Replay) -> Result<()> {
        let run = held.clone();
        // Before its turn: others wait for the one writer.
        let keys = self.inner.sealer.now();
        let body = Secret::new(answer.body);
        let keep = Keep {
            status: answer.status,
            sealed: keys.seal(self.inner.platform, &place(&held.caller, &held.key), &body)?,
            by: keys.current(),
            held,
        };
        self.write(keep).await?;
        self.tell_end(run);
        Ok(())
    }

    /// Notes of the request that holds its key that it was answered, and that the answer is not kept. Sent again, it is
    /// not run again: it is told to look ([`Idempotency::LOST`]).
    pub async fn lose_answer(&self, held: Held) -> Result<()> {
        let run = held.clone();
        self.write(Lose { held }).await?;
        self.tell_end(run);
        Ok(())
    }

    /// Frees the key, and answers true: the request did nothing, and may be tried again. Where it broke off
    /// after it had committed something, the key stays taken, and the answer is false: what it broke off with is
    /// to be kept ([`Store::keep_answer`]).
    pub async fn forget_answer(&self, held: Held, ended: Ended) -> Result<bool> {
        let run = held.clone();
        let is_free = self.write(Forget { held, ended }).await?;
        // Else those who wait look when there is an answer.
        if is_free {
            self.tell_end(run);
        }
        Ok(is_free)
    }

    fn tell_end(&self, run: Held) {
        // Mostly nobody waits.
        let _ = self.inner.ended.send(run);
    }
}

/// One who goes away while it takes a key frees it again: nobody would run the request, and whoever sends it again
/// would wait for it.
struct Leaving {
    store: Option<Store>,
    held: Held,
}

impl Leaving {
    /// It has heard what became of the key.
    fn stays(mut self) {
        self.store = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let (Some(store), Ok(runtime)) = (self.store.take(), Handle::try_current()) else {
            return;
        };
        let held = self.held.clone();
        runtime.spawn(async move {
            if let Err(error) = store.forget_answer(held, Ended::Refused).await {
                tracing::debug!(error = error.chain(), "an idempotency key was not freed");
            }
        });
    }
}

/// Ends all runs that have not: whoever began them is gone. What they had committed stands, and their answer is
/// lost.
pub(super) async fn end_all(connection: &mut Connection) -> Result<()> {
    for statement in [
        "DELETE FROM idempotency WHERE status IS NULL AND worked IS NULL",
        "UPDATE idempotency SET worked = 0 WHERE status IS NULL",
    ] {
        connection.execute(statement, vec![]).await?;
    }
    Ok(())
}

pub(super) fn place(caller: &str, key: &str) -> String {
    format!("answer/{caller}/{key}")
}

fn after(now: i64, time: Duration) -> i64 {
    now.saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

#[derive(Clone)]
struct Take {
    held: Held,
    digest: [u8; 32],
}

impl Take {
    /// What the key's row says `now`: nothing while another run has the key.
    fn known(
        &self,
        row: &Row,
        now: i64,
        sealer: &Sealer,
        platform: Uuid,
    ) -> Result<Option<Idempotency>> {
        let Held { caller, key, .. } = &self.held;
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
            if !lost {
                return Ok(None);
            }
            let message = format!(
                "the request with the Idempotency-Key `{}` was carried out, at least in part, and its answer \
                 is lost",
                key.escape_debug()
            );
            let problem = Problem::new(Idempotency::LOST, "", &message);
            let mut error = Error::conflict(message)
                .remedy("look at what there is now; send what is still missing with a new key");
            error.problems.push(problem);
            return Err(error);
        };
        let body = sealer.open(platform, &place(caller, key), &sealed)?;
        Ok(Some(Idempotency::Answered(Replay {
            status: u16::try_from(status)
                .map_err(|error| Error::internal("a kept answer is not readable", error))?,
            body: body.expose().to_vec(),
        })))
    }
}

#[async_trait]
impl Work for Take {
    /// Nothing while another run has the key.
    type Output = Option<Idempotency>;

    async fn run(self, tx: &mut Transaction<'_>) -> Result<Option<Idempotency>> {
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
            return Ok(Some(Idempotency::First(self.held)));
        };
        self.known(&row, now, tx.sealer, tx.platform)
    }
}

struct Keep {
    held: Held,
    status: u16,
    sealed: Vec<u8>,
    /// The key that it is sealed by.
    by: KeyId,
}

#[async_trait]
impl Work for Keep {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        let now = tx.connection.now().await?;
        let Held { caller, key, run } = self.held;
        let place = place(&caller, &key);
        let owner: Uuid = tx.platform;
        let sealed = keys::take_sealed(tx, owner, &place, self.sealed, &self.by).await?;
        tx.connection
            .execute(
                "UPDATE idempotency SET status = $3, sealed = $4, expires = $5
                 WHERE caller = $1 AND name = $2 AND run = $6",
                args![
                    caller.as_str(),
                    key,
                    i64::from(self.status),
                    sealed,
                    after(now, KEPT),
                    run
                ],
            )
            .await?;
        tx.connection
            .execute(
                "DELETE FROM idempotency WHERE caller = $1 AND sealed IS NOT NULL AND expires <
                     (SELECT expires FROM idempotency WHERE caller = $1 AND sealed IS NOT NULL
                      ORDER BY expires DESC LIMIT 1 OFFSET $2)",
                args![caller, KEPT_OF_ONE - 1],
            )
            .await
            .map(drop)
    }
}

struct Lose {
    held: Held,
}

#[async_trait]
impl Work for Lose {
    type Output = ();

    async fn run(self, tx: &mut Transaction<'_>) -> Result<()> {
        let now = tx.connection.now().await?;
        let Held { caller, key, run } = self.held;
        tx.connection
            .execute(
                "UPDATE idempotency SET worked = 0, expires = $4
                 WHERE caller = $1 AND name = $2 AND run = $3",
                args![caller, key, run, after(now, KEPT)],
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
            let stands = tx
                .connection
                .first(
                    "SELECT 1 FROM idempotency
                     WHERE caller = $1 AND name = $2 AND run = $3 AND worked IS NOT NULL",
                    args![caller.as_str(), key.as_str(), run],
                )
                .await?;
            if stands.is_some() {
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
