//! Clients that ask too much, and backends that give too little.

use std::time::Duration;

use axum::Router;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use towpath_gateway::Limits;

use crate::support::{Backend, Fixture, PATIENCE, table};

/// A time that a test lets pass. None that is to be kept is as short: a busy machine may take longer.
const SHORT: Duration = Duration::from_millis(200);

/// A backend that counts the bytes of a body, behind a gateway of these limits.
async fn limited(limits: Limits) -> (Fixture, Backend) {
    let app = Router::new()
        .fallback(|body: axum::body::Bytes| async move { format!("got {}", body.len()) });
    let backend = Backend::serve(app).await;
    let fixture = Fixture::limited(table(&[("a", "/", &[backend.address])]), limits).await;
    (fixture, backend)
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let (fixture, _backend) = limited(Limits {
        head_bytes: 8 * 1024,
        ..Limits::default()
    })
    .await;
    let long = "x".repeat(9 * 1024);
    let answer = fixture
        .raw(&format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "X: y\r\n".repeat(200);
    let answer = fixture
        .raw(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_however_it_is_framed() {
    let (fixture, _backend) = limited(Limits {
        body_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let at_limit = "x".repeat(1000);
    let known = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let chunked = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        )
    };
    for request in [known(&at_limit), chunked(&at_limit)] {
        let answer = fixture.raw(&request).await;
        assert!(answer.contains("got 1000"), "{answer}");
    }
    for request in [
        known(&format!("{at_limit}x")),
        chunked(&format!("{at_limit}x")),
    ] {
        let answer = fixture.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_ends_with_its_time() {
    let (fixture, _backend) = limited(Limits {
        head_timeout: SHORT,
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(fixture.gateway.address()).await.unwrap();
    let mut trickle = tokio::time::interval(SHORT / 10);
    let mut buffer = [0; 512];
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            trickle.tick().await;
            if stream.write_all(b"G").await.is_err() {
                return;
            }
            let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut buffer));
            if let Ok(Ok(0) | Err(_)) = read.await {
                return;
            }
        }
    });
    ended
        .await
        .expect("the connection of a client that trickles is closed");
}

#[tokio::test]
async fn a_body_that_stops_ends_with_its_time() {
    let (fixture, _backend) = limited(Limits {
        body_pause: SHORT,
        ..Limits::default()
    })
    .await;
    let answer = fixture
        .raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_backend_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let limits = Limits {
        answer_timeout: SHORT,
        ..Limits::default()
    };
    let fixture = Fixture::limited(table(&[("a", "/", &[address])]), limits).await;
    let (status, body) = fixture.client().await.get("a", "/").await;
    assert_eq!(status, 504);
    assert!(body.contains("did not answer in time"), "{body}");
}

#[tokio::test]
async fn a_slow_upload_outlives_the_answers_limit() {
    // The answer itself has to keep to it.
    let answer_timeout = Duration::from_secs(3);
    let (fixture, _backend) = limited(Limits {
        answer_timeout,
        ..Limits::default()
    })
    .await;
    let mut stream = TcpStream::connect(fixture.gateway.address()).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..10 {
        tokio::time::sleep(answer_timeout / 8).await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("got 10"), "{answer}");
}

#[tokio::test]
async fn a_backend_that_speaks_no_http_is_a_bad_gateway() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await;
            if read.is_ok() && stream.write_all(b"SSH-2.0-x\r\n").await.is_err() {
                return;
            }
        }
    });
    let fixture = Fixture::with(table(&[("a", "/", &[address])])).await;
    assert_eq!(fixture.client().await.get("a", "/").await.0, 502);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let backend = Backend::saying("here").await;
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let fixture = Fixture::limited(table(&[("a", "/", &[backend.address])]), limits).await;
    let (mut one, mut two) = (fixture.client().await, fixture.client().await);
    assert_eq!(
        (one.get("a", "/").await.0, two.get("a", "/").await.0),
        (200, 200)
    );
    let mut three = fixture.client().await;
    let waiting = tokio::spawn(async move { three.get("a", "/").await.0 });
    tokio::time::sleep(SHORT).await;
    assert!(!waiting.is_finished(), "two places are taken");
    drop(one);
    assert_eq!(
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap(),
        200
    );
}
