//! Lets containers reach servers that listen on this machine's loopback only: for each a listener
//! at the gateway of the environment's network, which no other machine reaches.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use delivery::engine::{EngineError, ReleaseRef};
use gateway::tcp::{Door, Share, Slots, keep_alive};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::probe::listens;

/// The listeners, and who uses them.
#[derive(Debug)]
pub(super) struct Forwards {
    /// Held while a listener is made: of two releases that want one address at once, the second finds
    /// what the first has made.
    open: tokio::sync::Mutex<BTreeMap<SocketAddr, Forward>>,
    passed_on: PassedOn,
    slots: Slots,
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
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))
            .insert(from, environment.to_owned());
        let passing = Passing {
            all: self.clone(),
            from,
        };
        Ok((socket.connect(server).await?, passing))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
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
    /// None yet, with `slots` for the connections of all that will be.
    pub(super) fn new(slots: Slots) -> Self {
        Self {
            open: tokio::sync::Mutex::default(),
            passed_on: PassedOn::default(),
            slots,
        }
    }

    /// Lets `user`, of `team`, reach `servers` at `gateway`, each at its own port.
    pub(super) async fn open(
        &self,
        (user, team): (&ReleaseRef, &str),
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
            let way = Way {
                server: *server,
                environment: user.environment.clone(),
                passed_on: self.passed_on.clone(),
                share: self.slots.of(team),
                outage: Outage::default(),
            };
            let task = match TcpListener::bind(at).await {
                Ok(listener) => tokio::spawn(serve(listener, way)),
                // The server itself, or another replica's forward, until that one ends.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse
                        && listens(at, Duration::from_secs(1)).await =>
                {
                    tokio::spawn(succeed(at, way))
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
        let all = self
            .passed_on
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(&peer).cloned()
    }
}

/// Where the connections of a listener lead, and in whose name.
struct Way {
    server: SocketAddr,
    environment: String,
    passed_on: PassedOn,
    share: Share,
    outage: Outage,
}

/// Whether a server was away when it was last connected to: told once, however many ask.
#[derive(Default)]
struct Outage(AtomicBool);

impl Outage {
    /// Notes that it is away; says whether that is news.
    fn begins(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }

    /// Notes that it is there; says whether that is news.
    fn ends(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Way {
    /// Copies between `client` and the server until both have ended. However long nothing is said on it, it lasts:
    /// pools of connections to databases rest for hours.
    async fn pass(&self, mut client: TcpStream) {
        let Self {
            server,
            environment,
            ..
        } = self;
        match self.passed_on.connect(environment, *server).await {
            Ok((mut connected, _passing)) => {
                if self.outage.ends() {
                    tracing::info!(%server, environment, "the server is reached again");
                }
                for side in [&client, &connected] {
                    if let Err(error) = keep_alive(side) {
                        tracing::debug!(%server, %error, "a connection goes on unwatched");
                    }
                }
                // Whichever side fails: both learn of it by the end of the connection.
                let _ = copy_bidirectional(&mut client, &mut connected).await;
            }
            Err(error) if self.outage.begins() => {
                tracing::warn!(%server, environment, %error, "workloads do not reach the server");
            }
            Err(_) => {}
        }
    }
}

/// Serves as soon as whoever listens at the address no longer does.
async fn succeed(at: SocketAddr, way: Way) {
    loop {
        if let Ok(listener) = TcpListener::bind(at).await {
            return serve(listener, way).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Passes each connection of the environment's on. Ended, it ends them too.
async fn serve(listener: TcpListener, way: Way) {
    let called = format!(
        "the way of environment {} to {}",
        way.environment, way.server
    );
    let mut door = Door::new(listener, way.share.clone(), called);
    let way = Arc::new(way);
    let mut connections = JoinSet::new();
    loop {
        let (client, _, slot) = door.next().await;
        let way = way.clone();
        connections.spawn(async move {
            way.pass(client).await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use gateway::tcp::{Backends, Forwarder};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::watch,
    };

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
        let forwards = Forwards::new(Slots::default());
        let (a, b) = (release("a"), release("b"));
        let servers = [address];
        let (first, second) = tokio::join!(
            forwards.open((&a, "ours"), gateway, &servers),
            forwards.open((&b, "ours"), gateway, &servers)
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

    /// Says `x` to each that connects, until they hang up.
    async fn talkative() -> SocketAddr {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = server.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut client, _)) = server.accept().await {
                tokio::spawn(async move {
                    client.write_all(b"x").await.expect("it is read");
                    let _ = client.read_u8().await;
                });
            }
        });
        address
    }

    async fn hears(client: &mut TcpStream) {
        let heard = tokio::time::timeout(testkit::PATIENCE, client.read_u8()).await;
        assert_eq!(heard.expect("in time").expect("it is let in"), b'x');
    }

    #[tokio::test]
    async fn one_that_never_hangs_up_holds_up_its_own_forward_alone() {
        let gateway = IpAddr::from([127, 0, 0, 2]);
        let servers = [talkative().await, talkative().await];
        let forwards = Forwards::new(Slots::sized(3, 3, 2));
        let opened = forwards
            .open((&release("a"), "ours"), gateway, &servers)
            .await;
        opened.expect("both are open");
        let connect = async |server: SocketAddr| {
            let connected = TcpStream::connect((gateway, server.port())).await;
            connected.expect("the system accepts it")
        };
        let mut kept = [connect(servers[0]).await, connect(servers[0]).await];
        for client in &mut kept {
            hears(client).await;
        }
        let mut waits = connect(servers[0]).await;
        hears(&mut connect(servers[1]).await).await;
        let early = waits.try_read(&mut [0]);
        assert_eq!(
            early.map_err(|it| it.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        drop(kept);
        hears(&mut waits).await;
    }

    #[tokio::test]
    async fn the_environments_of_one_team_leave_the_others_theirs() {
        let servers = [talkative().await];
        let forwards = Forwards::new(Slots::sized(3, 2, 1));
        let hosts = [2, 3, 4, 5].map(|last| IpAddr::from([127, 0, 0, last]));
        for (host, team) in hosts
            .into_iter()
            .zip(["greedy", "greedy", "greedy", "modest"])
        {
            let opened = forwards.open((&release("a"), team), host, &servers).await;
            opened.expect("it is open");
        }
        let connect = async |host: IpAddr| {
            let connected = TcpStream::connect((host, servers[0].port())).await;
            connected.expect("the system accepts it")
        };
        let mut kept = [connect(hosts[0]).await, connect(hosts[1]).await];
        for client in &mut kept {
            hears(client).await;
        }
        let mut waits = connect(hosts[2]).await;
        hears(&mut connect(hosts[3]).await).await;
        let early = waits.try_read(&mut [0]);
        assert_eq!(
            early.map_err(|it| it.kind()),
            Err(io::ErrorKind::WouldBlock)
        );
        drop(kept);
        hears(&mut waits).await;
    }

    /// It takes a slot here, and one there.
    #[tokio::test]
    async fn what_leads_to_a_service_port_waits_for_no_slot_of_its_own() {
        let (_backends, newest) = watch::channel(Backends {
            addresses: vec![talkative().await],
            admission: None,
        });
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let forwarder = Forwarder::bind(any, newest, None, Slots::new(1).of("ours")).await;
        let forwarder = forwarder.expect("a port");
        let port = forwarder.address();
        let host = IpAddr::from([127, 0, 0, 2]);
        let forwards = Forwards::new(Slots::new(1));
        let opened = forwards.open((&release("a"), "ours"), host, &[port]).await;
        opened.expect("it is open");
        // Each waits for the end of the one before.
        for _ in 0..3 {
            let client = TcpStream::connect((host, port.port())).await;
            hears(&mut client.expect("the system accepts it")).await;
        }
    }

    #[tokio::test]
    async fn who_finds_no_slot_in_time_is_reset() {
        let host = IpAddr::from([127, 0, 0, 2]);
        let servers = [talkative().await, talkative().await];
        let forwards = Forwards::new(Slots::new(1));
        let opened = forwards.open((&release("a"), "ours"), host, &servers).await;
        opened.expect("both are open");
        let connect = async |server: SocketAddr| {
            let connected = TcpStream::connect((host, server.port())).await;
            connected.expect("the system accepts it")
        };
        let mut kept = connect(servers[0]).await;
        hears(&mut kept).await;
        tokio::time::pause();
        let heard = connect(servers[1]).await.read_u8().await;
        assert_eq!(
            heard.map_err(|it| it.kind()),
            Err(io::ErrorKind::ConnectionReset)
        );
        tokio::time::resume();
        drop(kept);
        hears(&mut connect(servers[1]).await).await;
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_of_once() {
        // Refuses every connection until it listens.
        let silent = TcpSocket::new_v4().expect("a socket");
        (silent.bind(([127, 0, 0, 1], 0).into())).expect("a port");
        let server = silent.local_addr().expect("an address");
        let way = Arc::new(Way {
            server,
            environment: "dev".into(),
            passed_on: PassedOn::default(),
            share: Slots::default().of("ours"),
            outage: Outage::default(),
        });
        let clients = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = clients.local_addr().expect("an address");
        let client = async || TcpStream::connect(at).await.expect("the system accepts it");
        way.pass(client().await).await;
        assert!(!way.outage.begins(), "it is told");
        let back = silent.listen(1).expect("it listens");
        let (passing, next) = (way.clone(), client().await);
        let passing = tokio::spawn(async move { passing.pass(next).await });
        let accepted = back.accept().await.expect("it connects");
        // Both ends hang up.
        drop((accepted, clients));
        passing.await.expect("it ends");
        assert!(way.outage.begins(), "a further outage is told again");
    }
}
