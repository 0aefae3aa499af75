//! The one writer: a task that owns the connection that writes.
//!
//! What waits in its queue is committed together, each piece of work behind a savepoint of its own
//! (group commit): one flush of the disk serves all, and one that fails leaves the others alone.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{
    feed,
    herald::Herald,
    line::Line,
    open::{Connector, Lock},
    sql::Connection,
};
use crate::{Error, ErrorKind, Result, Sealer};

/// Work waiting at the most; more wait at the door. Far above what one flush of a disk serves.
const QUEUE: usize = 1024;
/// Work in one transaction at the most, so that the first of a batch is not held up by the last.
const BATCH: usize = 128;

/// How long a transaction may take on a server. Its own limits (see `open`) end it there sooner.
const PATIENCE: Duration = Duration::from_secs(15);

/// What work sees of the transaction that it runs in.
pub(crate) struct Transaction<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) sealer: &'a Sealer,
    pub(super) platform: Uuid,
    /// The newest event's place in the log. Work that appends counts it up.
    pub(super) head: i64,
}

/// Something that writes, in a transaction, all or nothing.
#[async_trait]
pub(crate) trait Work: Send + 'static {
    type Output: Send + 'static;
    async fn run(self, tx: &mut Transaction<'_>) -> Result<Self::Output>;

    /// What it appends to the log, where it does nothing else: a database takes that in one statement.
    fn lines(&self) -> Option<Vec<Line>> {
        None
    }

    /// What it gives where its lines are in the log, the last of them at `head`.
    fn appended(&self, _head: i64) -> Option<Self::Output> {
        None
    }
}

/// The way in to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Writer {
    /// Starts the task. It ends, and closes the connection, with the last `Writer`.
    pub(super) fn start(task: Loop) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(task.run(waiting, stop.clone()));
        tasks.close();
        Self { queue, stop, tasks }
    }

    /// Waits until what is in the queue is committed and the connection is closed.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }

    /// Runs `work` and waits until it is committed, durably.
    pub(super) async fn run<W: Work>(&self, work: W) -> Result<W::Output> {
        let gone = || Error::unavailable("the store is closed");
        let (reply, outcome) = oneshot::channel();
        let job = Pending {
            work: Some(work),
            output: None,
            reply,
        };
        self.queue.send(Box::new(job)).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// Work in the queue, whatever it gives.
#[async_trait]
trait Job: Send {
    /// Runs it; true where it wants to be committed.
    async fn run(&mut self, tx: &mut Transaction<'_>) -> bool;
    /// See [`Work::lines`].
    fn lines(&self) -> Option<Vec<Line>>;
    /// It is done: its lines are in the log.
    fn appended(&mut self, head: i64);
    /// Tells the caller, after the transaction.
    fn answer(self: Box<Self>, transaction: std::result::Result<(), Failure>);
}

struct Pending<W: Work> {
    work: Option<W>,
    output: Option<Result<W::Output>>,
    reply: oneshot::Sender<Result<W::Output>>,
}

#[async_trait]
impl<W: Work> Job for Pending<W> {
    async fn run(&mut self, tx: &mut Transaction<'_>) -> bool {
        if let Some(work) = self.work.take() {
            self.output = Some(work.run(tx).await);
        }
        matches!(self.output, Some(Ok(_)))
    }

    fn lines(&self) -> Option<Vec<Line>> {
        self.work.as_ref()?.lines()
    }

    fn appended(&mut self, head: i64) {
        let work = self.work.take();
        self.output = work.and_then(|work| work.appended(head)).map(Ok);
    }

    fn answer(self: Box<Self>, transaction: std::result::Result<(), Failure>) {
        let outcome = match (self.output, transaction) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(failure)) => Err(failure.error()),
            (Some(Ok(output)), Ok(())) => Ok(output),
            (None, Ok(())) => Err(Error::internal("work was not run", "writer")),
        };
        // The caller may have gone; the work stands either way.
        let _ = self.reply.send(outcome);
    }
}

/// Why a whole transaction failed, for each of those in it.
#[derive(Clone)]
struct Failure {
    kind: ErrorKind,
    message: String,
    remedy: Option<String>,
    chain: String,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self {
            kind: error.kind,
            message: error.message.clone(),
            remedy: error.remedy.clone(),
            chain: error.chain(),
        }
    }

    fn error(self) -> Error {
        let mut error = Error::new(self.kind, self.message).caused_by(self.chain);
        error.remedy = self.remedy;
        error
    }
}

/// The writer's task.
pub(super) struct Loop {
    pub(super) connector: Connector,
    /// None after a failure, until the next work connects again.
    pub(super) connection: Option<Connection>,
    pub(super) sealer: Sealer,
    pub(super) platform: Uuid,
    pub(super) head: watch::Sender<i64>,
    /// Who tells other replicas, where there may be some.
    pub(super) herald: Option<Herald>,
    /// Held until the connection is closed.
    pub(super) lock: Option<Arc<Lock>>,
}

impl Loop {
    async fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn Job>>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                biased;
                received = waiting.recv_many(&mut batch, BATCH) => received,
                () = stop.cancelled() => {
                    // Takes no more, and runs what it has.
                    waiting.close();
                    waiting.recv_many(&mut batch, BATCH).await
                }
            };
            if received == 0 {
                break;
            }
            let outcome = match self.in_time(&mut batch).await {
                Ok(head) => {
                    feed::raise(&self.head, head);
                    if let Some(herald) = &self.herald {
                        herald.tell(head);
                    }
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(error = error.chain(), "a transaction of the store failed");
                    // Its state is unknown; a new one has none.
                    self.connection = None;
                    Err(Failure::of(&error))
                }
            };
            for job in batch.drain(..) {
                job.answer(outcome.clone());
            }
        }
        if let Some(herald) = self.herald.take() {
            herald.end().await;
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
        drop(self.lock);
    }

    /// Runs `batch`, but on a server never for longer than [`PATIENCE`]: a network that swallows
    /// what is sent must not stop all writing for ever. SQLite ends by itself.
    async fn in_time(&mut self, batch: &mut [Box<dyn Job>]) -> Result<i64> {
        if matches!(self.connector, Connector::Sqlite(_)) {
            return self.transaction(batch).await;
        }
        timeout(PATIENCE, self.transaction(batch))
            .await
            .unwrap_or_else(|_| {
                Err(Error::unavailable("the store did not answer in time").remedy(
                    "look whether it was done before trying again: its answer may have been lost",
                ))
            })
    }

    /// Runs `batch` in one transaction; gives the newest event's place in the log.
    async fn transaction(&mut self, batch: &mut [Box<dyn Job>]) -> Result<i64> {
        if let Some(lock) = &self.lock {
            lock.in_place()?;
        }
        if self.connection.is_none() {
            self.connection = Some(self.connector.connect().await?);
        }
        let Some(connection) = self.connection.as_mut() else {
            return Err(Error::unavailable("the store is closed"));
        };
        if let Some(lines) = batch.iter().map(|job| job.lines()).collect() {
            return append(connection, batch, lines).await;
        }
        let mut tx = Transaction {
            head: connection.begin().await?,
            connection,
            sealer: &self.sealer,
            platform: self.platform,
        };
        let alone = batch.len() == 1;
        let mut any = false;
        for job in batch {
            if !alone {
                tx.connection.batch("SAVEPOINT work").await?;
            }
            let before = tx.head;
            let good = job.run(&mut tx).await;
            any |= good;
            if !good {
                tx.head = before;
            }
            if !alone {
                let end = if good {
                    "RELEASE SAVEPOINT work"
                } else {
                    "ROLLBACK TO SAVEPOINT work; RELEASE SAVEPOINT work"
                };
                tx.connection.batch(end).await?;
            }
        }
        let newest = tx.head;
        let end = if any { "COMMIT" } else { "ROLLBACK" };
        connection.batch(end).await?;
        Ok(newest)
    }
}

/// Runs a batch that does nothing but append: all of it in one statement.
async fn append(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    lines: Vec<Vec<Line>>,
) -> Result<i64> {
    let counts: Vec<_> = lines.iter().map(Vec::len).collect();
    let head = connection
        .append(lines.into_iter().flatten().collect())
        .await?;
    let mut last = head - counts.iter().sum::<usize>() as i64;
    for (job, count) in batch.iter_mut().zip(counts) {
        last += count as i64;
        job.appended(last);
    }
    Ok(head)
}
