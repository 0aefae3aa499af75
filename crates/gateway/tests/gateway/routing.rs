//! Which request goes where.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use testkit::eventually;
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use towpath_gateway::{Absence, RouteError, RoutingTable};

use crate::support::{Backend, Fixture, PATIENCE, refusing, table, target};

#[tokio::test]
async fn the_most_specific_prefix_of_whole_segments_wins() {
    let (root, api, v2) = tokio::join!(
        Backend::saying("root"),
        Backend::saying("api"),
        Backend::saying("v2")
    );
    let fixture = Fixture::with(table(&[
        ("shop.localhost", "/", &[root.address]),
        ("shop.localhost", "/api/v2/", &[v2.address]),
        ("shop.localhost", "/api", &[api.address]),
    ]))
    .await;
    let mut client = fixture.client().await;
    for (path, answer) in [
        ("/", "root"),
        ("/apis", "root"),
        ("/api", "api"),
        ("/api?x=/api/v2", "api"),
        ("/api/v1", "api"),
        ("/api/v2", "v2"),
        ("/api/v2/", "v2"),
        ("/api/v2/x", "v2"),
        ("/api/v22", "api"),
    ] {
        assert_eq!(
            client.get("shop.localhost", path).await,
            (200, answer.into()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn hosts_are_compared_without_case_port_and_final_dot() {
    let backend = Backend::saying("here").await;
    let fixture = Fixture::with(table(&[("Notes.Dev.localhost", "/", &[backend.address])])).await;
    let mut client = fixture.client().await;
    for host in [
        "notes.dev.localhost",
        "NOTES.dev.localhost:7080",
        "notes.dev.localhost.",
    ] {
        assert_eq!(client.get(host, "/").await, (200, "here".into()), "{host}");
    }
}

#[tokio::test]
async fn an_unknown_host_learns_of_no_other() {
    let backend = Backend::saying("here").await;
    let fixture = Fixture::with(table(&[("secret.localhost", "/", &[backend.address])])).await;
    let mut client = fixture.client().await;
    let (status, body) = client.get("other.localhost", "/").await;
    assert_eq!(status, 404);
    assert!(body.contains("no route for host other.localhost"), "{body}");
    assert!(!body.contains("secret"), "{body}");
}

#[tokio::test]
async fn a_browser_gets_a_page_and_a_program_gets_text() {
    let fixture = Fixture::with(table(&[("new.localhost", "/", &[])])).await;
    let mut client = fixture.client().await;
    let request = Request::get("/")
        .header("host", "new.localhost")
        .header("accept", "text/html,*/*;q=0.8")
        .body(Full::default())
        .unwrap();
    let response = client.send(request).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let (status, body) = client.get("new.localhost", "/").await;
    assert_eq!(
        (status, body.contains("is starting"), body.contains('<')),
        (503, true, false)
    );
}

#[tokio::test]
async fn what_is_absent_says_why() {
    let mut routes = RoutingTable::new();
    for (host, absence) in [
        ("f.localhost", Absence::Failed),
        ("s.localhost", Absence::Stopped),
    ] {
        routes
            .insert(
                host,
                "/",
                towpath_gateway::Target {
                    absence,
                    ..target(host, &[])
                },
            )
            .unwrap();
    }
    let fixture = Fixture::with(routes.into()).await;
    let mut client = fixture.client().await;
    for (host, words) in [
        ("f.localhost", "failed to start"),
        ("s.localhost", "is stopped"),
    ] {
        let (status, body) = client.get(host, "/").await;
        assert_eq!(status, 503);
        assert!(body.contains(words), "{body}");
    }
}

#[tokio::test]
async fn a_backend_that_refuses_is_passed_over() {
    let (_silent, gone) = refusing();
    let backend = Backend::saying("here").await;
    let fixture = Fixture::with(table(&[
        ("a.localhost", "/", &[gone, backend.address]),
        ("b.localhost", "/", &[gone]),
    ]))
    .await;
    let mut client = fixture.client().await;
    for _ in 0..6 {
        // A request with a body, too: none of it was sent to the one that refused.
        let request = Request::post("/")
            .header("host", "a.localhost")
            .body(Full::new(Bytes::from_static(b"body")))
            .unwrap();
        assert_eq!(client.send(request).await.status(), 200);
    }
    let (status, body) = client.get("b.localhost", "/").await;
    assert_eq!(status, 502);
    assert!(
        !body.contains(&gone.port().to_string()),
        "no address in a public answer: {body}"
    );
}

#[tokio::test]
async fn several_backends_serve_in_turn() {
    let (a, b) = tokio::join!(Backend::saying("a"), Backend::saying("b"));
    let fixture = Fixture::with(table(&[("x.localhost", "/", &[a.address, b.address])])).await;
    let mut client = fixture.client().await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.get("x.localhost", "/").await.1);
    }
    assert_eq!(
        answers.iter().filter(|answer| *answer == "a").count(),
        5,
        "{answers:?}"
    );
}

#[test]
fn a_route_is_taken_once_and_names_its_owner() {
    let mut routes = RoutingTable::new();
    routes
        .insert("a.localhost", "/api/", target("prod/notes", &[]))
        .unwrap();
    let refused = routes
        .insert("A.localhost.", "/api", target("dev/other", &[]))
        .unwrap_err();
    assert!(refused.to_string().contains("prod/notes"), "{refused}");
    for host in ["", "a b", "a:80", "http://a", "a/b"] {
        let refused = routes.insert(host, "/", target("x", &[]));
        assert!(matches!(refused, Err(RouteError::Host(_))), "{host}");
    }
    for path in ["", "api", "/a?b", "/a#b", "/a/../b", "/%2e%2E", "/a b"] {
        let refused = routes.insert("b.localhost", path, target("x", &[]));
        assert!(matches!(refused, Err(RouteError::Path(_))), "{path}");
    }
}

#[tokio::test]
async fn ten_thousand_hosts_route_and_switch() {
    let (old, new) = tokio::join!(Backend::saying("old"), Backend::saying("new"));
    let build = |backend: &Backend| {
        let mut routes = RoutingTable::new();
        for n in 0..10_000 {
            let host = format!("service-{n}.prod.localhost");
            routes
                .insert(&host, "/", target(&host, &[backend.address]))
                .unwrap();
        }
        Arc::new(routes)
    };
    let fixture = Fixture::with(build(&old)).await;
    assert_eq!(fixture.routes.borrow().host_count(), 10_000);
    let mut client = fixture.client().await;
    for n in [0, 4_999, 9_999] {
        let host = format!("service-{n}.prod.localhost");
        assert_eq!(client.get(&host, "/").await.1, "old");
    }
    fixture.routes.send_replace(build(&new));
    for n in [0, 4_999, 9_999] {
        let host = format!("service-{n}.prod.localhost");
        assert_eq!(client.get(&host, "/").await.1, "new");
    }
    assert_eq!(client.get("service-10000.prod.localhost", "/").await.0, 404);
}

#[tokio::test]
async fn a_route_back_to_the_gateway_is_a_loop_not_a_flood() {
    let fixture = Fixture::with(table(&[])).await;
    let own = fixture.gateway.address();
    fixture
        .routes
        .send_replace(table(&[("loop.localhost", "/", &[own])]));
    let (status, body) = fixture.client().await.get("loop.localhost", "/").await;
    assert_eq!(status, 508);
    assert!(body.contains("goes in circles"), "{body}");
}

#[tokio::test]
async fn a_gateway_shuts_down_after_its_requests() {
    let (entered, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (enters, waits) = (entered.clone(), released.clone());
    let slow = Router::new().fallback(move || {
        let (enters, waits) = (enters.clone(), waits.clone());
        async move {
            enters.add_permits(1);
            waits.acquire().await.unwrap().forget();
            "late"
        }
    });
    let backend = Backend::serve(slow).await;
    let fixture = Fixture::with(table(&[("a.localhost", "/", &[backend.address])])).await;
    let mut client = fixture.client().await;
    let address = fixture.gateway.address();
    let request = tokio::spawn(async move { client.get("a.localhost", "/").await });
    let at_backend = timeout(PATIENCE, entered.acquire()).await;
    at_backend.expect("a request").unwrap().forget();
    let answers = async {
        eventually("it listens no more", PATIENCE, async || {
            TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
        assert!(!request.is_finished(), "it is not cut off");
        released.add_permits(1);
    };
    tokio::join!(fixture.gateway.shutdown(PATIENCE), answers);
    assert_eq!(request.await.unwrap(), (200, "late".into()));
}
