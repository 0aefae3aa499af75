//! Lets containers reach servers that listen on this machine's loopback only: for each a listener
//! at the gateway of the environment's network, which no other machine reaches.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use delivery::engine::{EngineError, ReleaseRef};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::probe::listens;

/// The listeners, and who uses them.
#[derive(Debug, Default)]
pub(super) struct Forwards(Mutex<BTreeMap<SocketAddr, Forward>>);

#[derive(Debug)]
struct Forward {
    users: BTreeSet<ReleaseRef>,
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwards {
    /// Lets `user` reach `servers` at `gateway`, each at its own port.
    pub(super) async fn open(
        &self,
        user: &ReleaseRef,
        gateway: IpAddr,
        servers: &[SocketAddr],
    ) -> Result<(), EngineError> {
        for server in servers {
            let at = SocketAddr::new(gateway, server.port());
            if let Some(forward) = self.0.lock().expect("no holder panics").get_mut(&at) {
                forward.users.insert(user.clone());
                continue;
            }
            let task = match TcpListener::bind(at).await {
                Ok(listener) => tokio::spawn(serve(listener, *server)),
                // The server itself, or another replica's forward, until that one ends.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && listens(at, Duration::from_secs(1)).await =>
                {
                    tokio::spawn(succeed(at, *server))
                }
                Err(error) => {
                    return Err(EngineError {
                        message: format!(
                            "cannot make {server} reachable for {user} at {at}: {error}"
                        ),
                        remedy: None,
                        retry: true,
                    });
                }
            };
            let forward = Forward {
                users: [user.clone()].into(),
                task: task.abort_handle(),
            };
            self.0.lock().expect("no holder panics").insert(at, forward);
        }
        Ok(())
    }

    /// Closes what only `user` used.
    pub(super) fn close(&self, user: &ReleaseRef) {
        self.0
            .lock()
            .expect("no holder panics")
            .retain(|_, forward| {
                forward.users.remove(user);
                !forward.users.is_empty()
            });
    }
}

/// Serves as soon as whoever listens at the address no longer does.
async fn succeed(at: SocketAddr, server: SocketAddr) {
    loop {
        if let Ok(listener) = TcpListener::bind(at).await {
            return serve(listener, server).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Copies between each connection and `server`. Ended, it ends them too.
async fn serve(listener: TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((mut client, _)) => {
                    connections.spawn(async move {
                        // Whichever side fails: both learn of it by the end of the connection.
                        if let Ok(mut server) = TcpStream::connect(server).await {
                            let _ = copy_bidirectional(&mut client, &mut server).await;
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely: it passes.
                    tracing::warn!(%server, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
