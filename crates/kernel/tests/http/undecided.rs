//! What policy cannot decide is said to be so: nobody is refused by it, and nothing is left out.

use std::sync::atomic::Ordering;

use axum::{Router, body::Body, routing};
use kernel::{
    Action, Caller, Error, ErrorKind, Target,
    http::{Json, access_routes},
};
use serde_json::json;

use crate::support::{get, keyed, request, send, service, store, wavering};

const SEE: Action = Action::see("thing.read");
const MAKE: Action = Action::act("thing.make");

const THING: Target<'static> = Target {
    kind: "Thing",
    scope: "",
    name: "one",
    team: "",
    environment: None,
};

#[tokio::test]
async fn what_is_undecided_is_no_refusal_and_is_not_remembered() {
    let (store, _directory) = store().await;
    let (guard, undecided) = wavering(&store);
    let caller = Caller::local_admin();
    undecided.store(true, Ordering::SeqCst);
    for action in [SEE, MAKE] {
        let error = guard.require(&caller, action, &THING).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.remedy.is_some(), "{error}");
        assert!(guard.decides(&caller, action, &THING).is_err());
        assert!(!guard.allows(&caller, action, &THING));
        assert!(guard.foretell(&caller, action, &THING).undecided);
    }
    assert_eq!(store.head().await.unwrap(), 0);
    undecided.store(false, Ordering::SeqCst);
    for action in [SEE, MAKE] {
        guard.require(&caller, action, &THING).await.unwrap();
        assert!(guard.decides(&caller, action, &THING).unwrap());
    }
}

#[tokio::test]
async fn an_answer_that_would_leave_something_out_says_so_instead() {
    let (store, _directory) = store().await;
    let (guard, undecided) = wavering(&store);
    let all = guard.clone();
    let list = move |caller: Caller| {
        let sees = all.allows(&caller, SEE, &THING);
        async move { Json(json!({ "items": sees.then_some("one") })) }
    };
    let change = move |caller: Caller| {
        let may = guard.allows(&caller, MAKE, &THING);
        async move {
            if may {
                Ok(Json(json!({})))
            } else {
                Err(Error::not_found("thing `one`"))
            }
        }
    };
    let service = service(Router::new().route("/things", routing::get(list).post(change)));
    let post = async || {
        let request = request("POST", "/things").body(Body::empty());
        send(&service, request.unwrap()).await
    };
    undecided.store(true, Ordering::SeqCst);
    for answer in [get(&service, "/things").await, post().await] {
        assert_eq!(answer.problem().status, 503);
        assert!(answer.problem().remedy.is_some());
        assert!(answer.headers.contains_key("retry-after"));
    }
    undecided.store(false, Ordering::SeqCst);
    assert_eq!(
        get(&service, "/things").await.json(),
        json!({ "items": "one" })
    );
    assert_eq!(post().await.status, 200);
}

/// What a request with a key asks for is done by a task of its own.
#[tokio::test]
async fn a_change_that_is_undecided_is_no_refusal_under_its_key_either() {
    let (store, _directory) = store().await;
    let (guard, undecided) = wavering(&store);
    let change = move |caller: Caller| {
        let may = guard.allows(&caller, MAKE, &THING);
        async move {
            if may {
                Ok(Json(json!({})))
            } else {
                Err(Error::not_found("thing `one`"))
            }
        }
    };
    let routes = Router::new().route("/things", routing::delete(change));
    let service = service(keyed(&store, routes));
    let ask = async || {
        let request = request("DELETE", "/things").header("idempotency-key", "k");
        send(&service, request.body(Body::empty()).unwrap()).await
    };
    undecided.store(true, Ordering::SeqCst);
    let answer = ask().await;
    assert_eq!(answer.problem().status, 503);
    undecided.store(false, Ordering::SeqCst);
    assert_eq!(ask().await.status, 200);
}

/// A review is a POST that changes nothing: an answer of it is no word of what was done.
#[tokio::test]
async fn a_review_does_not_call_forbidden_what_is_undecided() {
    let (store, _directory) = store().await;
    let (guard, undecided) = wavering(&store);
    let service = service(access_routes(guard, &["thing.make"], &["Thing"]));
    let review = json!({ "questions": [{ "action": "thing.make", "kind": "Thing" }] });
    let ask = async || {
        let request = request("POST", "/v1/access-reviews")
            .header("content-type", "application/json")
            .body(Body::from(review.to_string()));
        send(&service, request.unwrap()).await
    };
    undecided.store(true, Ordering::SeqCst);
    assert_eq!(ask().await.problem().status, 503);
    undecided.store(false, Ordering::SeqCst);
    assert_eq!(ask().await.json()["answers"][0]["allowed"], true);
}
