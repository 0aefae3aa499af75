//! A platform's log over a store, spoken to through its routes.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, header},
    middleware::from_fn,
    response::Response,
};
use futures::StreamExt as _;
use kernel::{
    Action, Authorizer, Beginnings, Caller, CallerKind, Guard, Ruling, Sealer, Secret, Store,
    Target,
    http::{Authenticator, Rooms, correlate},
};
use publications::{Counts, Publications};
use serde_json::{Value, json};
use testkit::servers::PostgresDatabase;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const STRUCTURED: &str = "application/cloudevents+json";
pub(crate) const BATCH: &str = "application/cloudevents-batch+json";

/// Members do everything with what is their team's; operators do everything.
struct Members;

impl Authorizer for Members {
    fn decide(&self, caller: &Caller, _: Action, target: &Target<'_>) -> Ruling {
        Ruling {
            allowed: caller.admin || caller.teams.iter().any(|team| team == target.team),
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// The teams that there are.
struct Teams;

#[async_trait]
impl Beginnings for Teams {
    fn of(&self, _: &str) -> Option<jiff::Timestamp> {
        None
    }

    async fn is_there(&self, team: &str) -> kernel::Result<bool> {
        Ok(["pay", "shop"].contains(&team))
    }
}

/// The token is the team's name, several teams' with `+` between them, `nobody` who is in none, or `admin`.
struct Tokens;

#[async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, token: &Secret) -> kernel::Result<Caller> {
        let token = token.expose_str().unwrap_or_default();
        let admin = Caller::local_admin();
        Ok(match token {
            "admin" => admin,
            teams => Caller {
                subject: format!("account:{teams}/ci"),
                kind: CallerKind::ServiceAccount,
                teams: match teams {
                    "nobody" => vec![],
                    teams => teams.split('+').map(str::to_owned).collect(),
                },
                admin: false,
                ..admin
            },
        })
    }
}

/// Where replicas keep their log; gone with the value.
pub(crate) struct Database {
    url: String,
    sealer: Sealer,
    _directory: Option<tempfile::TempDir>,
    server: Option<PostgresDatabase>,
}

impl Database {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite://{}/store.db", directory.path().display()),
            sealer: Sealer::generate().unwrap(),
            _directory: Some(directory),
            server: None,
        }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = testkit::servers::postgres_database().await?;
        Some(Self {
            url: database.url.clone(),
            sealer: Sealer::generate().unwrap(),
            _directory: None,
            server: Some(database),
        })
    }

    pub(crate) async fn replica(&self) -> Replica {
        Replica::new(Store::open(&self.url, self.sealer.clone()).await.unwrap())
    }

    /// A second replica, where the database can have one; else another client of the first.
    pub(crate) async fn second(&self, first: &Replica) -> Replica {
        match self.server {
            Some(_) => self.replica().await,
            None => Replica::new(first.store.clone()),
        }
    }
}

/// Declares each test on both databases.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(&$crate::support::Database::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                if let Some(database) = $crate::support::Database::postgres().await {
                    super::$test(&database).await;
                }
            })*
        }
    };
}

/// One replica's API.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) store: Store,
    service: Arc<Publications>,
    routes: Router,
}

/// What a request was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Replica {
    fn new(store: Store) -> Self {
        let guard = Guard::new(store.clone(), Arc::new(Members)).since(Arc::new(Teams));
        let service = Arc::new(Publications::new(store.clone(), guard.clone()));
        let authenticator: Arc<dyn Authenticator> = Arc::new(Tokens);
        let stop = CancellationToken::new();
        let routes = publications::http::routes(service.clone())
            .merge(kernel::http::routes(store.clone(), guard, stop))
            .layer(Extension(authenticator))
            .layer(Extension(Rooms::default()))
            .layer(from_fn(correlate));
        Self {
            store,
            service,
            routes,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.service.counts()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// What `who` is answered who sends this text with these headers.
    pub(crate) async fn post(
        &self,
        who: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::post("/v1/events");
        request = request.header(header::AUTHORIZATION, format!("Bearer {who}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The same of one event, or of a batch.
    pub(crate) async fn publish(&self, who: &str, events: &Value) -> Answer {
        let kind = if events.is_array() { BATCH } else { STRUCTURED };
        let headers = [("content-type", kind)];
        self.post(who, &headers, events.to_string()).await
    }

    fn reading(who: &str, query: &str) -> axum::http::request::Builder {
        Request::get(format!("/v1/events{query}"))
            .header(header::AUTHORIZATION, format!("Bearer {who}"))
    }

    /// What `who` is answered who reads.
    pub(crate) async fn read(&self, who: &str, query: &str) -> Answer {
        let request = Self::reading(who, query).body(Body::empty()).unwrap();
        self.send(request).await
    }

    /// The events that `who` sees.
    pub(crate) async fn seen(&self, who: &str, query: &str) -> Vec<Value> {
        let answer = self.read(who, query).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["items"].as_array().unwrap().clone()
    }

    /// The next event that `who` is sent who follows from here.
    pub(crate) async fn follow(&self, who: &str) -> impl Future<Output = Value> + use<> {
        let request = Self::reading(who, "").header(header::ACCEPT, "text/event-stream");
        let request = request.body(Body::empty()).unwrap();
        let response: Response = self.routes.clone().oneshot(request).await.unwrap();
        let mut stream = response.into_body().into_data_stream();
        async move {
            let mut text = String::new();
            while !text.contains("\n\n") {
                let chunk = stream.next().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
            let data = text.lines().find_map(|line| line.strip_prefix("data: "));
            serde_json::from_str(data.unwrap()).unwrap()
        }
    }
}

/// A scanner's event, with these attributes, and without those that are `null`.
pub(crate) fn scan(with: Value) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": "1",
        "source": "https://ci.acme.example/scans",
        "type": "com.acme.scan.finished",
        "team": "pay",
    });
    for (name, value) in with.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}
