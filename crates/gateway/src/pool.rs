//! Connections to backends, kept open between requests.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify, time::Instant};

use crate::{body::RequestBody, table::RoutingTable};

/// How long a connection is kept without a request. Below the five seconds after which common
/// servers (Node.js) close theirs, so that a request seldom meets a connection that is being closed.
const KEPT: Duration = Duration::from_secs(4);

/// What a request that must not be sent twice takes: a connection that was in use a moment ago, which
/// no server closes for idleness.
const WARM: Duration = Duration::from_millis(500);

/// Kept for each backend: what a burst leaves behind beyond this is closed.
const MOST_KEPT: usize = 256;

/// How long a kept connection may take to finish its last exchange before a new one is opened.
const SETTLE: Duration = Duration::from_millis(5);

type Sender = SendRequest<RequestBody>;

/// The kept connections by backend. Only backends that the routing table names have a shelf: what
/// comes back for another is closed.
#[derive(Default)]
pub(crate) struct Pool {
    shelves: Mutex<HashMap<SocketAddr, Vec<Kept>>>,
    stocked: Notify,
}

struct Kept {
    sender: Sender,
    since: Instant,
}

/// A connection in use by one request.
pub(crate) struct Lease {
    pub(crate) sender: Sender,
    /// It has served a request before.
    pub(crate) used: bool,
    address: SocketAddr,
    pool: Arc<Pool>,
}

impl Lease {
    /// Keeps the connection for the next request.
    pub(crate) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let Self {
            sender,
            address,
            pool,
            ..
        } = self;
        let mut shelves = pool.shelves();
        if let Some(shelf) = shelves.get_mut(&address)
            && shelf.len() < MOST_KEPT
        {
            shelf.push(Kept {
                sender,
                since: Instant::now(),
            });
            drop(shelves);
            pool.stocked.notify_one();
        }
    }
}

impl Pool {
    /// A kept connection; `once`: for a request that must not be sent twice.
    pub(crate) async fn take(self: &Arc<Self>, address: SocketAddr, once: bool) -> Option<Lease> {
        let most = if once { WARM } else { KEPT };
        loop {
            let mut kept = self.pop(address, most)?;
            // Its last answer is read, yet its task may still have to notice.
            let ready = kept.sender.is_ready()
                || matches!(
                    tokio::time::timeout(SETTLE, kept.sender.ready()).await,
                    Ok(Ok(()))
                );
            if ready {
                return Some(Lease {
                    sender: kept.sender,
                    used: true,
                    address,
                    pool: self.clone(),
                });
            }
        }
    }

    /// The most recently used one: the others grow old and are closed.
    fn pop(&self, address: SocketAddr, most: Duration) -> Option<Kept> {
        let mut shelves = self.shelves();
        let shelf = shelves.get_mut(&address)?;
        while let Some(kept) = shelf.pop() {
            if kept.since.elapsed() > most {
                shelf.push(kept);
                return None;
            }
            if !kept.sender.is_closed() {
                return Some(kept);
            }
        }
        None
    }

    /// A new connection.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        address: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Lease> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Ends when the backend closes or the sender is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%address, %error, "a connection to a backend ended");
            }
        });
        Ok(Lease {
            sender,
            used: false,
            address,
            pool: self.clone(),
        })
    }

    /// Makes shelves for the backends of `table`, and closes what is kept for others.
    pub(crate) fn follow(&self, table: &RoutingTable) {
        let mut old = self.shelves();
        let mut new = HashMap::new();
        for address in table.backends() {
            new.entry(address)
                .or_insert_with(|| old.remove(&address).unwrap_or_default());
        }
        *old = new;
    }

    /// Closes what is kept for longer than [`KEPT`], now and again while there is anything.
    pub(crate) async fn sweep(&self) {
        loop {
            if self.shelves().values().all(Vec::is_empty) {
                self.stocked.notified().await;
            }
            tokio::time::sleep(KEPT).await;
            for shelf in self.shelves().values_mut() {
                shelf.retain(|kept| kept.since.elapsed() <= KEPT && !kept.sender.is_closed());
            }
        }
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Kept>>> {
        // No code that holds the lock can panic half-way: what is in there is whole.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
