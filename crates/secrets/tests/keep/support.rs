//! The routes on a store of their own, with the platform's rules, and callers known by their tokens.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::Request,
    middleware::from_fn,
};
use kernel::{
    Caller, CallerKind, Error, ErrorKind, Event, EventFilter, Guard, Result, Sealer, Secret, Store,
    http::{Authenticator, Rooms, correlate},
};
use policy::{Bundle, RegoAuthorizer};
use secrets::{Sealed, SecretStore, Secrets, http};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::servers::PostgresDatabase;
use tower::ServiceExt as _;

/// A token is `KIND`, or `KIND TEAM`: `person payments`.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let text = token.expose_str().unwrap_or_default();
        let (kind, team) = text.split_once('.').unwrap_or((text, ""));
        let kind = match kind {
            "admin" => return Ok(Caller::local_admin()),
            "person" => CallerKind::Person,
            "service" => CallerKind::ServiceAccount,
            "deploy" => CallerKind::DeployCredential,
            "agent" => CallerKind::Agent,
            _ => return Err(Error::new(ErrorKind::Unauthenticated, "nobody")),
        };
        Ok(caller(kind, team))
    }
}

/// A caller of a team; a deploy credential is that of `TEAM-dev`.
pub(crate) fn caller(kind: CallerKind, team: &str) -> Caller {
    Caller {
        subject: format!("test:{team}"),
        kind,
        teams: vec![team.to_owned()],
        environment: (kind == CallerKind::DeployCredential).then(|| format!("{team}-dev")),
        admin: false,
        ..Caller::local_admin()
    }
}

/// A store that is gone with the value.
pub(crate) struct Room {
    pub(crate) store: Store,
    _place: (Option<TempDir>, Option<PostgresDatabase>),
}

impl Room {
    pub(crate) async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/store.db", directory.path().display());
        Self {
            store: open(&url).await,
            _place: (Some(directory), None),
        }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = testkit::servers::postgres_database().await?;
        Some(Self {
            store: open(&database.url).await,
            _place: (None, Some(database)),
        })
    }
}

async fn open(url: &str) -> Store {
    Store::open(url, Sealer::generate().unwrap()).await.unwrap()
}

/// The API over a store.
pub(crate) struct Desk {
    pub(crate) room: Room,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) json: Value,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let room = Room::sqlite().await;
        let values = Arc::new(Sealed::new(room.store.clone()));
        Self::on(room, values)
    }

    pub(crate) fn on(room: Room, values: Arc<dyn SecretStore>) -> Self {
        let rules = RegoAuthorizer::new(&Bundle::default()).unwrap();
        let guard = Guard::new(room.store.clone(), Arc::new(rules));
        let secrets = Arc::new(Secrets::new(room.store.clone(), guard, values));
        let router = http::routes(secrets)
            .layer(Extension(Arc::new(Tokens) as Arc<dyn Authenticator>))
            .layer(Extension(Rooms::default()))
            .layer(from_fn(correlate));
        Self { room, router }
    }

    /// What `who` is answered. `if_match` goes along where it is some.
    pub(crate) async fn ask_if(
        &self,
        who: &str,
        method: &str,
        path: &str,
        body: &Value,
        if_match: Option<u64>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1/teams/{path}"))
            .header("authorization", format!("Bearer {who}"));
        if let Some(version) = if_match {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        let response = self
            .router
            .clone()
            .oneshot(request.body(body).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").cloned();
        let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap();
        Answer {
            status,
            etag: etag.map(|etag| etag.to_str().unwrap().to_owned()),
            json: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    pub(crate) async fn ask(&self, who: &str, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_if(who, method, path, body, None).await
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> Answer {
        self.ask(who, "GET", path, &Value::Null).await
    }

    /// Writes a text as a secret's value; gives the version.
    pub(crate) async fn write(&self, path: &str, text: &str) -> u64 {
        let body = json!({ "value": { "value": text } });
        let answer = self.ask("admin", "PUT", path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        answer.json["version"].as_u64().unwrap()
    }

    /// All events of secrets so far, without those of their resources.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let filter = EventFilter {
            subject: Some("TeamSecret".into()),
            ..EventFilter::default()
        };
        let mut all = self.room.store.events(&filter, 0, 1000).await.unwrap();
        all.retain(|event| !event.kind.starts_with(Event::RESOURCE));
        all
    }
}
