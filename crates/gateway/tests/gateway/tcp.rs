//! Plain TCP forwarding.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use towpath_gateway::tcp::{Backends, Forwarder, Share, Slots};

use crate::support::{PATIENCE, refusing};

/// Says its name, then echoes.
async fn echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(name.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write)
                    .await
                    .unwrap_or_default();
            });
        }
    });
    address
}

fn open(addresses: Vec<SocketAddr>) -> Backends {
    Backends {
        addresses,
        admission: None,
    }
}

async fn forward(backends: Vec<SocketAddr>) -> (Forwarder, watch::Sender<Backends>) {
    forward_within(Slots::default().of("ours"), backends).await
}

async fn forward_within(
    share: Share,
    backends: Vec<SocketAddr>,
) -> (Forwarder, watch::Sender<Backends>) {
    let (sender, receiver) = watch::channel(open(backends));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let forwarder = Forwarder::bind(any, receiver, None, share).await;
    (forwarder.unwrap(), sender)
}

async fn connect(forwarder: &Forwarder) -> TcpStream {
    TcpStream::connect(forwarder.address()).await.unwrap()
}

/// Waits until it is let in.
async fn enter(stream: &mut TcpStream) {
    let greeted = tokio::time::timeout(PATIENCE, greeting(stream)).await;
    assert_eq!(greeted.expect("it is let in"), "one");
}

/// Whether it is not let in so far.
fn waits(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

async fn greeting(stream: &mut TcpStream) -> String {
    let mut name = [0; 3];
    stream.read_exact(&mut name).await.unwrap();
    String::from_utf8(name.into()).unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways_to_the_backend_of_the_moment() {
    let (old, new) = tokio::join!(echo("old"), echo("new"));
    let (forwarder, backends) = forward(vec![old]).await;
    let mut first = TcpStream::connect(forwarder.address()).await.unwrap();
    assert_eq!(greeting(&mut first).await, "old");
    backends.send_replace(open(vec![new]));
    let mut second = TcpStream::connect(forwarder.address()).await.unwrap();
    assert_eq!(greeting(&mut second).await, "new");
    for stream in [&mut first, &mut second] {
        stream.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"ping");
    }
    // A half-closed connection still delivers the rest.
    second.write_all(b"last").await.unwrap();
    second.shutdown().await.unwrap();
    let mut rest = String::new();
    second.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "last");
}

#[tokio::test]
async fn without_a_backend_a_connection_is_reset_at_once() {
    let (_silent, dead) = refusing();
    for backends in [vec![], vec![dead]] {
        let (forwarder, _sender) = forward(backends).await;
        let mut stream = TcpStream::connect(forwarder.address()).await.unwrap();
        let read = tokio::time::timeout(PATIENCE, stream.read_u8())
            .await
            .expect("at once");
        assert_eq!(
            read.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
    }
}

#[tokio::test]
async fn a_backend_that_refuses_is_passed_over() {
    let (_silent, dead) = refusing();
    let (forwarder, _sender) = forward(vec![dead, echo("one").await]).await;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(forwarder.address()).await.unwrap();
        assert_eq!(greeting(&mut stream).await, "one");
    }
}

#[tokio::test]
async fn it_shuts_down_within_its_grace() {
    let (forwarder, _sender) = forward(vec![echo("one").await]).await;
    let address = forwarder.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    greeting(&mut stream).await;
    forwarder.shutdown(Duration::from_millis(10)).await;
    assert_eq!(
        stream.read(&mut [0; 8]).await.unwrap_or(0),
        0,
        "the open connection has ended"
    );
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn clients_that_never_hang_up_take_their_own_port_alone() {
    let slots = Slots::sized(3, 3, 2);
    let backend = echo("one").await;
    let (greedy, _backends) = forward_within(slots.of("ours"), vec![backend]).await;
    let (modest, _others) = forward_within(slots.of("ours"), vec![backend]).await;
    let mut kept = [connect(&greedy).await, connect(&greedy).await];
    for stream in &mut kept {
        enter(stream).await;
    }
    let mut next = connect(&greedy).await;
    enter(&mut connect(&modest).await).await;
    assert!(waits(&next));
    drop(kept);
    enter(&mut next).await;
}

#[tokio::test]
async fn the_ports_of_one_owner_together_leave_the_others_theirs() {
    let slots = Slots::sized(3, 2, 1);
    let backend = echo("one").await;
    let mut ports = Vec::new();
    for _ in 0..3 {
        ports.push(forward_within(slots.of("greedy"), vec![backend]).await);
    }
    let (modest, _backends) = forward_within(slots.of("modest"), vec![backend]).await;
    let mut kept = [connect(&ports[0].0).await, connect(&ports[1].0).await];
    for stream in &mut kept {
        enter(stream).await;
    }
    let mut next = connect(&ports[2].0).await;
    enter(&mut connect(&modest).await).await;
    assert!(waits(&next));
    drop(kept);
    enter(&mut next).await;
}

/// Who finds no slot in time is reset; no time is waited for.
async fn resets_in_time(forwarder: &Forwarder) {
    tokio::time::pause();
    let read = connect(forwarder).await.read_u8().await;
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    tokio::time::resume();
}

#[tokio::test]
async fn an_owner_whose_connections_are_all_taken_is_reset_alone() {
    let slots = Slots::sized(2, 1, 1);
    let backend = echo("one").await;
    let (first, _backends) = forward_within(slots.of("greedy"), vec![backend]).await;
    let (second, _others) = forward_within(slots.of("greedy"), vec![backend]).await;
    let (modest, _theirs) = forward_within(slots.of("modest"), vec![backend]).await;
    let mut kept = connect(&first).await;
    enter(&mut kept).await;
    resets_in_time(&second).await;
    enter(&mut connect(&modest).await).await;
}

#[test]
fn a_quarter_is_for_one_owner_and_less_for_one_port() {
    for (all, share, each) in [(1400, 350, 262), (8, 2, 1), (1, 1, 1)] {
        let slots = Slots::new(all);
        assert_eq!((slots.share, slots.each), (share, each), "{all}");
        assert_eq!(slots.all.available_permits(), all);
    }
}

/// Whether the system asks the other side of an open connection whether it is still there: as Linux lists it, by
/// the ports of its two ends.
fn is_asked(which: impl Fn(u16, u16) -> bool) -> bool {
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |end: &str| {
        let (_, port) = end.split_once(':').unwrap();
        u16::from_str_radix(port, 16).unwrap()
    };
    list.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // An established connection, and the timer of keepalive.
        fields[3] == "01" && fields[5].starts_with("02:") && which(port(fields[1]), port(fields[2]))
    })
}

#[tokio::test]
async fn both_sides_are_asked_whether_they_are_there() {
    let backend = echo("one").await;
    let (forwarder, _backends) = forward(vec![backend]).await;
    let mut stream = connect(&forwarder).await;
    enter(&mut stream).await;
    let (here, client) = (forwarder.address().port(), stream.local_addr().unwrap());
    // Not while something that was sent is not acknowledged.
    testkit::eventually("both are asked", PATIENCE, || async {
        let client = is_asked(|from, to| (from, to) == (here, client.port()));
        let backend = is_asked(|_, to| to == backend.port());
        (client && backend).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_ports_together_have_so_many_connections() {
    let slots = Slots::sized(1, 1, 1);
    let backend = echo("one").await;
    let (first, _backends) = forward_within(slots.of("ours"), vec![backend]).await;
    let (second, _others) = forward_within(slots.of("theirs"), vec![backend]).await;
    let mut kept = connect(&first).await;
    enter(&mut kept).await;
    let mut next = connect(&second).await;
    kept.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    kept.read_exact(&mut back).await.unwrap();
    assert!(waits(&next));
    drop(kept);
    enter(&mut next).await;
}

#[tokio::test]
async fn who_finds_no_connection_left_in_time_is_reset() {
    let slots = Slots::sized(1, 1, 1);
    let backend = echo("one").await;
    let (first, _backends) = forward_within(slots.of("ours"), vec![backend]).await;
    let (second, _others) = forward_within(slots.of("theirs"), vec![backend]).await;
    let mut kept = connect(&first).await;
    enter(&mut kept).await;
    resets_in_time(&second).await;
    drop(kept);
    enter(&mut connect(&second).await).await;
}
