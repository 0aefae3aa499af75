//! A new release takes over under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use crate::support::{Backend, Fixture, PATIENCE, table, text};

const SWITCHES: usize = 30;
const CLIENTS: usize = 8;

/// Takes a moment, so that requests are under way at every switch.
async fn release(number: usize) -> Backend {
    Backend::serve(Router::new().fallback(move |body: Bytes| async move {
        tokio::time::sleep(Duration::from_millis(2)).await;
        format!("{number} {}", body.len())
    }))
    .await
}

/// How many requests of each client were answered.
type Answered = [AtomicUsize; CLIENTS];

fn counts(answered: &Answered) -> [usize; CLIENTS] {
    answered
        .each_ref()
        .map(|count| count.load(Ordering::SeqCst))
}

/// Waits until each client has had another answer: no request from before this call is under way any more.
async fn each_is_answered(answered: &Answered, clients: &mut JoinSet<()>) {
    let before = counts(answered);
    testkit::eventually("each client is answered", PATIENCE, || {
        if let Some(ended) = clients.try_join_next() {
            ended.expect("no client meets a failure");
        }
        let now = counts(answered);
        let all = (now.iter().zip(before)).all(|(now, before)| *now > before);
        std::future::ready(all.then_some(()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_releases_replace_each_other() {
    let mut running = release(0).await;
    let fixture = Fixture::with(table(&[("a", "/", &[running.address])])).await;
    let address = fixture.gateway.address();
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Answered::default());
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let (done, answered) = (done.clone(), answered.clone());
        clients.spawn(async move {
            let mut client = crate::support::Client::connect(address).await;
            let mut newest = 0;
            while !done.load(Ordering::Relaxed) {
                // Half of them send what must not be sent twice.
                let (request, length) = if n % 2 == 0 {
                    (
                        Request::get("/").header("host", "a").body(Full::default()),
                        0,
                    )
                } else {
                    let body = Full::new(Bytes::from_static(b"once"));
                    (Request::post("/").header("host", "a").body(body), 4)
                };
                let (status, body) = text(client.send(request.unwrap()).await).await;
                assert_eq!(status, 200, "{body}");
                let (release, size) = body.split_once(' ').unwrap();
                assert_eq!(size, length.to_string());
                let release: usize = release.parse().unwrap();
                assert!(
                    release >= newest,
                    "release {release} answered after {newest}"
                );
                newest = release;
                answered[n].fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for number in 1..=SWITCHES {
        let next = release(number).await;
        fixture
            .routes
            .send_replace(table(&[("a", "/", &[next.address])]));
        // The old one goes as an engine ends it: once what was on its way there is through. That may not be sent
        // again where the old one is gone.
        each_is_answered(&answered, &mut clients).await;
        std::mem::replace(&mut running, next).stop().await;
        each_is_answered(&answered, &mut clients).await;
    }
    done.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("no client meets a failure");
    }
    assert!(counts(&answered).iter().all(|count| *count >= 2 * SWITCHES));
}

/// A server that answers the first request of each connection and drops the connection at the
/// second, as one does that closes for idleness at the wrong moment. Counts what it read.
async fn forgetful() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                    stream.write_all(answer).await.unwrap();
                }
                if stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    (address, read)
}

#[tokio::test]
async fn what_may_be_repeated_is_sent_again_on_a_new_connection() {
    let (address, read) = forgetful().await;
    let fixture = Fixture::with(table(&[("a", "/", &[address])])).await;
    let mut client = fixture.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("a", "/").await, (200, "ok".into()));
    }
    assert!(
        read.load(Ordering::SeqCst) > 5,
        "some request met a connection that was closing"
    );
}

#[tokio::test]
async fn what_must_not_be_repeated_is_sent_once() {
    let (address, read) = forgetful().await;
    let fixture = Fixture::with(table(&[("a", "/", &[address])])).await;
    let mut client = fixture.client().await;
    let mut post = async || {
        let request = Request::post("/")
            .header("host", "a")
            .body(Full::from("x"))
            .unwrap();
        client.send(request).await.status().as_u16()
    };
    assert_eq!(post().await, 200);
    assert_eq!(post().await, 502, "the backend may have acted on it");
    assert_eq!(read.load(Ordering::SeqCst), 2);
}
