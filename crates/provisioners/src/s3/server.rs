//! The S3 server of the platform itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use kernel::{Error, ErrorKind, Secret};
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    access::Gate,
    api::Api,
    keys::KeyRing,
    store::{Store, make_directory},
};

/// Connections at once; a client beyond that waits to be accepted.
const CONNECTIONS: usize = 1024;
/// How long a client may take to send a request's head, or to keep a connection idle.
const HEAD: Duration = Duration::from_mins(1);
/// How long a request that is under way may still take when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Where the server listens and what it keeps its data with.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Where to listen; port 0 for any that is free. It speaks plain HTTP: keep it to the loopback.
    pub listen: SocketAddr,
    /// Where the objects are.
    pub directory: PathBuf,
    /// What the access keys are sealed with: 32 secret bytes, the same at each start.
    pub key: Secret,
}

/// A running server. Dropped, it goes on serving: it is stopped by [`S3Server::stop`].
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    pub(super) store: Arc<Store>,
    pub(super) keys: Arc<KeyRing>,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
    /// Keeps others from the directory; let go of with it, also by a crash.
    _lock: std::fs::File,
}

impl S3Server {
    /// Opens the directory and serves it. All access keys of the last run are good at once.
    pub async fn start(config: S3Config) -> Result<Self, Error> {
        let (directory, key) = (config.directory.clone(), config.key.clone());
        let (lock, store, keys) = tokio::task::spawn_blocking(move || {
            let lock = lock(&directory)?;
            let store = Store::open(&directory).map_err(|error| {
                Error::unavailable(format!(
                    "cannot open the S3 data in {}: {error}",
                    directory.display()
                ))
                .remedy(
                    "see that the platform's user owns the directory and that the disk is not full",
                )
            })?;
            let keys = KeyRing::open(&directory.join("keys.sealed"), &key)?;
            Ok::<_, Error>((lock, Arc::new(store), Arc::new(keys)))
        })
        .await
        .map_err(|error| Error::internal("opening the S3 data", error))??;
        let listener = TcpListener::bind(config.listen).await.map_err(|error| {
            Error::unavailable(format!(
                "cannot listen on {} for S3: {error}",
                config.listen
            ))
            .remedy("end what listens there, or configure another address for S3")
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::internal("the address of the S3 server", error))?;
        let gate = Gate(Arc::clone(&keys));
        let mut service = S3ServiceBuilder::new(Api {
            store: Arc::clone(&store),
            gate: gate.clone(),
        });
        service.set_auth(gate.clone());
        service.set_access(gate);
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let accepting = tokio::spawn(accept(
            listener,
            service.build(),
            stop.clone(),
            connections.clone(),
        ));
        Ok(Self {
            address,
            store,
            keys,
            stop,
            accepting,
            connections,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more requests, and lets those under way end.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "the S3 server's accepting task ended badly");
        }
        self.connections.close();
        self.connections.wait().await;
    }
}

/// Locks `directory` for this server: a second one would sweep away what the first one receives.
fn lock(directory: &Path) -> Result<std::fs::File, Error> {
    let fault = |error: std::io::Error| {
        Error::unavailable(format!(
            "cannot lock the S3 data in {}: {error}",
            directory.display()
        ))
    };
    make_directory(directory).map_err(fault)?;
    let file = std::fs::File::create(directory.join("lock")).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "another process serves the S3 data in {}",
                directory.display()
            ),
        )
        .remedy("stop the other platform, or give this one a data directory of its own")),
        Err(std::fs::TryLockError::Error(error)) => Err(fault(error)),
    }
}

async fn accept(
    listener: TcpListener,
    service: S3Service,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = next(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let serving = serve(stream, service.clone(), stop.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // No more file descriptors, say: waiting lets some go.
                tracing::warn!(%error, "cannot accept a connection for S3");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn next(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn serve(stream: TcpStream, service: S3Service, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an S3 connection ended early");
    }
}
