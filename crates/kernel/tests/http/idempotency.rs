//! One request, sent several times.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use kernel::{
    Caller, Change, Error, Kind, Resource, Result,
    http::{ETag, Json},
};
use serde_json::{Value, json};
use testkit::PATIENCE;
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{Answer, keyed, request, send, service, store};

/// Counts its runs; fails on request, and waits for the gate before it ends.
async fn counting() -> (Router, Arc<AtomicU32>, Arc<Semaphore>, tempfile::TempDir) {
    let (store, directory) = store().await;
    let runs = Arc::new(AtomicU32::new(0));
    let gate = Arc::new(Semaphore::new(1));
    let (counter, opened) = (runs.clone(), gate.clone());
    let count = move |Json(body): Json<Value>| async move {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let _permit = opened.acquire().await;
        if body["fails"] == true {
            return Err(Error::conflict("not now"));
        }
        Ok((StatusCode::CREATED, ETag(7), Json(json!({ "run": run }))).into_response())
    };
    let router = service(keyed(&store, Router::new().route("/count", post(count))));
    (router, runs, gate, directory)
}

async fn count(router: &Router, key: Option<&str>, body: Value) -> Answer {
    let mut request = request("POST", "/count").header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn the_first_answer_is_given_again() {
    let (router, runs, _gate, _directory) = counting().await;
    let first = count(&router, Some("k"), json!({"a": 1})).await;
    let second = count(&router, Some("k"), json!({"a": 1})).await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    for header in ["etag", "content-type"] {
        assert_eq!(first.headers[header], second.headers[header]);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    count(&router, Some("other"), json!({"a": 1})).await;
    count(&router, None, json!({"a": 1})).await;
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    let (router, runs, _gate, _directory) = counting().await;
    count(&router, Some("k"), json!({"a": 1})).await;
    let other = count(&router, Some("k"), json!({"a": 2})).await;
    assert_eq!(other.problem().status, 422);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_error_is_not_kept() {
    let (router, runs, _gate, _directory) = counting().await;
    for expected in 1..=2 {
        let answer = count(&router, Some("k"), json!({"fails": true})).await;
        assert_eq!(answer.problem().status, 409);
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn who_hangs_up_finds_the_answer_later_and_nothing_runs_twice() {
    let (router, runs, gate, _directory) = counting().await;
    let held = gate.clone().acquire_owned().await.unwrap();
    let waiting = router.clone();
    let first = tokio::spawn(async move { count(&waiting, Some("k"), json!({})).await });
    testkit::eventually("the first one runs", PATIENCE, || async {
        (runs.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    first.abort();
    let answer = {
        let mut later = pin!(count(&router, Some("k"), json!({})));
        // It waits for the work, which goes on.
        let waits = timeout(Duration::from_millis(200), &mut later).await;
        assert!(waits.is_err(), "answered before the work was done");
        drop(held);
        timeout(PATIENCE, later).await.unwrap()
    };
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.json()["run"], 1);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

struct Made;

impl Kind for Made {
    const KIND: &'static str = "Made";
    type Spec = u32;
    type Status = ();
}

/// Makes the next of its kind, where it is asked to, and breaks off.
async fn breaking() -> (Router, Arc<AtomicU32>, tempfile::TempDir) {
    let (store, directory) = store().await;
    let runs = Arc::new(AtomicU32::new(0));
    let (counter, within) = (runs.clone(), store.clone());
    let make = move |caller: Caller, Json(body): Json<Value>| async move {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        if body["makes"] == true {
            let mut change = Change::new().by(&caller);
            change.create(&Resource::<Made>::new("", format!("m-{run}"), run))?;
            within.commit(change).await?;
        }
        let answer: Result<Response> = Err(if body["refuses"] == true {
            Error::conflict("not so")
        } else if body["faults"] == true {
            Error::internal("it broke", "in half")
        } else {
            Error::unavailable("the other server is away").remedy("try again")
        });
        answer
    };
    let router = service(keyed(&store, Router::new().route("/count", post(make))));
    (router, runs, directory)
}

#[tokio::test]
async fn what_broke_off_after_a_commit_is_not_run_twice() {
    let (router, runs, _directory) = breaking().await;
    let first = count(&router, Some("k"), json!({"makes": true})).await;
    let problem = first.problem();
    assert_eq!(
        (problem.status, &*problem.detail),
        (503, "the other server is away")
    );
    // What the work says itself stands.
    let remedy = problem.remedy.unwrap();
    assert!(remedy.starts_with("try again; "), "{remedy}");
    assert!(remedy.contains("takes a new Idempotency-Key"), "{remedy}");
    let second = count(&router, Some("k"), json!({"makes": true})).await;
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(
        second.headers["content-type"],
        first.headers["content-type"]
    );
    for answer in [first, second] {
        // Under this key it stays so.
        assert!(!answer.headers.contains_key("retry-after"));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    count(&router, Some("other"), json!({"makes": true})).await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_fault_after_a_commit_says_to_look() {
    let (router, runs, _directory) = breaking().await;
    let ask = || count(&router, Some("k"), json!({"makes": true, "faults": true}));
    let (first, second) = (ask().await, ask().await);
    let problem = first.problem();
    assert_eq!(problem.status, 500);
    let remedy = problem.remedy.unwrap();
    assert!(remedy.contains("look at what there is now"), "{remedy}");
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_broke_off_before_it_did_anything_is_run_again() {
    let (router, runs, _directory) = breaking().await;
    for expected in 1..=2 {
        let answer = count(&router, Some("k"), json!({})).await;
        assert!(answer.headers.contains_key("retry-after"));
        let problem = answer.problem();
        assert_eq!(
            (problem.status, problem.remedy.as_deref()),
            (503, Some("try again"))
        );
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn what_was_refused_is_run_again_whatever_it_had_committed() {
    let (router, runs, _directory) = breaking().await;
    for expected in 1..=2 {
        let body = json!({"makes": true, "refuses": true});
        let answer = count(&router, Some("k"), body).await.problem();
        assert_eq!(&*answer.detail, "not so");
        assert_eq!(runs.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_to_be_kept_is_not_made_twice() {
    let (store, _directory) = store().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let long = move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
        "a".repeat((64 << 10) + 1)
    };
    let router = service(keyed(&store, Router::new().route("/count", post(long))));
    let first = count(&router, Some("k"), json!({})).await;
    assert_eq!(
        (first.status, first.body.len()),
        (StatusCode::OK, (64 << 10) + 1)
    );
    let again = timeout(PATIENCE, count(&router, Some("k"), json!({}))).await;
    let problem = again.unwrap().problem();
    assert_eq!(problem.status, 409);
    assert!(
        problem.detail.contains("its answer is lost"),
        "{}",
        problem.detail
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
