//! A small service over a store, called without a network.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
    middleware::{from_fn, from_fn_with_state},
};
use kernel::{
    Action, Authorizer, Caller, Guard, Ruling, Sealer, Secret, Store, Target,
    http::{
        AdminToken, Authenticator, IdempotencyKeys, ProblemDocument, Rooms, correlate, idempotent,
        no_such_method, no_such_route,
    },
};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const TOKEN: &str = "a-token-that-is-long-enough-for-a-test";

pub(crate) async fn store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let store = Store::open(&url, Sealer::generate().unwrap())
        .await
        .unwrap();
    (store, directory)
}

/// Members see what is their team's, and act on nothing.
struct Members;

impl Authorizer for Members {
    fn decide(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        let member = caller.teams.iter().any(|team| team == target.team);
        Ruling {
            allowed: caller.admin || action.only_sees() && member,
            ..Ruling::default()
        }
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

pub(crate) fn guard(store: &Store) -> Guard {
    Guard::new(store.clone(), Arc::new(Members))
}

/// Decides as [`Members`] do, and nothing as long as the test says so.
struct Wavering(Arc<AtomicBool>);

impl Authorizer for Wavering {
    fn decide(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        if self.0.load(Ordering::SeqCst) {
            return Ruling {
                undecided: true,
                ..Ruling::default()
            };
        }
        Members.decide(caller, action, target)
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

/// A guard like [`guard`]'s, and what has it decide nothing.
pub(crate) fn wavering(store: &Store) -> (Guard, Arc<AtomicBool>) {
    let undecided = Arc::new(AtomicBool::new(false));
    let guard = Guard::new(store.clone(), Arc::new(Wavering(undecided.clone())));
    (guard, undecided)
}

/// What `server` puts around all routes.
pub(crate) fn service(routes: Router) -> Router {
    let authenticator: Arc<dyn Authenticator> = Arc::new(AdminToken::new(Secret::from(TOKEN)));
    routes
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(Extension(authenticator))
        .layer(Extension(Rooms::default()))
        .layer(from_fn(correlate))
}

/// The routes, which honour the keys of requests.
pub(crate) fn keyed(store: &Store, routes: Router) -> Router {
    let keys = IdempotencyKeys {
        store: store.clone(),
        digest_key: Secret::from("of this service"),
    };
    routes.route_layer(from_fn_with_state(keys, idempotent))
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem that it is; checks that status and media type say so too.
    pub(crate) fn problem(&self) -> ProblemDocument {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: ProblemDocument = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(
            self.headers["correlation-id"],
            problem.correlation.to_string()
        );
        problem
    }
}

/// A request by the admin.
pub(crate) fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {TOKEN}"))
}

pub(crate) async fn send(service: &Router, request: Request<Body>) -> Answer {
    let response = service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, 1 << 24).await.unwrap().to_vec(),
    }
}

pub(crate) async fn get(service: &Router, path: &str) -> Answer {
    send(service, request("GET", path).body(Body::empty()).unwrap()).await
}
