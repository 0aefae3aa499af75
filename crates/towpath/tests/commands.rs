//! The commands, as a person or a script sees them: words, streams and exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written in place")]
#![allow(clippy::format_collect, reason = "a test may allocate")]

mod support;

use axum::{
    Json, Router,
    extract::Query,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse as _,
    routing::{delete, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};
use support::{CORRELATION, deployment, document, event, platform, towpath};

/// Times and durations differ from run to run.
fn steady(text: &str) -> String {
    let mut settings = String::new();
    for line in text.lines() {
        let line = match line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((_, rest)) => format!("[time]{rest}"),
            None => line.to_owned(),
        };
        settings.push_str(&line);
        settings.push('\n');
    }
    settings
}

#[tokio::test]
async fn help_shows_every_command() {
    let ended = towpath(([127, 0, 0, 1], 1).into(), &["--help"]).await;
    assert_eq!(ended.code, 0);
    insta::assert_snapshot!(ended.out.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[tokio::test]
async fn without_a_platform_it_is_said_how_to_get_one() {
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = silent.local_addr().unwrap();
    let ended = towpath(address, &["status"]).await;
    assert_eq!(ended.code, 7);
    let expected = format!(
        "error: no platform answers at http://{address}\nhelp: start one with `towpath up`, or name another with --server\n"
    );
    assert_eq!(ended.err, expected);
    assert_eq!(ended.out, "");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_its_code() {
    let nowhere = ([127, 0, 0, 1], 1).into();
    for arguments in [
        &["fly"][..],
        &["get", "clouds"],
        &["env", "create"],
        &["deploy"],
    ] {
        assert_eq!(towpath(nowhere, arguments).await.code, 2, "{arguments:?}");
    }
    let ended = towpath(nowhere, &["env", "create", "x", "--ttl", "soon"]).await;
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("write it as 90s, 30m, 8h or 2d"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn each_refusal_has_its_exit_code() {
    for (status, code) in [
        (422, 3),
        (413, 3),
        (401, 5),
        (403, 5),
        (404, 4),
        (409, 6),
        (500, 1),
    ] {
        let router = Router::new().route(
            "/v1/environments/dev",
            get(move || async move {
                let problem = json!({
                    "detail": "it is so", "remedy": "mend it", "correlation": CORRELATION,
                    "problems": [{"rule": "api/name", "message": "a bad name", "path": "name"}],
                });
                (StatusCode::from_u16(status).unwrap(), Json(problem))
            }),
        );
        let ended = towpath(platform(router).await, &["get", "env", "dev"]).await;
        assert_eq!(ended.code, code, "status {status}");
        assert_eq!(
            ended.err,
            "error: it is so\n\nname: a bad name [api/name]\n\nhelp: mend it\n"
        );
    }
}

#[tokio::test]
async fn a_host_that_is_taken_is_a_conflict_and_not_a_mistake() {
    for (rules, code) in [
        (&["route/taken"][..], 6),
        (&["route/taken", "route/taken"], 6),
        (&["route/taken", "score/name"], 3),
        (&[], 3),
    ] {
        let problems: Vec<_> = rules
            .iter()
            .map(|rule| json!({"rule": rule, "message": "it is so", "path": "x"}))
            .collect();
        let router = Router::new().fallback(move || async move {
            let problem = json!({"detail": "it cannot be deployed", "problems": problems});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(problem))
        });
        let ended = towpath(platform(router).await, &["get", "env", "dev"]).await;
        assert_eq!(ended.code, code, "{rules:?}");
    }
}

#[tokio::test]
async fn programs_get_json_errors_too() {
    let router = Router::new().fallback(|| async {
        let problem = json!({"detail": "environment `dev` does not exist"});
        (StatusCode::NOT_FOUND, Json(problem))
    });
    let ended = towpath(platform(router).await, &["get", "env", "dev", "-o", "json"]).await;
    assert_eq!(ended.code, 4);
    let error: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(error["message"], "environment `dev` does not exist");
}

#[tokio::test]
async fn the_token_of_the_data_directory_is_sent() {
    let router = Router::new().route(
        "/v1/routes",
        get(|headers: HeaderMap| async move {
            assert_eq!(headers[header::AUTHORIZATION], "Bearer token-1");
            Json(json!({"items": []}))
        }),
    );
    let ended = towpath(platform(router).await, &["get", "routes"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "No routes.\n"));
}

#[tokio::test]
async fn a_rollback_is_followed_to_its_end() {
    let router = following(json!({"phase": "succeeded"}), "succeeded", "pass");
    let ended = towpath(platform(router).await, &["rollback"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    insta::assert_snapshot!(steady(&ended.err));
    let (first, urls) = ended.out.split_once('\n').unwrap();
    assert!(
        first.starts_with("deployment d-2 to dev succeeded in "),
        "{first}"
    );
    assert_eq!(urls, "  http://notes.dev.localhost:7080\n");
}

#[tokio::test]
async fn a_failure_ends_with_its_diagnosis() {
    let failure = json!({
        "phase": "rolled-back",
        "failure": {
            "step": "observe", "subject": "workload notes", "message": "container web: exit code 1",
            "log": ["starting", "no database"], "remedy": "see `towpath logs notes --env dev`",
            "returnedTo": "d-1",
        },
    });
    let router = following(failure, "rolled-back", "fail");
    let ended = towpath(platform(router).await, &["rollback"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""));
    let told = ended.err.split_once("error: ").unwrap().1;
    let (first, diagnosis) = told.split_once('\n').unwrap();
    assert!(
        first.starts_with(
            "deployment d-2 to dev failed, and the last good release goes on serving ("
        ),
        "{first}"
    );
    insta::assert_snapshot!(diagnosis);
}

#[tokio::test]
async fn a_wait_that_is_too_short_ends_with_its_code() {
    let router = following(json!({"phase": "creating"}), "creating", "pass");
    let ended = towpath(
        platform(router).await,
        &["rollback", "--wait-timeout", "1s"],
    )
    .await;
    assert_eq!(ended.code, 8, "{}", ended.err);
    assert!(
        ended
            .err
            .contains("it goes on; see `towpath describe deployment d-2")
    );
}

/// A platform on which a rollback begins, and ends with `status`.
fn following(status: Value, last: &'static str, outcome: &'static str) -> Router {
    let looks = Arc::new(AtomicUsize::new(0));
    let resource = "ResourceInstance/dev/postgres-default-notes-db";
    let events = [
        event(
            1,
            "resource-instance.failed",
            resource,
            "fail",
            json!({"message": "connection refused"}),
        ),
        event(
            2,
            "resource-instance.ready",
            resource,
            "pass",
            json!({"summary": "database notes"}),
        ),
        event(
            3,
            "workload.ready",
            "Workload/dev/notes",
            "pass",
            json!({"release": 2}),
        ),
        event(
            4,
            &format!("deployment.{last}"),
            "Deployment/dev/d-2",
            outcome,
            json!({}),
        ),
    ];
    let stream: String = events
        .iter()
        .map(|event| format!("id: {}\ndata: {event}\n\n", event["seq"]))
        .collect();
    Router::new()
        .route(
            "/v1/environments/dev/rollbacks",
            post(|| async {
                (
                    StatusCode::ACCEPTED,
                    Json(deployment(json!({"phase": "pending"}))),
                )
            }),
        )
        .route(
            "/v1/environments/dev/deployments/d-2",
            get(move || async move {
                // Not at the first look, so that there is something to wait for.
                let early = looks.fetch_add(1, Ordering::SeqCst) < 4;
                let open =
                    json!({"phase": "creating", "waitingFor": ["postgres.default#notes.db"]});
                Json(deployment(if early { open } else { status }))
            }),
        )
        .route(
            "/v1/events",
            get(
                move |Query(query): Query<HashMap<String, String>>, headers: HeaderMap| async move {
                    assert_eq!(query["correlation"], CORRELATION);
                    if headers["Last-Event-ID"] != "0" {
                        std::future::pending::<()>().await;
                    }
                    ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
                },
            ),
        )
}

#[tokio::test]
async fn a_removal_ends_once_the_platform_finds_nothing() {
    let looks = Arc::new(AtomicUsize::new(0));
    let router = Router::new().route(
        "/v1/environments/pr-1",
        delete(|Query(query): Query<HashMap<String, String>>| async move {
            assert_eq!(query["data"], "remove");
            (StatusCode::ACCEPTED, Json(json!({})))
        })
        .get(move || async move {
            if looks.fetch_add(1, Ordering::SeqCst) < 2 {
                let spec = json!({"role": "dev", "engine": "process", "createdBy": "x"});
                let status = json!({"remaining": ["database tp_1: the server is away"]});
                Json(document("Environment", "", "pr-1", spec, status)).into_response()
            } else {
                let gone = Json(json!({"detail": "environment `pr-1` does not exist"}));
                (StatusCode::NOT_FOUND, gone).into_response()
            }
        }),
    );
    let arguments = ["delete", "environment", "pr-1", "--with-data"];
    let ended = towpath(platform(router).await, &arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.err, "waiting: database tp_1: the server is away\n");
    assert_eq!(ended.out, "environment pr-1 is gone\n");
}

#[tokio::test]
async fn data_is_not_lost_by_a_slip() {
    let router = Router::new().route(
        "/v1/environments/dev/resources/db-1",
        get(|| async {
            let spec = json!({
                "node": "postgres.default#notes.db",
                "definition": {"name": "postgres-default", "revision": 1},
                "provisioner": "postgres", "params": {}, "holdsData": true, "rotation": 1,
                "correlation": CORRELATION, "team": "default", "role": "dev",
            });
            let status = json!({"phase": "ready", "observedGeneration": 1});
            Json(document("ResourceInstance", "dev", "db-1", spec, status))
        }),
    );
    // There is no DELETE: it must not come that far.
    let ended = towpath(platform(router).await, &["resource", "delete", "db-1"]).await;
    assert_eq!(ended.code, 6, "{}", ended.err);
    assert!(ended.err.contains("--with-data"), "{}", ended.err);
}

#[tokio::test]
async fn secrets_are_shown_only_by_name() {
    let router = Router::new().route(
        "/v1/environments/dev/resources/db-1/outputs",
        get(|Query(query): Query<HashMap<String, String>>| async move {
            let revealed = query.get("reveal").map(|name| (name.clone(), "canary"));
            let revealed: HashMap<_, _> = revealed.into_iter().collect();
            Json(json!({
                "outputs": {"host": "127.0.0.1", "port": 5432},
                "secrets": ["password"],
                "revealed": revealed,
            }))
        }),
    );
    let address = platform(router).await;
    let ended = towpath(address, &["resource", "outputs", "db-1"]).await;
    insta::assert_snapshot!(ended.out);
    let ended = towpath(
        address,
        &["resource", "outputs", "db-1", "--reveal", "password"],
    )
    .await;
    assert!(ended.out.contains("canary"), "{}", ended.out);
}

#[tokio::test]
async fn events_are_lines_and_json_lines() {
    let router = Router::new().route(
        "/v1/events",
        get(|Query(query): Query<HashMap<String, String>>| async move {
            let first = query.get("after").is_none_or(|after| after == "0");
            let items = if first {
                vec![
                    event(
                        1,
                        "deployment.requested",
                        "Deployment/dev/d-1",
                        "pass",
                        json!({}),
                    ),
                    event(
                        2,
                        "deployment.failed",
                        "Deployment/dev/d-1",
                        "fail",
                        json!({"failure": {"subject": "workload notes", "message": "exit code 1"}}),
                    ),
                    event(
                        3,
                        "authorization.refused",
                        "Environment/prod",
                        "fail",
                        json!({
                            "action": "deployment.create",
                            "reasons": [{
                                "rule": "authz/team", "path": "",
                                "message": "only members of team payments may",
                            }],
                        }),
                    ),
                    event(
                        4,
                        "deployment.refused",
                        "Environment/prod",
                        "fail",
                        json!({"decision": {"denials": [
                            {"rule": "image/tag", "message": "image `web:latest` is not pinned"},
                        ]}}),
                    ),
                ]
            } else {
                vec![]
            };
            Json(json!({"items": items, "next": 4}))
        }),
    );
    let address = platform(router).await;
    let ended = towpath(address, &["events"]).await;
    insta::assert_snapshot!(ended.out);
    let ended = towpath(address, &["events", "-o", "json"]).await;
    let seqs: Vec<i64> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<kernel::Event>(line).unwrap().seq)
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn events_are_asked_for_by_team_actor_and_time() {
    let router = Router::new().route(
        "/v1/events",
        get(|Query(query): Query<HashMap<String, String>>| async move {
            let asked = json!({
                "team": query.get("team"), "actor": query.get("actor"), "since": query.get("since"),
            });
            let first = !query.contains_key("after");
            let items = first.then(|| event(1, "asked", "Environment/dev", "pass", asked));
            Json(json!({"items": Vec::from_iter(items), "next": 1}))
        }),
    );
    let address = platform(router).await;
    let since = "2025-01-01T00:00:00Z";
    let given = ["events", "--team", "payments", "--actor", "local:ada"];
    let given = [&given[..], &["--since", since, "-o", "json"]].concat();
    let ended = towpath(address, &given).await;
    let event: kernel::Event = serde_json::from_str(ended.out.trim()).unwrap();
    let asked = json!({"team": "payments", "actor": "local:ada", "since": since});
    assert_eq!(event.data, asked);
    let ended = towpath(address, &["events", "--since", "yesterday"]).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
}

/// A platform whose provider answers the polls of a device with these codes, and writes down when.
async fn provider(codes: &'static [&'static str]) -> (String, Arc<Mutex<Vec<Instant>>>) {
    let polls = Arc::new(Mutex::new(Vec::new()));
    let (seen, listener) = (
        polls.clone(),
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({
        "issuer": issuer,
        "device_authorization_endpoint": format!("{issuer}/device/code"),
        "token_endpoint": format!("{issuer}/token"),
        "revocation_endpoint": format!("{issuer}/revoke"),
    });
    let device = json!({
        "device_code": "device", "user_code": "BCDF-GHJK", "expires_in": 60, "interval": 1,
        "verification_uri": format!("{issuer}/device"),
    });
    let router = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(move || async move { Json(metadata) }),
        )
        .route("/device/code", post(move || async move { Json(device) }))
        .route(
            "/token",
            post(move || async move {
                let mut seen = seen.lock().unwrap();
                let code = codes[seen.len().min(codes.len() - 1)];
                seen.push(Instant::now());
                (StatusCode::BAD_REQUEST, Json(json!({ "error": code })))
            }),
        );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (issuer, polls)
}

#[tokio::test]
async fn a_login_asks_as_often_as_it_is_told_to() {
    let codes = &["authorization_pending", "slow_down", "expired_token"];
    let (issuer, polls) = provider(codes).await;
    let home = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["login", "--server", &issuer])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("BCDF-GHJK"), "{said}");
    assert!(said.contains("before its code ended"), "{said}");
    let polls = polls.lock().unwrap();
    let second = std::time::Duration::from_secs(1);
    assert!(polls[0] - begun >= second);
    assert!(polls[1] - polls[0] >= second);
    assert!(polls[2] - polls[1] >= 6 * second, "five seconds more");
}

#[tokio::test]
async fn where_no_platform_runs_none_is_guessed() {
    let data = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["status", "--data", data.path().to_str().unwrap()])
        .env_clear()
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = format!("no platform runs in {}", data.path().display());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test]
async fn a_token_file_that_is_not_there_is_not_found() {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let ended = towpath(nowhere, &["status", "--token-file", "/nowhere/token"]).await;
    assert_eq!(ended.code, 4, "{}", ended.err);
    assert!(ended.err.contains("/nowhere/token"), "{}", ended.err);
}
