//! What a caller may do, asked before it is done.

use axum::{body::Body, http::StatusCode};
use kernel::http::access_routes;
use serde_json::{Value, json};

use crate::support::{Answer, guard, request, send, service, store};

async fn ask(review: &Value) -> (Answer, i64) {
    let (store, _directory) = store().await;
    let service = service(access_routes(
        guard(&store),
        &["thing.see", "thing.make"],
        &["Thing"],
    ));
    let request = request("POST", "/v1/access-reviews")
        .header("content-type", "application/json")
        .body(Body::from(review.to_string()));
    let answer = send(&service, request.unwrap()).await;
    (answer, store.head().await.unwrap())
}

#[tokio::test]
async fn every_question_has_its_answer_in_its_place_and_nothing_is_kept() {
    let question = |action: &str| json!({ "action": action, "kind": "Thing", "team": "payments" });
    let review = json!({ "questions": [question("thing.make"), question("thing.see")] });
    let (answer, events) = ask(&review).await;
    assert_eq!(answer.status, StatusCode::OK);
    let allowed = json!({ "allowed": true });
    assert_eq!(answer.json(), json!({ "answers": [allowed, allowed] }));
    assert_eq!(events, 0);
    let (answer, _) = ask(&json!({})).await;
    assert_eq!(answer.json(), json!({ "answers": [] }));
}

#[tokio::test]
async fn what_is_no_question_is_told_of_by_its_place() {
    let good = json!({ "action": "thing.see", "kind": "Thing" });
    let wrong = json!({ "action": "thing.burn", "kind": "Thing" });
    let unknown = json!({ "action": "thing.see", "kind": "Things" });
    let (answer, _) = ask(&json!({ "questions": [good, wrong, unknown] })).await;
    let problem = answer.problem();
    assert_eq!(problem.status, 422);
    assert_eq!(problem.problems.len(), 2);
    assert_eq!(problem.problems[0].path, "questions[1].action");
    assert!(problem.problems[0].message.contains("`thing.burn`"));
    assert_eq!(problem.problems[1].path, "questions[2].kind");
    assert!(problem.problems[1].message.contains("`Things`"));
    let remedy = problem.problems[1].remedy.as_deref();
    assert_eq!(remedy, Some("did you mean `Thing`? the kinds are Thing"));
    let many = vec![good; 65];
    let (answer, _) = ask(&json!({ "questions": many })).await;
    assert_eq!(answer.problem().status, 422);
}
