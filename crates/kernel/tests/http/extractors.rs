//! What a request is made of, and its mistakes.

use axum::{
    Router,
    body::Body,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use kernel::{
    Caller, Means,
    http::{ETag, IdempotencyKey, IfMatch, Json, Path, Query},
};
use serde::{Deserialize, Serialize};

use crate::support::{self, Answer, request, send, service};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    name: String,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    count: u8,
    #[serde(default)]
    sort: Option<Sort>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Whole,
    Part,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    limit: Option<u32>,
}

fn routes() -> Router {
    let conditional =
        |IfMatch(revision): IfMatch| async move { (ETag(revision.unwrap_or(-1)), Json(revision)) };
    let keyed = |IdempotencyKey(key): IdempotencyKey| async move { Json(key) };
    let filtered = |Query(filter): Query<Filter>| async move { Json(filter.limit) };
    let numbered = |Path(number): Path<u8>| async move { Json(number) };
    let called = |caller: Caller| async move {
        assert_eq!(caller.means, Means::AdminToken);
        Json(caller.reason.map(|reason| reason.as_str().to_owned()))
    };
    service(
        Router::new()
            .route(
                "/orders",
                post(|Json(order): Json<Order>| async { Json(order) }),
            )
            .route("/conditional", get(conditional))
            .route("/keyed", get(keyed))
            .route("/called", get(called))
            .route("/filtered", get(filtered))
            .route("/numbered/{number}", get(numbered))
            .layer(DefaultBodyLimit::max(200)),
    )
}

async fn order(kind: &str, body: impl Into<Body>) -> Answer {
    let request = request("POST", "/orders").header("content-type", kind);
    send(&routes(), request.body(body.into()).unwrap()).await
}

async fn with(path: &str, name: &str, value: &str) -> Answer {
    let request = request("GET", path).header(name, value);
    send(&routes(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_body_is_read_and_its_mistakes_are_placed() {
    let good = order("application/json; charset=utf-8", r#"{"name": "a"}"#).await;
    assert_eq!(good.json()["name"], "a");
    for (body, path, line, words) in [
        (
            r#"{"name": "a", "nmae": 1}"#,
            "nmae",
            1,
            "unknown field `nmae`",
        ),
        (
            "{\"name\": \"a\",\n\"lines\": [{\"count\": 1}, {\"count\": 300}]}",
            "lines[1].count",
            2,
            "invalid value: whole number, expected a whole number from 0 to 255",
        ),
        (r#"{"lines": []}"#, "", 1, "missing field `name`"),
        ("{", "", 1, "EOF"),
        (r#"{"name": "a"} x"#, "", 1, "trailing"),
        ("", "", 1, "EOF"),
    ] {
        let problem = order("application/json", body).await.problem();
        assert_eq!(problem.status, 422, "{body}");
        let [one] = &problem.problems[..] else {
            panic!("one problem, not {problem:?}");
        };
        assert_eq!(one.path, path, "{body}");
        assert!(one.message.contains(words), "{body}: {}", one.message);
        if let Some(location) = &one.location {
            assert_eq!(
                (location.file.as_str(), location.line),
                ("request body", line)
            );
        }
    }
    let deep = "[".repeat(190);
    assert_eq!(order("application/json", deep).await.problem().status, 422);
    assert_eq!(
        order("application/json", vec![0xff]).await.problem().status,
        422
    );
}

#[tokio::test]
async fn a_mistake_is_told_without_the_value() {
    for (body, words) in [
        (r#""CANARY""#, "invalid type: text, expected fields"),
        (
            r#"{"name": "a", "lines": "CANARY\", expected `CANARY"}"#,
            "invalid type: text, expected a list",
        ),
        (
            r#"{"name": "a", "lines": [{"count": "CANARY"}]}"#,
            "invalid type: text, expected a whole number from 0 to 255",
        ),
        (
            r#"{"name": "a", "lines": [{"count": 1, "sort": "CANARY"}]}"#,
            "unknown variant, expected `whole` or `part`",
        ),
        (
            r#"{"name": 4711}"#,
            "invalid type: whole number, expected text",
        ),
        (r#"{"name": true}"#, "invalid type: boolean, expected text"),
        (r#"{"name": null}"#, "invalid type: nothing, expected text"),
    ] {
        let problem = order("application/json", body).await.problem();
        assert_eq!(problem.problems[0].message, words, "{body}");
        assert!(problem.detail.ends_with(words), "{}", problem.detail);
        let told = format!("{} {:?}", problem.detail, problem.problems);
        assert!(!told.contains("CANARY") && !told.contains("4711"), "{told}");
    }
}

#[tokio::test]
async fn a_body_of_another_sort_or_size_is_refused() {
    let problem = order("text/plain", r#"{"name": "a"}"#).await.problem();
    assert_eq!(problem.status, 422);
    assert!(problem.remedy.unwrap().contains("application/json"));
    let long = format!(r#"{{"name": "{}"}}"#, "a".repeat(300));
    assert_eq!(order("application/json", long).await.problem().status, 413);
}

#[tokio::test]
async fn etags_go_out_as_they_come_in() {
    let answer = with("/conditional", "if-match", "\"42\"").await;
    assert_eq!(answer.headers["etag"], "\"42\"");
    assert_eq!(answer.json(), 42);
    assert!(with("/conditional", "if-match", "*").await.json().is_null());
    assert!(with("/conditional", "x", "y").await.json().is_null());
    for wrong in ["42", "W/\"42\"", "\"a\"", "\"1\", \"2\"", ""] {
        let answer = with("/conditional", "if-match", wrong).await;
        assert_eq!(answer.problem().status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn keys_paths_and_queries_are_checked() {
    assert_eq!(with("/keyed", "idempotency-key", "k").await.json(), "k");
    let long = "k".repeat(129);
    for wrong in ["", &long, "ü"] {
        let answer = with("/keyed", "idempotency-key", wrong).await;
        assert_eq!(answer.problem().status, 422, "{wrong}");
    }
    let routes = routes();
    assert_eq!(support::get(&routes, "/filtered?limit=3").await.json(), 3);
    for wrong in ["/filtered?limt=3", "/filtered?limit=x", "/numbered/300"] {
        let problem = support::get(&routes, wrong).await.problem();
        assert_eq!(problem.status, 422, "{wrong}: {problem:?}");
    }
}

#[tokio::test]
async fn a_caller_says_why_in_one_line() {
    let unsaid = support::get(&routes(), "/called").await;
    assert_eq!(unsaid.json(), serde_json::Value::Null);
    let said = with("/called", "towpath-reason", " INC-42: Schlüssel weg ").await;
    assert_eq!(said.json(), "INC-42: Schlüssel weg");
    let long = "x".repeat(501);
    for (text, words) in [
        ("", "says nothing"),
        (long.as_str(), "501 characters"),
        ("to\tmorrow", "control"),
        ("\u{202e}desrever", "control"),
    ] {
        let problem = with("/called", "towpath-reason", text).await.problem();
        assert_eq!(problem.status, 422, "{text:?}");
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    let bytes = axum::http::HeaderValue::from_bytes(b"not \xff UTF-8").unwrap();
    let mut asked = request("GET", "/called").body(Body::empty()).unwrap();
    asked.headers_mut().insert("towpath-reason", bytes);
    let problem = send(&routes(), asked).await.problem();
    assert!(problem.detail.contains("UTF-8"), "{}", problem.detail);
    let twice = request("GET", "/called")
        .header("towpath-reason", "one")
        .header("towpath-reason", "two");
    let problem = send(&routes(), twice.body(Body::empty()).unwrap())
        .await
        .problem();
    assert!(problem.detail.contains("twice"), "{}", problem.detail);
}
