//! A server that answers as the documented APIs of Vault's KV version 2 and AppRole do.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use kernel::{Caller, ErrorKind, Secret, sealer::PlatformKey};
use secrets::{
    Login, SecretStore, Transit, Vault, VaultConfig, Write,
    model::{Origin, SecretRef},
};
use serde_json::{Value, json};

use crate::support::Room;

/// Versions that the store keeps of a secret where nothing else is said.
const KEPT: u64 = 10;

#[derive(Default)]
struct Kept {
    current: u64,
    oldest: u64,
    versions: BTreeMap<u64, Version>,
    custom: Option<Value>,
}

struct Version {
    data: Value,
    created: Timestamp,
    deleted: Option<Timestamp>,
}

/// What the server is made to do.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Every answer, as where it is sealed.
    pub(crate) refuses_with: Option<(u16, &'static str)>,
    /// The tokens that are good.
    pub(crate) tokens: BTreeSet<String>,
    /// How often somebody has logged in.
    pub(crate) logins: usize,
    /// Requests so far.
    requests: usize,
    /// It is away at this request: before it is done, or before it is answered.
    away_at: Option<(usize, Away)>,
    /// Before the next value is written there, somebody else writes one.
    overtaken: Option<String>,
    secrets: BTreeMap<String, Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Away {
    BeforeItIsDone,
    BeforeItIsAnswered,
}

type Shared = Arc<Mutex<Behaviour>>;

/// The server; it ends with the runtime.
#[derive(Clone)]
pub(crate) struct FakeVault {
    pub(crate) url: String,
    shared: Shared,
}

impl FakeVault {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        shared.lock().unwrap().tokens.insert("root".into());
        let router = Router::new()
            .fallback(answer)
            .layer(from_fn_with_state(shared.clone(), door))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Behaviour> {
        self.shared.lock().unwrap()
    }

    pub(crate) fn store(&self, room: &Room) -> Arc<dyn SecretStore> {
        let config = VaultConfig::new(self.url.as_str(), Login::Token("root".into()));
        Arc::new(Vault::new(&config, room.store.clone()).unwrap())
    }

    /// What somebody has written into Vault by its own means.
    fn wrote(&self, path: &str, data: Value) {
        put(&mut self.lock().secrets, path, data, None).unwrap();
    }
}

fn errors(status: u16, errors: &[&str]) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({ "errors": errors }))).into_response()
}

async fn door(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let away = {
        let mut vault = shared.lock().unwrap();
        vault.requests += 1;
        let now = vault.requests;
        vault
            .away_at
            .filter(|(at, _)| *at == now)
            .map(|(_, away)| away)
    };
    match away {
        Some(Away::BeforeItIsDone) => errors(503, &["away"]),
        Some(Away::BeforeItIsAnswered) => {
            next.run(request).await;
            errors(503, &["away"])
        }
        None => next.run(request).await,
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut vault = shared.lock().unwrap();
    if let Some((status, why)) = vault.refuses_with {
        return errors(status, &[why]);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let path = uri.path().strip_prefix("/v1/").unwrap();
    if path == "auth/approle/login" && method == Method::POST {
        if body["role_id"] != "role" || body["secret_id"] != "canary-secret-id" {
            return errors(400, &["invalid role or secret ID"]);
        }
        vault.logins += 1;
        let token = format!("t-{}", vault.logins);
        vault.tokens.insert(token.clone());
        let auth = json!({ "client_token": token, "lease_duration": 3600, "renewable": true });
        return Json(json!({ "auth": auth })).into_response();
    }
    let token = headers.get("x-vault-token").map(|token| token.to_str());
    if !token.is_some_and(|token| vault.tokens.contains(token.unwrap())) {
        return errors(403, &["permission denied"]);
    }
    let writes = method == Method::POST && path.starts_with("secret/data/");
    if writes && let Some(path) = vault.overtaken.take() {
        put(&mut vault.secrets, &path, json!({ "value": "x" }), None).unwrap();
    }
    let all = &mut vault.secrets;
    if let Some(path) = path.strip_prefix("secret/data/") {
        match method {
            Method::GET => read(all, path, query.get("version")),
            Method::POST => match put(
                all,
                path,
                body["data"].clone(),
                body["options"]["cas"].as_u64(),
            ) {
                Ok(version) => Json(json!({ "data": version })).into_response(),
                Err(refusal) => refusal,
            },
            _ => errors(405, &["unsupported operation"]),
        }
    } else if let Some(path) = path.strip_prefix("secret/metadata/") {
        match method {
            Method::GET if query.contains_key("list") => list(all, path),
            Method::GET => all.get(path).map_or_else(|| errors(404, &[]), metadata),
            Method::POST => {
                let kept = all.entry(path.to_owned()).or_default();
                if body["custom_metadata"].is_object() {
                    kept.custom = Some(body["custom_metadata"].clone());
                }
                StatusCode::NO_CONTENT.into_response()
            }
            Method::DELETE => {
                all.remove(path);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => errors(405, &["unsupported operation"]),
        }
    } else if let Some(key) = path.strip_prefix("transit/encrypt/towpath") {
        assert_eq!(key, "");
        // Reversed is encrypted enough for a test.
        let plain = body["plaintext"].as_str().unwrap().chars().rev();
        let ciphertext = format!("vault:v1:{}", plain.collect::<String>());
        Json(json!({ "data": { "ciphertext": ciphertext, "key_version": 1 } })).into_response()
    } else if path == "transit/decrypt/towpath" {
        let ciphertext = body["ciphertext"].as_str().unwrap();
        let Some(cipher) = ciphertext.strip_prefix("vault:v1:") else {
            return errors(400, &["invalid ciphertext: no prefix"]);
        };
        let plain: String = cipher.chars().rev().collect();
        Json(json!({ "data": { "plaintext": plain } })).into_response()
    } else {
        errors(404, &["no handler for route"])
    }
}

fn put(
    all: &mut BTreeMap<String, Kept>,
    path: &str,
    data: Value,
    cas: Option<u64>,
) -> Result<Value, Response> {
    let current = all.get(path).map_or(0, |kept| kept.current);
    if cas.is_some_and(|cas| cas != current) {
        let why = "check-and-set parameter did not match the current version";
        return Err(errors(400, &[why]));
    }
    let kept = all.entry(path.to_owned()).or_default();
    kept.current += 1;
    let created = Timestamp::now();
    let version = Version {
        data,
        created,
        deleted: None,
    };
    kept.versions.insert(kept.current, version);
    while kept.versions.len() as u64 > KEPT {
        kept.versions.pop_first();
        kept.oldest = *kept.versions.first_key_value().unwrap().0;
    }
    Ok(json!({
        "created_time": created, "custom_metadata": kept.custom, "deletion_time": "",
        "destroyed": false, "version": kept.current,
    }))
}

fn read(all: &BTreeMap<String, Kept>, path: &str, version: Option<&String>) -> Response {
    let Some(kept) = all.get(path) else {
        return errors(404, &[]);
    };
    let number = version.map_or(kept.current, |number| number.parse().unwrap());
    let Some(version) = kept.versions.get(&number) else {
        return errors(404, &[]);
    };
    let status = match version.deleted {
        Some(_) => StatusCode::NOT_FOUND,
        None => StatusCode::OK,
    };
    let data = version.deleted.is_none().then_some(&version.data);
    let metadata = json!({
        "created_time": version.created, "custom_metadata": kept.custom,
        "deletion_time": deletion(version), "destroyed": false, "version": number,
    });
    let body = json!({ "data": { "data": data, "metadata": metadata } });
    (status, Json(body)).into_response()
}

fn deletion(version: &Version) -> String {
    version
        .deleted
        .map_or_else(String::new, |time| time.to_string())
}

fn metadata(kept: &Kept) -> Response {
    let versions: serde_json::Map<_, _> = kept
        .versions
        .iter()
        .map(|(number, version)| {
            let shown = json!({
                "created_time": version.created, "deletion_time": deletion(version),
                "destroyed": false,
            });
            (number.to_string(), shown)
        })
        .collect();
    Json(json!({ "data": {
        "cas_required": false, "current_version": kept.current, "custom_metadata": kept.custom,
        "delete_version_after": "0s", "max_versions": KEPT, "oldest_version": kept.oldest,
        "versions": versions,
    }}))
    .into_response()
}

fn list(all: &BTreeMap<String, Kept>, path: &str) -> Response {
    let below = format!("{}/", path.trim_end_matches('/'));
    let keys: BTreeSet<String> = all
        .keys()
        .filter_map(|key| key.strip_prefix(&below))
        .map(|rest| match rest.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => rest.to_owned(),
        })
        .collect();
    if keys.is_empty() {
        return errors(404, &[]);
    }
    Json(json!({ "data": { "keys": keys } })).into_response()
}

fn one() -> SecretRef {
    SecretRef::new("payments", "stripe/api-key").unwrap()
}

fn write(text: &str) -> Write {
    Write {
        value: Secret::from(text),
        description: None,
        origin: Origin::Written,
        expected: None,
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_neither_there_nor_gone() {
    let room = Room::sqlite().await;
    let vault = FakeVault::start().await;
    let values = vault.store(&room);
    let by = Caller::local_admin();
    values.put(&by, &one(), write("canary")).await.unwrap();
    for (status, why, word) in [
        (503, "Vault is sealed", "sealed"),
        (403, "permission denied", "does not let"),
        (429, "", "standby"),
        (307, "", "standby"),
        (500, "internal error", "failed"),
        (412, "required index state not present", "failed"),
    ] {
        vault.lock().refuses_with = Some((status, why));
        let answers = [
            values.get(&one(), None).await.unwrap_err(),
            values.info(&one()).await.unwrap_err(),
            values.list(&one().team).await.unwrap_err(),
            values.put(&by, &one(), write("canary")).await.unwrap_err(),
            values.delete(&by, &one(), None).await.unwrap_err(),
        ];
        for error in answers {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{status} {error:?}");
            assert!(error.message.contains(word), "{status} {}", error.message);
            assert!(error.remedy.is_some());
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
    vault.lock().refuses_with = None;
    assert!(values.get(&one(), None).await.unwrap().is_some());

    let nobody = VaultConfig::new("http://127.0.0.1:1", Login::Token("root".into()));
    let away = Vault::new(&nobody, room.store.clone()).unwrap();
    let error = away.get(&one(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_role_logs_in_once_and_again_when_its_token_has_ended() {
    let room = Room::sqlite().await;
    let vault = FakeVault::start().await;
    let login = |secret_id: &str| Login::AppRole {
        mount: "approle".into(),
        role_id: "role".into(),
        secret_id: secret_id.into(),
    };
    let config = VaultConfig::new(vault.url.as_str(), login("canary-secret-id"));
    let values = Vault::new(&config, room.store.clone()).unwrap();
    let by = Caller::local_admin();
    let secret = one();
    let (a, b, c) = tokio::join!(
        values.info(&secret),
        values.info(&secret),
        values.put(&by, &secret, write("a"))
    );
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(vault.lock().logins, 1);
    vault.lock().tokens.remove("t-1");
    assert!(values.get(&one(), None).await.unwrap().is_some());
    assert_eq!(vault.lock().logins, 2);

    let config = VaultConfig::new(vault.url.as_str(), login("canary-wrong"));
    let wrong = Vault::new(&config, room.store.clone()).unwrap();
    let error = wrong.get(&one(), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("does not let the platform in"));
    let shown = format!("{config:?} {error:?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn what_others_write_in_vault_is_read() {
    let room = Room::sqlite().await;
    let vault = FakeVault::start().await;
    let values = vault.store(&room);
    let path = "towpath/payments/stripe/api-key";
    vault.wrote(path, json!({ "value": "theirs", "more": 1 }));
    let found = values.get(&one(), None).await.unwrap().unwrap();
    assert_eq!(found.value.expose_str(), Some("theirs"));
    assert_eq!(values.list(&one().team).await.unwrap().len(), 1);

    vault.wrote(path, json!({ "password": "canary" }));
    let error = values.get(&one(), None).await.unwrap_err();
    assert!(error.message.contains("no field `value`"), "{error:?}");
    assert!(!format!("{error:?} {}", error.chain()).contains("canary"));

    // Deleted there, and still there to be undeleted: to us there is none, and the numbers go on.
    let now = Some(Timestamp::now());
    vault
        .lock()
        .secrets
        .get_mut(path)
        .unwrap()
        .versions
        .get_mut(&2)
        .unwrap()
        .deleted = now;
    assert_eq!(values.get(&one(), None).await.unwrap(), None);
    assert_eq!(values.info(&one()).await.unwrap(), None);
    assert_eq!(values.list(&one().team).await.unwrap(), []);
    let first = Write {
        expected: Some(0),
        ..write("ours")
    };
    let info = values
        .put(&Caller::local_admin(), &one(), first)
        .await
        .unwrap();
    assert_eq!(info.version, 3);
}

#[tokio::test]
async fn the_platforms_key_is_encrypted_by_transit() {
    let vault = FakeVault::start().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("platform.key");
    let config = VaultConfig::new(vault.url.as_str(), Login::Token("root".into()));
    let transit = Transit::new(&config, "towpath").unwrap();
    let drawn = PlatformKey::from_file(&path, Some(&transit)).await.unwrap();
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.starts_with("vault:v1:"), "{kept}");
    let again = PlatformKey::from_file(&path, Some(&transit)).await.unwrap();
    assert_eq!(again.id(), drawn.id());
    assert!(again.is_wrapped());

    let alone = PlatformKey::from_file(&path, None).await.unwrap_err();
    assert_eq!(alone.kind, ErrorKind::Invalid);
    assert!(alone.remedy.unwrap().contains("--key-transit"));
    let other = Transit::new(&config, "other").unwrap();
    let missing = PlatformKey::from_file(&path, Some(&other))
        .await
        .unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Unavailable);
    vault.lock().refuses_with = Some((503, "Vault is sealed"));
    let sealed = PlatformKey::from_file(&path, Some(&transit))
        .await
        .unwrap_err();
    assert_eq!(sealed.kind, ErrorKind::Unavailable);
    // A key of before, in a file as it was before there was a service, opens beside it.
    let plain = directory.path().join("former.key");
    let former = PlatformKey::from_file(&plain, None).await.unwrap();
    let read = PlatformKey::from_existing(&plain, Some(&transit))
        .await
        .unwrap();
    assert_eq!(read.id(), former.id());
    assert!(!read.is_wrapped(), "nobody takes it as guarded");
    let nowhere = directory.path().join("none.key");
    let absent = PlatformKey::from_existing(&nowhere, None)
        .await
        .unwrap_err();
    assert_eq!(absent.kind, ErrorKind::Invalid);
    assert!(!nowhere.exists(), "nothing is made in its place");
}

#[tokio::test]
async fn what_is_not_usable_is_refused_at_the_start() {
    let room = Room::sqlite().await;
    let with = |url: &str, mount: &str, path: &str| {
        let config = VaultConfig {
            mount: mount.into(),
            path: path.into(),
            ..VaultConfig::new(url, Login::Token("root".into()))
        };
        Vault::new(&config, room.store.clone()).map(drop)
    };
    let url = "https://vault.example.com:8200";
    with(url, "secret", "towpath/{team}").unwrap();
    with(url, "kv/apps", "{team}").unwrap();
    for (url, mount, path) in [
        (url, "secret", "towpath"),
        (url, "secret", "{team}/{team}"),
        (url, "secret", "/{team}"),
        (url, "", "{team}"),
        (url, "..", "{team}"),
        ("vault.example.com", "secret", "{team}"),
        ("ftp://vault.example.com", "secret", "{team}"),
        ("https://u:canary@vault.example.com", "secret", "{team}"),
    ] {
        let error = with(url, mount, path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{url} {mount} {path}");
        assert!(error.remedy.is_some() && !format!("{error:?}").contains("canary"));
    }
}

/// A value is never there without what is said of it, nor said to be what it is not yet.
#[tokio::test]
async fn what_a_value_is_for_is_known_wherever_a_write_was_killed() {
    let by = crate::support::caller(kernel::CallerKind::System, "payments");
    let key = |text: &str| Write {
        value: Secret::from(text),
        description: Some("key of service account payments/ci".into()),
        origin: Origin::DeployCredential,
        expected: None,
    };
    for before in [None, Some("theirs")] {
        for away in [Away::BeforeItIsDone, Away::BeforeItIsAnswered] {
            let mut killed = 0;
            for at in 1..=6 {
                let room = Room::sqlite().await;
                let vault = FakeVault::start().await;
                let values = vault.store(&room);
                if let Some(before) = before {
                    values.put(&by, &one(), write(before)).await.unwrap();
                }
                {
                    let mut vault = vault.lock();
                    vault.away_at = Some((vault.requests + at, away));
                }
                let put = async |text: &str| values.put(&by, &one(), key(text)).await;
                killed += usize::from(put("first").await.is_err());
                vault.lock().away_at = None;
                let newest = values.get(&one(), None).await.unwrap();
                let origin = values.info(&one()).await.unwrap().map(|info| info.origin);
                let text = newest.as_ref().and_then(|newest| newest.value.expose_str());
                let expected = match text {
                    Some("first") => Some(Origin::DeployCredential),
                    text => text.map(|_| Origin::Written),
                };
                assert_eq!(origin, expected, "{before:?} {away:?} at {at}: {text:?}");
                // Done again it is what it should be, and the next one, too.
                for text in ["first", "second"] {
                    let info = put(text).await.unwrap();
                    assert_eq!(info.origin, Origin::DeployCredential);
                    assert_eq!(info.description, "key of service account payments/ci");
                }
                // Somebody else's is somebody else's.
                let info = values.put(&by, &one(), write("theirs")).await.unwrap();
                assert_eq!(info.origin, Origin::Written);
            }
            assert!(killed >= 3, "{before:?} {away:?}");
        }
    }
}

#[tokio::test]
async fn what_is_said_for_a_version_that_another_wrote_is_taken_back() {
    let room = Room::sqlite().await;
    let vault = FakeVault::start().await;
    let by = crate::support::caller(kernel::CallerKind::Person, "payments");
    let values = vault.store(&room);
    values.put(&by, &one(), write("theirs")).await.unwrap();
    // Written by Vault's own means at the very moment.
    vault.lock().overtaken = Some("towpath/payments/stripe/api-key".into());
    let generated = Write {
        origin: Origin::Generated,
        expected: Some(1),
        ..write("ours")
    };
    let refused = values.put(&by, &one(), generated).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    let info = values.info(&one()).await.unwrap().unwrap();
    assert_eq!((info.version, info.origin), (2, Origin::Written));
}
