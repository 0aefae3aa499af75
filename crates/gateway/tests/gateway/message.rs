//! What of a message passes, and what does not.

use std::time::Duration;

use axum::{Router, body::Bytes as Body, extract::Request as Seen};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use towpath_gateway::Limits;

use crate::support::{Backend, Fixture, table, text};

/// A backend that answers with the head that it saw.
async fn mirror() -> Backend {
    Backend::serve(Router::new().fallback(|request: Seen| async move {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        for (name, value) in request.headers() {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
        let answer = [
            ("connection", "x-inner"),
            ("x-inner", "1"),
            ("x-outer", "2"),
        ];
        (answer, lines.join("\n"))
    }))
    .await
}

fn has(seen: &str, line: &str) -> bool {
    seen.lines().any(|l| l.eq_ignore_ascii_case(line))
}

#[tokio::test]
async fn a_backend_learns_of_the_client_from_the_gateway_alone() {
    let backend = mirror().await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let request = Request::get("/x?y=1")
        .header("host", "A.localhost:7080")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-host", "evil")
        .header("x-forwarded-proto", "https")
        .header("forwarded", "for=6.6.6.6")
        .body(Full::default())
        .unwrap();
    let (status, seen) = text(fixture.client().await.send(request).await).await;
    assert_eq!(status, 200);
    for line in [
        "GET /x?y=1",
        "host: A.localhost:7080",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: A.localhost:7080",
        "x-forwarded-proto: http",
        "via: 1.1 towpath",
    ] {
        assert!(has(&seen, line), "{line} in:\n{seen}");
    }
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("evil"),
        "{seen}"
    );
}

#[tokio::test]
async fn behind_another_proxy_the_chain_grows() {
    let backend = mirror().await;
    let limits = Limits {
        behind_proxy: true,
        ..Limits::default()
    };
    let routes = table(&[("a.localhost", "/", &[backend.address])]);
    let fixture = Fixture::limited(routes, limits).await;
    let request = Request::get("/")
        .header("host", "a.localhost")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-forwarded-proto", "https")
        .body(Full::default())
        .unwrap();
    let (_, seen) = text(fixture.client().await.send(request).await).await;
    assert!(has(&seen, "x-forwarded-for: 1.2.3.4, 127.0.0.1"), "{seen}");
    assert!(has(&seen, "x-forwarded-proto: https"), "{seen}");
}

#[tokio::test]
async fn fields_of_one_connection_end_at_the_gateway() {
    let backend = mirror().await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let request = Request::get("/")
        .header("host", "a.localhost")
        .header("connection", "keep-alive, X-Mine, x-forwarded-for")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers")
        .header("upgrade", "h2c")
        .header("proxy-authorization", "Basic eDp5")
        .header("authorization", "Bearer stays")
        .body(Full::default())
        .unwrap();
    let response = fixture.client().await.send(request).await;
    assert!(
        !response.headers().contains_key("x-inner"),
        "{:?}",
        response.headers()
    );
    assert_eq!(response.headers()["x-outer"], "2");
    let (_, seen) = text(response).await;
    for gone in [
        "x-mine",
        "keep-alive",
        "te:",
        "upgrade",
        "proxy-authorization",
    ] {
        assert!(!seen.contains(gone), "{gone} in:\n{seen}");
    }
    assert!(has(&seen, "authorization: Bearer stays"), "{seen}");
    assert!(has(&seen, "x-forwarded-for: 127.0.0.1"), "{seen}");
}

#[tokio::test]
async fn what_two_readers_could_read_differently_is_refused() {
    let backend = Backend::saying("reached").await;
    let fixture = Fixture::with(table(&[("a", "/", &[backend.address])])).await;
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET http://x@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /x/../y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /x/%2E%2e/y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n X: folded\n\n", 400),
    ] {
        let answer = fixture.raw(bytes).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{bytes:?} gave {answer:?}"
        );
        assert!(!answer.contains("reached"), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_chunked_body_hides_no_second_request() {
    let backend =
        Backend::serve(Router::new().fallback(|body: Body| async move {
            format!("saw {}", String::from_utf8_lossy(&body))
        }))
        .await;
    let fixture = Fixture::with(table(&[("a", "/", &[backend.address])])).await;
    // By Content-Length the body would end within the chunk; the rest would be a request of its own.
    let answer = fixture
        .raw(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n1c\r\nGET /admin HTTP/1.1\r\nHost: a\r\n0\r\n\r\n",
        )
        .await;
    assert!(answer.matches("HTTP/1.1 ").count() <= 2, "{answer}");
    assert!(
        !answer.contains("saw \n") && !answer.contains("/admin HTTP/1.1 404"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_target_in_absolute_form_overrules_the_host() {
    let backend = mirror().await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let answer = fixture
        .raw("GET http://a.localhost/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("GET /x?y\n") && has(&answer, "host: a.localhost"),
        "{answer}"
    );
    assert!(!answer.contains("other"), "{answer}");
}

#[tokio::test]
async fn methods_and_empty_bodies_pass_as_they_are() {
    let backend = mirror().await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let mut client = fixture.client().await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .header("host", "a.localhost")
            .body(Full::default())
            .unwrap();
        let (status, seen) = text(client.send(request).await).await;
        assert_eq!(status, 200);
        assert!(has(&seen, &format!("{method} /")), "{seen}");
    }
    let head = Request::head("/")
        .header("host", "a.localhost")
        .body(Full::default())
        .unwrap();
    let response = client.send(head).await;
    assert!(
        response.headers().contains_key("content-length"),
        "{:?}",
        response.headers()
    );
    assert_eq!(text(response).await, (200, String::new()));
    assert_eq!(
        client.get("a.localhost", "/").await.0,
        200,
        "the connection is still good"
    );
}

#[tokio::test]
async fn an_old_client_gets_an_old_answer() {
    let backend = Backend::saying("here").await;
    let fixture = Fixture::with(table(&[("a", "/", &[backend.address])])).await;
    let answer = fixture.raw("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhere"), "{answer}");
}

#[tokio::test]
async fn a_body_waits_for_leave_to_be_sent() {
    let backend = Backend::serve(Router::new().fallback(|body: Body| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        body.len().to_string()
    }))
    .await;
    let fixture = Fixture::with(table(&[("a", "/", &[backend.address])])).await;
    let answer = fixture
        .raw(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\nabc",
        )
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n3"), "{answer}");
}

#[tokio::test]
async fn large_bodies_pass_whole_both_ways() {
    let backend =
        Backend::serve(Router::new().fallback(|body: axum::body::Body| async move { body })).await;
    let fixture = Fixture::with(table(&[("a", "/", &[backend.address])])).await;
    let sent: Bytes = (0..8 * 1024 * 1024u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into();
    let request = Request::post("/")
        .header("host", "a")
        .body(Full::new(sent.clone()))
        .unwrap();
    let response = fixture.client().await.send(request).await;
    let got = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    assert!(
        got == sent,
        "{} bytes came back of {}",
        got.len(),
        sent.len()
    );
}
