//! Calls that change something, whose first answer is lost on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use delivery::api::EnvironmentChange;
use kernel::Secret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use towpath_client::Client;

/// One thing at revision 3, until it is removed, and what of it was done under which key.
struct Platform {
    revision: i64,
    is_there: bool,
    done: usize,
    answers: BTreeMap<String, (StatusCode, Value)>,
    /// So often it says that the first request still runs.
    busy: usize,
}

type Shared = Arc<Mutex<Platform>>;

fn document(revision: i64) -> Value {
    json!({
        "kind": "Environment",
        "metadata": {
            "name": "dev",
            "uid": "01890000-0000-7000-8000-000000000001",
            "revision": revision,
            "generation": 1,
            "created": "2025-01-01T00:00:00Z",
            "updated": "2025-01-01T00:00:00Z",
        },
        "spec": {"role": "dev", "team": "default", "engine": "process", "createdBy": "local-admin"},
        "status": {},
    })
}

fn refused(status: StatusCode) -> Response {
    (status, Json(json!({ "title": "Refused" }))).into_response()
}

/// Does what is asked for and breaks off, unless it was done under this key: then it answers.
async fn once(State(shared): State<Shared>, method: Method, headers: HeaderMap) -> Response {
    {
        let mut platform = shared.lock().unwrap();
        let key = headers.get("Idempotency-Key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let kept = key.as_ref().and_then(|key| platform.answers.get(key));
        if let Some((status, body)) = kept.cloned() {
            if platform.busy > 0 {
                platform.busy -= 1;
                let again = [(header::RETRY_AFTER, "0")];
                return (again, refused(StatusCode::CONFLICT)).into_response();
            }
            return match status {
                StatusCode::NO_CONTENT => status.into_response(),
                status => (status, Json(body)).into_response(),
            };
        }
        if !platform.is_there {
            return refused(StatusCode::NOT_FOUND);
        }
        if headers[header::IF_MATCH] != format!("\"{}\"", platform.revision) {
            return refused(StatusCode::CONFLICT);
        }
        platform.done += 1;
        let status = if method == Method::DELETE {
            platform.is_there = false;
            StatusCode::NO_CONTENT
        } else {
            platform.revision += 1;
            StatusCode::OK
        };
        let body = document(platform.revision);
        platform
            .answers
            .insert(key.unwrap_or_default(), (status, body));
    }
    panic!("the connection breaks here")
}

async fn platform(busy: usize) -> (Client, Shared) {
    let shared = Arc::new(Mutex::new(Platform {
        revision: 3,
        is_there: true,
        done: 0,
        answers: BTreeMap::new(),
        busy,
    }));
    let router = Router::new().fallback(once).with_state(shared.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let token = Some(Secret::from("token-1"));
    let client = Client::new(&format!("http://{address}"), token).unwrap();
    (client, shared)
}

#[tokio::test]
async fn a_deletion_whose_answer_is_lost_has_succeeded() {
    let (client, platform) = platform(0).await;
    client.delete_cluster("blue", Some(3)).await.unwrap();
    assert_eq!(platform.lock().unwrap().done, 1);
    let again = client.delete_cluster("blue", Some(3)).await.unwrap_err();
    assert!(again.is_not_found(), "{again:?}");
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_no_conflict_with_itself() {
    let (client, platform) = platform(0).await;
    let group = client.put_group("crew", &json!({}), Some(3)).await.unwrap();
    assert_eq!(group.meta.revision, 4);
    let change = EnvironmentChange::default();
    let changed = client.change_environment("dev", &change, Some(4)).await;
    assert_eq!(changed.unwrap().meta.revision, 5);
    assert_eq!(platform.lock().unwrap().done, 2);
    let stale = client.change_environment("dev", &change, Some(4)).await;
    assert_eq!(stale.unwrap_err().problem().unwrap().status, 409);
}

#[tokio::test]
async fn a_try_that_still_runs_is_waited_for() {
    let (client, platform) = platform(2).await;
    client.delete_cluster("blue", Some(3)).await.unwrap();
    let platform = platform.lock().unwrap();
    assert_eq!((platform.done, platform.busy), (1, 0));
}
