//! Logging in, against a provider that answers what a test wants.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::Secret;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use towpath_client::{Client, CodeLogin, DeviceState, Error, Provider, TokenSource};

/// What the token endpoint answers, one after the other, and what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<Vec<(u16, Value)>>>,
    asked: Arc<Mutex<Vec<HashMap<String, String>>>>,
}

async fn token(State(script): State<Script>, form: String) -> Response {
    let url = reqwest::Url::parse(&format!("http://form/?{form}")).unwrap();
    let form = url.query_pairs().into_owned().collect();
    script.asked.lock().unwrap().push(form);
    let (status, body) = script.answers.lock().unwrap().remove(0);
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    (listener, format!("http://{address}"))
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "device_authorization_endpoint": format!("{issuer}/device/code"),
        "token_endpoint": format!("{issuer}/token"),
        "revocation_endpoint": format!("{issuer}/token"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "end_session_endpoint": format!("{issuer}/token"),
        "more": true,
    })
}

/// A provider that describes itself as `metadata` says.
async fn serve(metadata: impl FnOnce(&str) -> Value, script: Script) -> String {
    let (listener, own) = listen().await;
    let document = metadata(&own);
    let device = json!({
        "device_code": "canary-device", "user_code": "BCDF-GHJK", "expires_in": 600,
        "verification_uri": format!("{own}/device"),
    });
    let router = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(move || async move { Json(document) }),
        )
        .route("/device/code", post(move || async move { Json(device) }))
        .route("/token", post(token))
        .with_state(script);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    own
}

async fn provider(answers: Vec<(u16, Value)>) -> (Provider, Script) {
    let script = Script::default();
    *script.answers.lock().unwrap() = answers;
    let server = serve(metadata, script.clone()).await;
    let provider = Provider::discover(&server, "towpath-cli").await.unwrap();
    assert_eq!(provider.issuer(), server);
    (provider, script)
}

fn refusal(code: &str) -> (u16, Value) {
    (
        400,
        json!({ "error": code, "error_description": format!("because of {code}") }),
    )
}

fn tokens() -> (u16, Value) {
    let body = json!({
        "access_token": "canary-access", "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": "canary-refresh", "scope": "openid",
    });
    (200, body)
}

#[tokio::test]
async fn a_device_waits_slows_down_and_is_let_in() {
    let answers = vec![
        refusal("authorization_pending"),
        refusal("slow_down"),
        tokens(),
    ];
    let (provider, script) = provider(answers).await;
    let code = provider.device_start().await.unwrap();
    assert_eq!(code.interval, Duration::from_secs(5), "where none is said");
    let mut states = Vec::new();
    for _ in 0..3 {
        states.push(provider.device_poll(&code.device_code).await.unwrap());
    }
    assert!(matches!(states[0], DeviceState::Pending));
    assert!(matches!(states[1], DeviceState::SlowDown));
    let DeviceState::Approved(tokens) = &states[2] else {
        panic!("{:?}", states[2]);
    };
    assert_eq!(tokens.access.expose_str(), Some("canary-access"));
    assert_eq!(tokens.expires_in, Duration::from_hours(1));
    let shown = format!("{provider:?} {code:?} {states:?}");
    assert!(!shown.contains("canary"), "{shown}");
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0]["client_id"], "towpath-cli");
    assert_eq!(asked[0]["device_code"], "canary-device");
}

#[tokio::test]
async fn every_other_refusal_is_told_with_its_code() {
    let codes = ["access_denied", "expired_token", "invalid_grant"];
    let (provider, _) = provider(codes.iter().map(|code| refusal(code)).collect()).await;
    let device = Secret::from("device");
    for code in codes {
        match provider.device_poll(&device).await.unwrap_err() {
            Error::Grant {
                code: given,
                description,
            } => {
                assert_eq!(given, code);
                assert_eq!(description, format!("because of {code}"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_without_a_word_of_it() {
    let broken = json!({ "access_token": "canary-access", "expires_in": "canary-soon" });
    let answers = vec![
        (200, broken),
        (502, json!("canary")),
        (403, json!("canary")),
    ];
    let (provider, _) = provider(answers).await;
    let refresh = Secret::from("refresh");
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(provider.refresh(&refresh).await.unwrap_err());
    }
    assert!(matches!(errors[0], Error::Protocol { .. }));
    assert!(errors[1].is_transient(), "{:?}", errors[1]);
    assert!(matches!(errors[2], Error::Protocol { .. }));
    let shown = format!("{errors:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn nobody_names_the_issuer_of_another() {
    // It says that users reach it elsewhere: that address is asked, and its word counts.
    let script = Script::default();
    let real = serve(metadata, script.clone()).await;
    let points = real.clone();
    let front = serve(move |_| metadata(&points), script.clone()).await;
    let found = Provider::discover(&front, "towpath-cli").await.unwrap();
    assert_eq!(found.issuer(), real);
    // Whose endpoints are its own, but not its name: the real one is asked, not it.
    let named = real.clone();
    let thief = serve(
        move |own| {
            let mut document = metadata(own);
            document["issuer"] = json!(named);
            document
        },
        script.clone(),
    )
    .await;
    *script.answers.lock().unwrap() = vec![tokens()];
    let found = Provider::discover(&thief, "towpath-cli").await.unwrap();
    assert_eq!(found.issuer(), real);
    let code = found.device_start().await.unwrap();
    assert!(code.verification_uri.starts_with(&real), "{code:?}");
    // Two that point at each other's names.
    let confused = serve(|_| metadata("http://127.0.0.1:1"), script.clone()).await;
    assert!(Provider::discover(&confused, "towpath-cli").await.is_err());
    // Plain http beyond this machine.
    let plain = serve(
        |own| {
            let mut document = metadata(own);
            document["token_endpoint"] = json!("http://towpath.example.com/token");
            document
        },
        script,
    )
    .await;
    for server in [plain.as_str(), "http://towpath.example.com", "ftp://x", "x"] {
        let error = Provider::discover(server, "towpath-cli").await.unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{error:?}");
    }
}

/// Gives `old` until that is refused.
struct Renewed;

#[async_trait::async_trait]
impl TokenSource for Renewed {
    async fn token(
        &self,
        refused: Option<&Secret>,
    ) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        match refused.and_then(Secret::expose_str) {
            None => Ok("old".into()),
            Some("old") => Ok("new".into()),
            Some(_) => Err("asked again and again".into()),
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (listener, own) = listen().await;
    let kept = seen.clone();
    let router = Router::new().route(
        "/v1/{what}",
        get(async move |headers: HeaderMap, path: axum::extract::Path<String>| {
            let token = headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
            let good = token == "Bearer new" && path.0 == "whoami";
            kept.lock().unwrap().push(token);
            if good {
                let who = json!({
                    "subject": "local:ada", "kind": "person", "teams": ["payments"], "admin": false,
                    "groups": ["a"],
                });
                return Json(who).into_response();
            }
            (StatusCode::UNAUTHORIZED, Json(json!({ "detail": "no" }))).into_response()
        }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let client = Client::with_tokens(&own, Arc::new(Renewed)).unwrap();
    let who = client.whoami().await.unwrap();
    assert_eq!(who.subject, "local:ada");
    assert_eq!(who.more["groups"], json!(["a"]));
    assert_eq!(*seen.lock().unwrap(), ["Bearer old", "Bearer new"]);
    let error = client.policies().await.unwrap_err();
    assert!(error.is_unauthenticated(), "{error:?}");
    assert_eq!(seen.lock().unwrap().len(), 4, "no more than once");
    // One that is fixed has no other.
    let fixed = Client::new(&own, Some("old".into())).unwrap();
    assert!(fixed.whoami().await.unwrap_err().is_unauthenticated());
    assert_eq!(seen.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_service_account_is_let_in_by_its_key_or_by_a_token_that_stands_for_it() {
    let wrong = (401, json!({ "error": "invalid_client" }));
    let (provider, script) = provider(vec![tokens(), tokens(), wrong]).await;
    let secret = Secret::from("canary-secret");
    let by_key = provider.client_credentials("payments/ci", &secret).await;
    let by_token = provider.exchange("payments/ci", &secret).await;
    for given in [by_key, by_token] {
        let access = given.unwrap().access;
        assert_eq!(access.expose_str(), Some("canary-access"));
    }
    let refused = provider.client_credentials("payments/ci", &secret).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, Error::Grant { code, .. } if code == "invalid_client"),
        "{refused}"
    );
    assert!(!format!("{refused:?}").contains("canary"));
    let asked = script.asked.lock().unwrap();
    for one in asked.iter() {
        // As itself, and not as the program that people log in with.
        assert_eq!(one["client_id"], "payments/ci");
    }
    assert_eq!(asked[0]["grant_type"], "client_credentials");
    assert_eq!(asked[0]["client_secret"], "canary-secret");
    assert!(asked[1]["grant_type"].ends_with("grant-type:token-exchange"));
    assert!(asked[1]["subject_token_type"].ends_with("token-type:jwt"));
    assert_eq!(asked[1]["subject_token"], "canary-secret");
}

fn login() -> CodeLogin {
    CodeLogin {
        redirect_uri: "http://127.0.0.1/portal/callback".into(),
        state: "a state".into(),
        nonce: "a nonce".into(),
        // RFC 7636, appendix B.
        verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
    }
}

/// Tokens, with an ID token that says this.
fn with_id(claims: &Value) -> (u16, Value) {
    let (status, mut body) = tokens();
    let id = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    body["id_token"] = json!(id);
    (status, body)
}

#[tokio::test]
async fn a_code_is_exchanged_by_who_asked_for_it() {
    let (provider, script) = provider(vec![]).await;
    let issuer = provider.issuer().to_owned();
    let url = reqwest::Url::parse(&provider.authorization_url(&login()).unwrap()).unwrap();
    let asked: HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert!(url.as_str().starts_with(&format!("{issuer}/authorize?")));
    assert_eq!(
        asked["code_challenge"],
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(
        (asked["state"].as_str(), asked["nonce"].as_str()),
        ("a state", "a nonce")
    );
    assert!(!url.as_str().contains("dBjft"), "the verifier stays here");

    let good = json!({ "iss": issuer, "aud": "towpath-cli", "nonce": "a nonce" });
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        with_id(&claims)
    };
    *script.answers.lock().unwrap() = vec![
        with_id(&good),
        changed("nonce", json!("another")),
        changed("nonce", Value::Null),
        changed("aud", json!("another")),
        changed("iss", json!("http://another")),
        tokens(),
    ];
    let code = Secret::from("canary-code");
    let given = provider.code_exchange(&login(), &code).await.unwrap();
    assert_eq!(given.access.expose_str(), Some("canary-access"));
    for _ in 0..5 {
        let refused = provider.code_exchange(&login(), &code).await.unwrap_err();
        assert!(matches!(refused, Error::Protocol { .. }), "{refused:?}");
        assert!(!format!("{refused:?}").contains("canary"));
    }
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0]["grant_type"], "authorization_code");
    assert_eq!(asked[0]["code"], "canary-code");
    assert_eq!(
        asked[0]["code_verifier"],
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

/// A provider whose token endpoint takes requests, and breaks off before it answers.
async fn breaking() -> (Provider, Script) {
    let script = Script::default();
    let asked = script.clone();
    let (listener, own) = listen().await;
    let mut document = metadata(&own);
    let (broken, token) = listen().await;
    document["token_endpoint"] = json!(token);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = broken.accept().await {
            let mut request = vec![0; 1 << 14];
            let read = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let form = HashMap::from([("request".to_owned(), text)]);
            asked.asked.lock().unwrap().push(form);
        }
    });
    let router = Router::new().route(
        "/.well-known/openid-configuration",
        get(move || async move { Json(document) }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let provider = Provider::discover(&own, "towpath-portal").await.unwrap();
    (provider, script)
}

#[tokio::test]
async fn a_code_is_shown_once_though_its_answer_is_lost() {
    let (provider, script) = breaking().await;
    let code = Secret::from("canary-code");
    let lost = provider.code_exchange(&login(), &code).await.unwrap_err();
    assert!(matches!(lost, Error::Broken { .. }), "{lost:?}");
    assert_eq!(script.asked.lock().unwrap().len(), 1);
    // What may be repeated is.
    let lost = provider.refresh(&"refresh".into()).await.unwrap_err();
    assert!(matches!(lost, Error::Broken { .. }), "{lost:?}");
    assert_eq!(script.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_part_of_the_platform_asks_its_provider_where_it_is_itself() {
    // What browsers are told is elsewhere, and not asked.
    let script = Script::default();
    let elsewhere = "https://towpath.example.com";
    *script.answers.lock().unwrap() = vec![tokens(), (200, json!({}))];
    let here = serve(|_| metadata(elsewhere), script.clone()).await;
    let provider = Provider::beside(&here, "towpath-portal").await.unwrap();
    assert_eq!(provider.issuer(), elsewhere);
    let url = provider.authorization_url(&login()).unwrap();
    assert!(
        url.starts_with("https://towpath.example.com/authorize?"),
        "{url}"
    );
    provider.refresh(&"refresh".into()).await.unwrap();
    provider.end_session(&"an ID token".into()).await.unwrap();
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0]["client_id"], "towpath-portal");
    assert_eq!(asked[1]["id_token_hint"], "an ID token");
}
