//! Lets containers reach servers that listen on this machine's loopback only: for each a listener
//! at the gateway of the environment's network, which no other machine reaches.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use delivery::engine::{EngineError, ReleaseRef};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::probe::listens;

/// The listeners, and who uses them.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    /// Held while a listener is made: of two releases that want one address at once, the second finds
    /// what the first has made.
    open: tokio::sync::Mutex<BTreeMap<SocketAddr, Forward>>,
    passed_on: PassedOn,
}

/// For whom connections to this machine's own servers are made, by the address that they come from.
#[derive(Debug, Default, Clone)]
struct PassedOn(Arc<Mutex<BTreeMap<SocketAddr, String>>>);

/// One of them, for as long as it lives.
struct Passing {
    all: PassedOn,
    from: SocketAddr,
}

impl PassedOn {
    /// Connects to `server`; for whom is known before the server can ask.
    async fn connect(
        &self,
        environment: &str,
        server: SocketAddr,
    ) -> io::Result<(TcpStream, Passing)> {
        let socket = match server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.bind(SocketAddr::new(server.ip(), 0))?;
        let from = socket.local_addr()?;
        (self.0.lock().expect("no holder panics")).insert(from, environment.to_owned());
        let passing = Passing {
            all: self.clone(),
            from,
        };
        Ok((socket.connect(server).await?, passing))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().expect("no holder panics");
        all.remove(&self.from);
    }
}

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
        let mut open = self.open.lock().await;
        for server in servers {
            let at = SocketAddr::new(gateway, server.port());
            if let Some(forward) = open.get_mut(&at) {
                forward.users.insert(user.clone());
                continue;
            }
            let (passed_on, environment) = (self.passed_on.clone(), user.environment.clone());
            let task = match TcpListener::bind(at).await {
                Ok(listener) => tokio::spawn(serve(listener, *server, passed_on, environment)),
                // The server itself, or another replica's forward, until that one ends.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && listens(at, Duration::from_secs(1)).await =>
                {
                    tokio::spawn(succeed(at, *server, passed_on, environment))
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
            open.insert(at, forward);
        }
        Ok(())
    }

    /// Closes what only `user` used.
    pub(super) async fn close(&self, user: &ReleaseRef) {
        self.open.lock().await.retain(|_, forward| {
            forward.users.remove(user);
            !forward.users.is_empty()
        });
    }
}

impl Forwards {
    /// The environment for which this engine connects from `peer` to one of this machine's servers.
    pub(super) fn passed_on(&self, peer: SocketAddr) -> Option<String> {
        let all = self.passed_on.0.lock().expect("no holder panics");
        all.get(&peer).cloned()
    }
}

/// Serves as soon as whoever listens at the address no longer does.
async fn succeed(at: SocketAddr, server: SocketAddr, passed_on: PassedOn, environment: String) {
    loop {
        if let Ok(listener) = TcpListener::bind(at).await {
            return serve(listener, server, passed_on, environment).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Copies between each connection of the environment's and `server`. Ended, it ends them too.
async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    passed_on: PassedOn,
    environment: String,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((mut client, _)) => {
                    let (passed_on, environment) = (passed_on.clone(), environment.clone());
                    connections.spawn(async move {
                        // Whichever side fails: both learn of it by the end of the connection.
                        let connected = passed_on.connect(&environment, server).await;
                        if let Ok((mut server, _passing)) = connected {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn release(workload: &str) -> ReleaseRef {
        ReleaseRef {
            environment: "dev".into(),
            workload: workload.into(),
            release: 1,
        }
    }

    /// What another replica serves is looked at before it is waited for: in between others come.
    #[tokio::test]
    async fn two_that_open_one_address_at_once_share_it() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, _)) = server.accept().await {
                client.write_all(b"x").await.expect("it is read");
            }
        });
        let gateway = IpAddr::from([127, 0, 0, 2]);
        let other = TcpListener::bind((gateway, address.port())).await;
        let other = other.expect("the same port elsewhere");
        let forwards = Forwards::default();
        let (a, b) = (release("a"), release("b"));
        let servers = [address];
        let (first, second) = tokio::join!(
            forwards.open(&a, gateway, &servers),
            forwards.open(&b, gateway, &servers)
        );
        first.and(second).expect("it is open");
        drop(other);
        forwards.close(&b).await;
        testkit::eventually(
            "the first still reaches the server",
            Duration::from_secs(20),
            || async {
                let mut client = TcpStream::connect((gateway, address.port())).await.ok()?;
                client.read_u8().await.ok()
            },
        )
        .await;
    }
}
