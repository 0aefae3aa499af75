//! The listening side: connections of clients, and an orderly end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use ::http::HeaderValue;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    admission::{Callers, Peer},
    limits::Limits,
    pool::Pool,
    proxy::{Client, Proxy},
    table::RoutingTable,
};

/// How long to wait when the system has no descriptor or memory for another connection.
const BREATHER: Duration = Duration::from_millis(50);

/// The HTTP gateway.
///
/// A request goes to a backend of the most specific route in the newest table. Where a backend
/// refuses the connection, the request goes to the next one. Where a connection closes before any
/// answer, the request is sent again if none of it was sent, or if it may be repeated (`GET`, `HEAD`,
/// `OPTIONS`, `TRACE`, and `PUT` and `DELETE` without a body). Whatever has been answered in part is
/// never sent again.
#[derive(Debug)]
pub struct Gateway;

/// A running gateway. Dropping it ends it at once; [`GatewayHandle::shutdown`] ends it in order.
#[derive(Debug)]
pub struct GatewayHandle {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    slots: Arc<Semaphore>,
    most: usize,
    kill: DropGuard,
    /// Those that run for as long as the gateway does.
    upkeep: JoinHandle<()>,
    accepting: JoinHandle<()>,
}

impl Gateway {
    /// Serves on `listener` by the newest table, with the default [`Limits`].
    pub fn start(
        listener: TcpListener,
        table: watch::Receiver<Arc<RoutingTable>>,
    ) -> std::io::Result<GatewayHandle> {
        Self::start_with(listener, table, Limits::default(), None)
    }

    /// Serves on `listener` by the newest table. Without `callers`, no target with an admission is
    /// reached by anybody.
    pub fn start_with(
        listener: TcpListener,
        table: watch::Receiver<Arc<RoutingTable>>,
        limits: Limits,
        callers: Option<Arc<dyn Callers>>,
    ) -> std::io::Result<GatewayHandle> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let kill = CancellationToken::new();
        let tasks = TaskTracker::new();
        let most = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        let slots = Arc::new(Semaphore::new(most));
        let proxy = Arc::new(Proxy {
            table,
            pool: Arc::default(),
            limits,
            callers,
            turn: AtomicUsize::new(0),
            tasks: tasks.clone(),
            kill: kill.clone(),
        });
        let upkeep = keep_pool(proxy.pool.clone(), proxy.table.clone());
        let (ended, killed) = (stop.clone(), kill.clone());
        let upkeep = tasks.spawn(async move {
            tokio::select! {
                () = upkeep => {}
                () = ended.cancelled() => {}
                () = killed.cancelled() => {}
            }
        });
        let accepting = tasks.spawn(accept(listener, proxy, slots.clone(), stop.clone()));
        Ok(GatewayHandle {
            address,
            stop,
            tasks,
            slots,
            most,
            kill: kill.drop_guard(),
            upkeep,
            accepting,
        })
    }
}

impl GatewayHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients are connected.
    pub fn connections(&self) -> usize {
        self.most - self.slots.available_permits()
    }

    /// Waits until the gateway ends without having been shut down, which a fault of ours alone makes it do.
    /// May be given up, and asked for again until it has answered.
    pub async fn failed(&mut self) {
        let ended = tokio::select! {
            ended = &mut self.upkeep => ended,
            ended = &mut self.accepting => ended,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the gateway panicked");
        }
    }

    /// Takes no new connection, lets what is under way finish within `grace`, then ends the rest.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(
                left = self.tasks.len(),
                "the gateway ends connections after its grace"
            );
        }
        self.kill.disarm().cancel();
        self.tasks.wait().await;
    }
}

/// Keeps the pool in step with the table.
async fn keep_pool(pool: Arc<Pool>, mut table: watch::Receiver<Arc<RoutingTable>>) {
    let follow = async {
        loop {
            let newest = table.borrow_and_update().clone();
            pool.follow(&newest);
            if table.changed().await.is_err() {
                // No table will follow; this one stays.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::join!(follow, pool.sweep());
}

async fn accept(
    listener: TcpListener,
    proxy: Arc<Proxy>,
    slots: Arc<Semaphore>,
    stop: CancellationToken,
) {
    let kill = proxy.kill.clone();
    let take = async {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Beyond the limit one waits here, and the others in the system's queue.
                    let Ok(slot) = slots.clone().acquire_owned().await else {
                        return;
                    };
                    let served = serve(stream, peer, slot, proxy.clone(), stop.clone());
                    proxy.tasks.spawn(served);
                }
                Err(error) => {
                    tracing::warn!(%error, "the gateway could not accept a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    };
    tokio::select! {
        () = take => {}
        () = stop.cancelled() => {}
        () = kill.cancelled() => {}
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
    proxy: Arc<Proxy>,
    stop: CancellationToken,
) {
    let here = match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
        Ok(here) => here,
        Err(error) => {
            tracing::debug!(%peer, %error, "a connection ended before it began");
            return;
        }
    };
    // Once for a connection, not for each request.
    let address = HeaderValue::from_str(&peer.ip().to_canonical().to_string())
        .expect("an address is a header value");
    let client = Arc::new(Client {
        address,
        peer: Arc::new(Peer::new(proxy.callers.clone(), peer, here)),
        slot: Arc::new(slot),
    });
    let server = proxy.clone();
    let service = service_fn(move |request| {
        let (server, client) = (server.clone(), client.clone());
        async move { Ok::<_, Infallible>(server.serve(&client, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(proxy.limits.head_timeout)
        .max_header_size(proxy.limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = proxy.kill.cancelled() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = proxy.kill.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a client's connection ended");
    }
}
