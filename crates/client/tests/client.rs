//! The client against a server that misbehaves on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::format_collect, reason = "a test may allocate")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{
    Json, Router,
    extract::Query,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use delivery::api::{ListQuery, LogParams, NewDeployment};
use kernel::Secret;
use serde_json::{Value, json};
use testkit::{PATIENCE, eventually};
use tokio::net::{TcpListener, TcpSocket};
use towpath_client::{Client, Error, EventQuery, TokenSource};

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
async fn whoever_is_told_that_an_answer_is_lost_is_told_of_no_key() {
    let router = Router::new().fallback(|| async {
        let detail =
            "the request with the Idempotency-Key `k` was carried out, and its answer is lost";
        let problem = json!({
            "detail": detail,
            "remedy": "send what is still missing with a new key",
            "problems": [{"rule": "idempotency/answer-lost", "message": detail}],
        });
        (StatusCode::CONFLICT, Json(problem))
    });
    let client = client_of(router).await;
    let new = delivery::api::NewEnvironment::default();
    let error = client.create_environment(&new).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.kind(), kernel::ErrorKind::Conflict);
    let told = format!("{problem:?}");
    assert!(told.contains("the platform stopped"), "{told}");
    assert!(told.contains("`towpath status`"), "{told}");
    assert!(!told.to_lowercase().contains("key"), "{told}");
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

/// Answers the first `refusals` calls with `status`, and `Retry-After` where that is said; and counts all.
fn busy(
    refusals: usize,
    status: StatusCode,
    after: Option<&'static str>,
) -> (Router, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let router = Router::new().route(
        "/v1/environments/dev",
        get(move || async move {
            if counter.fetch_add(1, Ordering::SeqCst) >= refusals {
                return Json(environment("dev")).into_response();
            }
            match after {
                Some(after) => (status, [(header::RETRY_AFTER, after)]).into_response(),
                None => status.into_response(),
            }
        }),
    );
    (router, calls)
}

#[tokio::test]
async fn a_platform_that_says_when_is_asked_then_and_not_before() {
    let ask = async |status| {
        let (router, calls) = busy(1, status, Some("1"));
        let client = client_of(router).await;
        let begun = Instant::now();
        client.environment("dev").await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(1), "{status}");
        assert_eq!(calls.load(Ordering::SeqCst), 2, "{status}");
    };
    tokio::join!(
        ask(StatusCode::SERVICE_UNAVAILABLE),
        ask(StatusCode::TOO_MANY_REQUESTS)
    );
}

#[tokio::test]
async fn whoever_would_wait_longer_than_they_are_patient_hears_at_once_for_how_long() {
    for status in [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        let (router, calls) = busy(1, status, Some("60"));
        let client = client_of(router).await.patient(Duration::from_secs(30));
        let error = client.environment("dev").await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(calls.load(Ordering::SeqCst), 1, "{status}");
    }
    // By a date, as others than the platform may say it.
    let then = Some("Fri, 31 Dec 2100 23:59:59 GMT");
    let (router, _) = busy(1, StatusCode::SERVICE_UNAVAILABLE, then);
    let error = client_of(router).await.environment("dev").await;
    let after = error.unwrap_err().retry_after().unwrap();
    assert!(after > Duration::from_hours(24), "{after:?}");
}

#[tokio::test]
async fn one_of_too_many_calls_is_tried_again_also_where_no_time_is_said() {
    let (router, calls) = busy(2, StatusCode::TOO_MANY_REQUESTS, None);
    client_of(router).await.environment("dev").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    let (router, calls) = busy(usize::MAX, StatusCode::TOO_MANY_REQUESTS, None);
    let error = client_of(router).await.environment("dev").await;
    let problem = error.unwrap_err().problem().cloned().unwrap();
    assert_eq!(problem.kind(), kernel::ErrorKind::TooMany);
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn logs_that_go_on_are_asked_for_by_the_same_words_as_those_that_end() {
    let asked: Arc<Mutex<Vec<LogParams>>> = Arc::default();
    let record = asked.clone();
    let router = Router::new().route(
        "/v1/environments/dev/workloads/web/logs",
        get(move |Query(params): Query<LogParams>| async move {
            let follows = params.follow;
            record.lock().unwrap().push(params);
            if follows {
                ([(header::CONTENT_TYPE, "text/event-stream")], "").into_response()
            } else {
                Json(json!([])).into_response()
            }
        }),
    );
    let client = client_of(router).await;
    let params = LogParams {
        container: Some("a b&c".into()),
        release: Some(3),
        tail: Some(10),
        follow: false,
    };
    client.logs("dev", "web", &params).await.unwrap();
    let mut lines = client.follow_logs("dev", "web", &params);
    assert!(lines.next().await.unwrap().is_none());
    let follows = LogParams {
        follow: true,
        ..params.clone()
    };
    assert_eq!(*asked.lock().unwrap(), [params, follows]);
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

/// An address that refuses every connection until the socket listens.
fn refusing() -> (TcpSocket, SocketAddr) {
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = silent.local_addr().unwrap();
    (silent, address)
}

/// Gives a token for each try, and counts them.
#[derive(Default)]
struct Tries(AtomicUsize);

#[async_trait]
impl TokenSource for Tries {
    async fn token(
        &self,
        _: Option<&Secret>,
    ) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::from("token-1"))
    }
}

#[tokio::test]
async fn where_nothing_listens_the_error_says_so() {
    let (_silent, address) = refusing();
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
    let (silent, address) = refusing();
    let tries = Arc::new(Tries::default());
    let client = Client::with_tokens(&format!("http://{address}"), tries.clone())
        .unwrap()
        .patient(PATIENCE);
    let waiting = tokio::spawn(async move { client.ready().await });
    eventually("it tries again", PATIENCE, async || {
        (tries.0.load(Ordering::SeqCst) > 1).then_some(())
    })
    .await;
    let listener = silent.listen(16).unwrap();
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
