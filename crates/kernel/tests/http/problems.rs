//! Errors, as callers see them.

use axum::{Router, body::Body, http::Request, routing::get};
use kernel::{Caller, Error, ErrorKind, Problem, Result, http::AdminToken};
use uuid::Uuid;

use crate::support::{self, TOKEN, request, send, service};

async fn whoami(caller: Caller) -> String {
    format!("{} {}", caller.subject, caller.correlation)
}

#[tokio::test]
async fn each_kind_has_its_status_and_its_type() {
    use ErrorKind::{
        AlreadyExists, Conflict, Forbidden, Internal, Invalid, NotFound, TooLarge, Unauthenticated,
        Unavailable,
    };
    for (kind, status, word) in [
        (Invalid, 422, "invalid"),
        (Unauthenticated, 401, "unauthenticated"),
        (Forbidden, 403, "forbidden"),
        (NotFound, 404, "not-found"),
        (Conflict, 409, "conflict"),
        (AlreadyExists, 409, "already-exists"),
        (TooLarge, 413, "too-large"),
        (Unavailable, 503, "unavailable"),
        (Internal, 500, "internal"),
    ] {
        let fails = move || async move {
            let error = Error::new(kind, "what is wrong").remedy("what helps");
            Result::<()>::Err(error)
        };
        let service = service(Router::new().route("/", get(fails)));
        let answer = support::get(&service, "/").await;
        let problem = answer.problem();
        assert_eq!(problem.status, status);
        assert_eq!(
            problem.type_uri,
            format!("https://towpath.dev/problems/{word}")
        );
        let shown = kind != Internal;
        assert_eq!(problem.detail == "what is wrong", shown);
        assert_eq!(problem.remedy.as_deref() == Some("what helps"), shown);
    }
}

#[tokio::test]
async fn a_revision_that_is_not_the_present_one_fails_its_precondition() {
    let meta = kernel::Meta::new("", "it");
    let fails = move || {
        let refused = meta.require_revision(Some(7));
        async move { refused }
    };
    let service = service(Router::new().route("/", get(fails)));
    let problem = support::get(&service, "/").await.problem();
    assert_eq!(problem.status, 412);
    let expected = "https://towpath.dev/problems/precondition-failed";
    assert_eq!(problem.type_uri, expected);
    assert!(problem.detail.contains("not 7"), "{problem:?}");
    assert!(problem.remedy.is_some());
}

#[tokio::test]
async fn nothing_of_the_inside_is_shown() {
    let fails = || async {
        let mut error = Error::internal("canary context", "canary source");
        error.problems = vec![Problem::new("canary", "canary", "canary")];
        Result::<()>::Err(error.remedy("canary"))
    };
    let service = service(Router::new().route("/", get(fails)));
    let answer = support::get(&service, "/").await;
    answer.problem();
    assert!(!String::from_utf8(answer.body).unwrap().contains("canary"));
}

#[tokio::test]
async fn a_request_keeps_the_correlation_that_it_brings() {
    let service = service(Router::new().route("/", get(whoami)));
    let id = Uuid::now_v7();
    let brings = request("GET", "/").header("correlation-id", id.to_string());
    let answer = send(&service, brings.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers["correlation-id"], id.to_string());
    let expected = format!("local-admin {id}");
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    let forged = request("GET", "/").header("correlation-id", "not a uuid");
    let answer = send(&service, forged.body(Body::empty()).unwrap()).await;
    assert!(answer.status.is_success());
    assert_ne!(answer.headers["correlation-id"], "not a uuid");
}

#[tokio::test]
async fn only_the_token_lets_in() {
    let service = service(Router::new().route("/", get(whoami)));
    let wrong = format!("Bearer {}", TOKEN.to_uppercase());
    let longer = format!("Bearer {TOKEN}x");
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", &wrong, &longer] {
        let mut request = Request::get("/");
        if !header.is_empty() {
            request = request.header("authorization", header);
        }
        let answer = send(&service, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.problem().status, 401, "{header}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert!(support::get(&service, "/").await.status.is_success());
}

#[test]
fn the_admin_token_is_made_once_and_kept_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.token");
    let made = AdminToken::from_file(&path).unwrap();
    assert!(made.token().expose().len() >= 32);
    let again = AdminToken::from_file(&path).unwrap();
    assert_eq!(made.token(), again.token());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = AdminToken::from_file(&path).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.remedy.unwrap().starts_with("run: chmod 600"));
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_too() {
    let service = service(Router::new());
    let problem = support::get(&service, "/v1/nothing").await.problem();
    assert_eq!(problem.status, 404);
    assert!(problem.detail.contains("/v1/nothing"));
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_problem_too() {
    let service = service(Router::new().route("/v1/things", get(whoami).put(whoami)));
    let request = request("POST", "/v1/things").body(Body::empty()).unwrap();
    let answer = send(&service, request).await;
    let problem = answer.problem();
    assert_eq!(problem.status, 405);
    assert_eq!(
        problem.type_uri,
        "https://towpath.dev/problems/method-not-allowed"
    );
    assert!(problem.detail.contains("/v1/things") && problem.detail.contains("POST"));
    assert!(
        problem
            .remedy
            .is_some_and(|remedy| remedy.contains("Allow"))
    );
    assert_eq!(answer.headers["allow"], "GET,HEAD,PUT");
}
