//! Plain TCP forwarding.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use towpath_gateway::tcp::{Backends, Forwarder};

use crate::support::PATIENCE;

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
    let (sender, receiver) = watch::channel(open(backends));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    (Forwarder::bind(any, receiver, None).await.unwrap(), sender)
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
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
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
    let dead = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
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
