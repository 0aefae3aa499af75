//! The store: typed documents with optimistic concurrency, the event log, sealed secrets, leases
//! and cursors, on SQLite and Postgres.
//!
//! One task writes (see `writer`), a pool reads. Both databases run the same statements (see `sql`)
//! on tables of the same shape (`migrations/`).
//!
//! * **Order.** An event's `seq` is its place in the order of commits, without gaps. On Postgres a
//!   lock within each writing transaction makes it so, for all replicas together.
//! * **Durability.** What [`Store::commit`] has answered survives the loss of power.
//! * **Revision.** A resource's revision is the `seq` of its last write.

mod apply;
mod cursor;
mod document;
mod feed;
mod herald;
mod idempotency;
mod key_change;
mod keys;
mod lease;
mod line;
mod open;
mod pooled;
mod publish;
mod read;
mod read_index;
mod record;
mod sql;
mod tail;
mod writer;

/// What work of other modules of the kernel runs in.
pub(crate) mod work {
    pub(crate) use super::{
        sql::Value,
        writer::{Transaction, Work},
    };
}

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::{
    idempotency::{Ended, Held, Idempotency, Replay},
    key_change::{Attendance, KeyChange, KeyHolder},
    keys::{Progress, SealedBy},
};
use self::{
    open::{Connector, Lock, migrate},
    sql::{Connection, Readers, args},
    writer::{Work, Writer},
};
use crate::{
    Change, Document, Error, Key, Kind, Published, Resource, Result, Sealer, Secret, Turns,
    contention::Contest,
};

/// How long the store may take to show that it answers: within what those give a call who ask whether it does.
const READY: Duration = Duration::from_secs(2);

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Readers,
    writer: Writer,
    sealer: Sealer,
    platform: Uuid,
    head: watch::Receiver<i64>,
    /// Where others append to the log as well.
    read_index: Option<read_index::ReadIndex>,
    /// Runs under an idempotency key that have ended here.
    ended: broadcast::Sender<Held>,
    /// That of the SQLite file. The writer's: it lets go of it with its connection.
    lock: Option<Weak<Lock>>,
    tail: tail::Tail,
    /// Where those stand who were overtaken at the same thing.
    lines: Turns<Contest>,
    /// Ends the task that follows other replicas' commits, with the last clone.
    _feed: DropGuard,
}

/// What a commit wrote.
#[derive(Debug, Clone)]
pub struct Committed {
    /// One for each create, spec, status and delete of the change, in its order, as it is now.
    pub documents: Vec<Document>,
    /// One for each event from outside, in its order.
    pub published: Vec<Published>,
    /// The newest event's place in the log: whoever has read up to here has seen this commit.
    pub head: i64,
}

impl Committed {
    /// The resource `key` as the commit has left it, even where others have changed it since.
    pub fn resource<K: Kind>(self, key: &Key) -> Result<Resource<K>> {
        let mut written = self.documents.into_iter().rev();
        written
            .find(|document| document.key() == *key)
            .ok_or_else(|| {
                Error::internal("a commit did not answer what it wrote", key.to_string())
            })?
            .typed()
    }
}

impl Store {
    /// Opens the store at `sqlite:///path/to/file` or `postgres://...`, and makes it where it is
    /// new. Fails where `sealer` has another key than the one that the store was made with, and
    /// where another process has the SQLite file. While the key is being changed, either of the two opens it.
    pub async fn open(url: &str, sealer: Sealer) -> Result<Self> {
        let connector = Connector::new(url)?;
        let opened = Self::open_on(connector.clone(), sealer).await;
        opened.map_err(|error| connector.named(error))
    }

    async fn open_on(connector: Connector, sealer: Sealer) -> Result<Self> {
        let lock = connector.lock().await?.map(Arc::new);
        let mut connection = connector.connect().await?;
        migrate(&mut connection).await?;
        let platform = platform(&mut connection, &sealer).await?;
        if lock.is_some() {
            // Who held a lease before is gone, or this process would not have the file: no waiting
            // for the leases of a process that was killed, nor for its requests.
            lease::expire_all(&mut connection).await?;
            idempotency::end_all(&mut connection).await?;
            key_change::forget_replicas(&mut connection).await?;
        }
        let newest = match connection
            .first("SELECT COALESCE(MAX(seq), 0) FROM event", vec![])
            .await?
        {
            Some(row) => row.int(0)?,
            None => 0,
        };
        let readers = connector.readers().await?;
        let (sender, head) = watch::channel(newest);
        let stop = CancellationToken::new();
        if let Readers::Postgres(pool) = &readers {
            tokio::spawn(feed::follow(pool.clone(), sender.clone(), stop.clone()));
        }
        let read_index = connector.read_index(sender.clone());
        let writer = Writer::start(writer::Loop {
            herald: connector.herald(),
            connector,
            connection: Some(connection),
            sealer: sealer.clone(),
            platform,
            head: sender,
            lock: lock.clone(),
        });
        Ok(Self {
            inner: Arc::new(Inner {
                readers,
                writer,
                sealer,
                platform,
                head,
                read_index,
                ended: broadcast::Sender::new(idempotency::UNHEARD),
                lock: lock.as_ref().map(Arc::downgrade),
                tail: tail::Tail::default(),
                lines: Turns::default(),
                _feed: stop.drop_guard(),
            }),
        })
    }

    /// The platform's id, made when the store was made.
    pub fn platform(&self) -> Uuid {
        self.inner.platform
    }

    /// Fails where the store cannot be written to, as far as that can be told without writing: it
    /// does not answer within two seconds, or its file was taken away.
    pub async fn ready(&self) -> Result<()> {
        if let Some(lock) = self.inner.lock.as_ref().and_then(Weak::upgrade) {
            lock.in_place()?;
        }
        let late = |_| {
            Err(Error::unavailable("the store does not answer")
                .remedy("check that the database runs and can be reached"))
        };
        timeout(READY, self.head())
            .await
            .unwrap_or_else(late)
            .map(drop)
    }

    /// Commits all of `change`, durably, or nothing of it.
    ///
    /// Fails with `Conflict` where a resource is not as it was read or the lease is lost, with
    /// `AlreadyExists` where a key is taken, with `Unavailable` where the database is away. The first two
    /// say that the change was overtaken ([`Error::overtaken`]), but for the lease.
    pub async fn commit(&self, change: Change) -> Result<Committed> {
        if change.is_empty() && change.fence.is_none() {
            return Ok(Committed {
                documents: vec![],
                published: vec![],
                head: *self.inner.head.borrow(),
            });
        }
        let apply = apply::Apply {
            change,
            held: Held::present(),
        };
        self.write(apply).await
    }

    /// The newest event's place in the log, as it grows: by this store's commits at once, by other
    /// replicas' as Postgres tells.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.inner.head.clone()
    }

    /// Waits until [`Store::subscribe`] knows of all that is committed when this is called, whichever replica
    /// has committed it. Where Postgres does not answer within two seconds, what is known stands, for all who ask
    /// until it answers again. On SQLite, which is one process's, all is known.
    pub(crate) async fn learn_head(&self) {
        if let Some(read_index) = &self.inner.read_index {
            read_index.ask().await;
        }
    }

    /// The secret `name` of the resource with uid `owner`.
    pub async fn secret(&self, owner: Uuid, name: &str) -> Result<Option<Secret>> {
        let row = self
            .inner
            .readers
            .first(
                "SELECT sealed FROM secret WHERE owner = $1 AND name = $2",
                args![owner.to_string(), name],
            )
            .await?;
        match row {
            Some(row) => self
                .inner
                .sealer
                .open(owner, name, &row.bytes(0)?)
                .map(Some),
            None => Ok(None),
        }
    }

    /// Waits for what is read and written now, and closes the connections. Dropping the last clone
    /// does the same, unwatched.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        if let Some(read_index) = &self.inner.read_index {
            read_index.close().await;
        }
        self.inner.writer.close().await;
    }

    /// Runs `work` in the writer.
    pub(crate) async fn write<W: Work>(&self, work: W) -> Result<W::Output> {
        let done = self.inner.writer.run(work).await;
        done.map_err(|error| error.in_line(|contest| self.inner.lines.line(contest)))
    }
}

/// The platform's id, made where the store is new. Fails where a key is missing that secrets of the store
/// are sealed by. Of one moment: others may change the key meanwhile, and seal everything by it.
async fn platform(connection: &mut Connection, sealer: &Sealer) -> Result<Uuid> {
    connection.begin().await?;
    let found = platform_within(connection, sealer).await;
    if found.is_ok() {
        connection.batch("COMMIT").await?;
    } else {
        // Else it ends with the connection.
        let _ = connection.batch("ROLLBACK").await;
    }
    found
}

/// See [`platform`]: in a transaction.
async fn platform_within(connection: &mut Connection, sealer: &Sealer) -> Result<Uuid> {
    // Of two replicas that make the store at once one wins each time; both read what it wrote.
    connection
        .execute(
            "INSERT INTO platform (name, value) VALUES ('id', $1) ON CONFLICT (name) DO NOTHING",
            args![Uuid::now_v7().to_string()],
        )
        .await?;
    let row = connection
        .first("SELECT value FROM platform WHERE name = 'id'", vec![])
        .await?;
    let missing = || Error::internal("the store could not be made", "it has no platform id");
    let id: Uuid = document::parsed(&row.ok_or_else(missing)?.text(0)?)?;
    key_change::adopt(connection, sealer, id).await?;
    keys::check(connection, sealer, id).await?;
    Ok(id)
}
