//! Plain TCP: an address of this machine that leads to a workload's port.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use crate::slots::{Door, Share, Slot, Slots, keep_alive};
use crate::{
    admission::{Admission, Callers, Peer},
    slots::reset,
};

/// To connect to a backend, on this machine or its network.
const CONNECT: Duration = Duration::from_secs(2);
/// Where the connections to an address lead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backends {
    /// The addresses that serve it, in turn.
    pub addresses: Vec<SocketAddr>,
    /// Whose workloads it lets in; none: everybody's.
    pub admission: Option<Arc<Admission>>,
}

/// Passes TCP connections on to the backends of the moment, in turn.
///
/// A connection stays with its backend until either side ends it, also when the backends change; it is
/// reset when the workload that has it is let in no more. However long nothing is said on it, it lasts: pools of
/// connections to databases rest for hours. A side that has gone without a word is found by TCP keepalive.
/// While there is no backend, or none accepts, a connection is reset at once, so that a client sees
/// "connection reset" instead of waiting. So is the connection of a workload that is not let in.
///
/// Dropping it closes the address and every connection; [`Forwarder::shutdown`] lets them finish.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    kill: DropGuard,
}

impl Forwarder {
    /// Listens on `address` (port 0: a free one). `share` is of the address's owner.
    pub async fn bind(
        address: SocketAddr,
        backends: watch::Receiver<Backends>,
        callers: Option<Arc<dyn Callers>>,
        share: Share,
    ) -> io::Result<Self> {
        Self::start(TcpListener::bind(address).await?, backends, callers, share)
    }

    /// Serves on `listener`. Without `callers`, nobody is let in where there is an admission.
    pub fn start(
        listener: TcpListener,
        backends: watch::Receiver<Backends>,
        callers: Option<Arc<dyn Callers>>,
        share: Share,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let kill = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (ended, killed, connections) = (stop.clone(), kill.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = accept(listener, backends, callers, share, connections, killed.clone()) => {}
                () = ended.cancelled() => {}
                () = killed.cancelled() => {}
            }
        });
        Ok(Self {
            address,
            stop,
            tasks,
            kill: kill.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connection, lets open ones finish within `grace`, then ends them.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(
                left = self.tasks.len(),
                "forwarded connections end after their grace"
            );
        }
        self.kill.disarm().cancel();
        self.tasks.wait().await;
    }
}

async fn accept(
    listener: TcpListener,
    backends: watch::Receiver<Backends>,
    callers: Option<Arc<dyn Callers>>,
    share: Share,
    tasks: TaskTracker,
    kill: CancellationToken,
) {
    let turn = Arc::new(AtomicUsize::new(0));
    let called = match listener.local_addr() {
        Ok(address) => format!("the forwarded port {address}"),
        Err(_) => "a forwarded port".to_owned(),
    };
    let mut door = Door::new(listener, share, called);
    loop {
        let (client, peer, slot) = door.next().await;
        let first = turn.fetch_add(1, Ordering::Relaxed);
        let (backends, kill) = (backends.clone(), kill.clone());
        let here = client.local_addr();
        let peer = here.map(|here| Peer::new(callers.clone(), peer, here));
        tasks.spawn(async move {
            tokio::select! {
                () = pass(client, peer, &backends, first) => {}
                () = kill.cancelled() => {}
            }
            drop(slot);
        });
    }
}

async fn pass(
    mut client: TcpStream,
    peer: io::Result<Peer>,
    backends: &watch::Receiver<Backends>,
    first: usize,
) {
    let connected = match &peer {
        Ok(peer) => connect(peer, backends, first).await.map(|to| (peer, to)),
        Err(error) => {
            tracing::debug!(%error, "a connection ended before it began");
            None
        }
    };
    let Some((peer, mut backend)) = connected else {
        return reset(&client);
    };
    for side in [&client, &backend] {
        if let Err(error) = prepare(side) {
            tracing::debug!(%error, "a forwarded connection goes on with delays, or unwatched");
        }
    }
    tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut client, &mut backend) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a forwarded connection ended");
            }
            return;
        }
        () = peer.until_shut_out(backends.clone(), |to| to.admission.clone()) => {}
    }
    reset(&client);
}

/// Has the system send at once what is written, and end the connection when the other side is gone.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(stream)
}

/// A connection to the first backend, from `first` on, that accepts; none for who is not let in.
async fn connect(
    peer: &Peer,
    backends: &watch::Receiver<Backends>,
    first: usize,
) -> Option<TcpStream> {
    let Backends {
        addresses,
        admission,
    } = backends.borrow().clone();
    if let Err(denied) = peer.admit(admission.as_ref()).await {
        tracing::debug!(?denied, "a connection was not let in");
        return None;
    }
    for step in 0..addresses.len() {
        let backend = addresses[first.wrapping_add(step) % addresses.len()];
        match tokio::time::timeout(CONNECT, TcpStream::connect(backend)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::warn!(%backend, %error, "no connection"),
            Err(_) => tracing::warn!(%backend, "no connection in time"),
        }
    }
    None
}
