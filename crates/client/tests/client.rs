//! The client against a server that misbehaves on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::format_collect, reason = "a test may allocate")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use delivery::api::{ListQuery, NewDeployment};
use kernel::Secret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use towpath_client::{Client, Error, EventQuery};

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn client_of(router: Router) -> Client {
    let address = serve(router).await;
    Client::new(&format!("http://{address}"), Some(Secret::from("token-1"))).unwrap()
}

fn environment(name: &str) -> Value {
    json!({
        "kind": "Environment",
        "metadata": {
            "name": name,
            "uid": "01890000-0000-7000-8000-000000000001",
            "revision": 1,
            "generation": 1,
            "created": "2025-01-01T00:00:00Z",
            "updated": "2025-01-01T00:00:00Z",
        },
        "spec": {"role": "dev", "team": "default", "engine": "process", "createdBy": "local-admin"},
        "status": {},
    })
}

fn event(seq: i64) -> Value {
    json!({
        "specversion": "1.0",
        "id": "01890000-0000-7000-8000-000000000001",
        "source": "/towpath/test",
        "type": "dev.towpath.test",
        "subject": "Environment/dev",
        "time": "2025-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "seq": seq,
        "team": "",
        "correlation": "01890000-0000-7000-8000-000000000001",
        "actor": "test",
        "data": {},
    })
}

#[tokio::test]
async fn a_list_is_read_page_after_page() {
    let router = Router::new().route(
        "/v1/environments",
        get(|uri: axum::http::Uri| async move {
            if uri.query().is_some_and(|query| query.contains("after=one")) {
                Json(json!({"items": [environment("two")]}))
            } else {
                Json(json!({"items": [environment("one")], "next": "one"}))
            }
        }),
    );
    let client = client_of(router).await;
    let all = towpath_client::every(async |page| client.environments(&page).await)
        .await
        .unwrap();
    let names: Vec<&str> = all.iter().map(|e| e.meta.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test]
async fn what_an_older_platform_does_not_know_it_does_not_take_for_something_else() {
    // It looks at no query, and would apply what is only to be planned, and seal by the key that is to go.
    let done = Arc::new(AtomicUsize::new(0));
    let does = || {
        let done = Arc::clone(&done);
        post(move || async move {
            done.fetch_add(1, Ordering::SeqCst);
            StatusCode::NO_CONTENT
        })
    };
    let router = Router::new()
        .route("/v1/apply", does())
        .route("/v1/platform/rekey", does());
    let client = client_of(router).await;
    client.apply_plan(vec![json!({})]).await.unwrap_err();
    client.rekey(true).await.unwrap_err();
    assert_eq!(done.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_refusal_is_told_with_every_problem_and_the_token_is_sent() {
    let router = Router::new().route(
        "/v1/environments/dev/deployments",
        post(|headers: HeaderMap| async move {
            assert_eq!(headers[header::AUTHORIZATION], "Bearer token-1");
            let problem = json!({
                "type": "about:blank", "title": "Invalid", "status": 422,
                "detail": "the workload is not valid", "remedy": "mend it", "later": "field",
                "problems": [{"rule": "score/a", "message": "a"}, {"rule": "score/b", "message": "b"}],
            });
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (StatusCode::UNPROCESSABLE_ENTITY, kind, Json(problem))
        }),
    );
    let client = client_of(router).await;
    let error = client
        .deploy("dev", &NewDeployment::default())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the workload is not valid");
    let problem = error.problem().unwrap();
    assert_eq!(problem.kind(), kernel::ErrorKind::Invalid);
    assert_eq!(problem.problems.len(), 2);
    assert_eq!(problem.remedy.as_deref(), Some("mend it"));
    assert!(!format!("{client:?}").contains("token-1"));
}

#[tokio::test]
async fn a_second_try_carries_the_same_idempotency_key() {
    let keys: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = keys.clone();
    let router = Router::new().route(
        "/v1/environments",
        post(move |headers: HeaderMap| async move {
            let mut seen = seen.lock().unwrap();
            seen.push(headers["Idempotency-Key"].to_str().unwrap().into());
            if seen.len() < 3 {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            (StatusCode::ACCEPTED, Json(environment("dev"))).into_response()
        }),
    );
    let client = client_of(router).await;
    client
        .create_environment(&delivery::api::NewEnvironment::default())
        .await
        .unwrap();
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key == &keys[0] && !key.is_empty()));
}

#[tokio::test]
async fn a_refusal_that_will_not_change_is_not_tried_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let router = Router::new().route(
        "/v1/environments/none",
        get(move || async move {
            counter.fetch_add(1, Ordering::SeqCst);
            let problem =
                json!({"title": "Not found", "detail": "environment `none` does not exist"});
            (StatusCode::NOT_FOUND, Json(problem))
        }),
    );
    let client = client_of(router).await;
    assert!(client.environment("none").await.unwrap_err().is_not_found());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn names_cannot_leave_their_path_segment() {
    let router = Router::new().fallback(|uri: axum::http::Uri| async move {
        let problem = json!({"detail": uri.path()});
        (StatusCode::NOT_FOUND, Json(problem))
    });
    let client = client_of(router).await;
    let error = client.environment("../routes?x=1").await.unwrap_err();
    assert_eq!(error.to_string(), "/v1/environments/..%2Froutes%3Fx=1");
}

#[tokio::test]
async fn where_nothing_listens_the_error_says_so() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = Client::new(&format!("http://{address}"), None).unwrap();
    let error = client.ready().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("no platform answers at http://{address}")
    );
}

#[tokio::test]
async fn a_patient_client_waits_for_a_platform_that_restarts() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = Client::new(&format!("http://{address}"), None)
        .unwrap()
        .patient(Duration::from_secs(20));
    let waiting = tokio::spawn(async move { client.ready().await });
    tokio::task::yield_now().await;
    let listener = TcpListener::bind(address).await.unwrap();
    let router = Router::new().route("/readyz", get(|| async { "ready" }));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_of_another_server_is_not_taken_for_ours() {
    let client = client_of(Router::new().fallback(|| async { "<html>hello</html>" })).await;
    let error = client
        .environments(&ListQuery::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_it_broke_off() {
    let asked: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let record = asked.clone();
    let router = Router::new().route(
        "/v1/events",
        get(move |headers: HeaderMap| async move {
            assert_eq!(headers[header::ACCEPT], "text/event-stream");
            let last = headers
                .get("Last-Event-ID")
                .map(|id| id.to_str().unwrap().to_owned());
            record.lock().unwrap().push(last.clone());
            let from: i64 = last.map_or(0, |id| id.parse().unwrap());
            // Two events, then the connection ends.
            let body: String = [from + 1, from + 2]
                .iter()
                .map(|seq| format!(": hello\n\nid: {seq}\ndata: {}\n\n", event(*seq)))
                .collect();
            ([(header::CONTENT_TYPE, "text/event-stream")], body)
        }),
    );
    let client = client_of(router).await;
    let mut events = client.events(&EventQuery {
        after: Some(0),
        ..EventQuery::default()
    });
    let mut seqs = Vec::new();
    while seqs.len() < 5 {
        seqs.push(events.next().await.unwrap().unwrap().seq);
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    let asked = asked.lock().unwrap();
    let asked: Vec<Option<&str>> = asked.iter().map(Option::as_deref).collect();
    assert_eq!(asked, [Some("0"), Some("2"), Some("4")]);
}
