//! Changes of every method, sent again with their key.

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::{Request, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post},
};
use kernel::{
    Caller, Change, Error, Kind, Resource, Result, Sealer, Secret, Store,
    http::{Authenticator, ETag, IfMatch, Json, Path},
};
use tokio::sync::Notify;

use crate::support::{Answer, keyed, request, send, service, store};

struct Thing;

impl Kind for Thing {
    const KIND: &'static str = "Thing";
    type Spec = u32;
    type Status = ();
}

/// A thing, while it is at this revision.
async fn thing(store: &Store, name: &str, revision: Option<i64>) -> Result<Resource<Thing>> {
    let found = store.get::<Thing>("", name).await?;
    let found = found.ok_or_else(|| Error::not_found(format!("thing `{name}`")))?;
    match revision {
        Some(revision) if revision != found.meta.revision => {
            Err(Error::conflict("the thing has moved on"))
        }
        _ => Ok(found),
    }
}

fn tagged(thing: &Resource<Thing>) -> Response {
    (ETag(thing.meta.revision), Json(thing.spec)).into_response()
}

async fn show(State(store): State<Store>, Path(name): Path<String>) -> Result<Response> {
    Ok(tagged(&thing(&store, &name, None).await?))
}

async fn change(
    State(store): State<Store>,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(spec): Json<u32>,
) -> Result<Response> {
    let mut thing = thing(&store, &name, revision).await?;
    thing.spec = spec;
    let mut change = Change::new().by(&caller);
    change.spec(&thing)?;
    let committed = store.commit(change).await?;
    Ok(tagged(&committed.resource(&thing.key())?))
}

async fn remove(
    State(store): State<Store>,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    let thing = thing(&store, &name, revision).await?;
    let mut change = Change::new().by(&caller);
    change.remove(&thing)?;
    store.commit(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn routes(store: &Store) -> Router {
    let routes = get(show).patch(change).delete(remove);
    let routes = Router::new().route("/things/{name}", routes);
    keyed(store, routes.with_state(store.clone()))
}

/// A service with a thing, and the thing's tag.
async fn things() -> (Router, Store, String, tempfile::TempDir) {
    let (store, directory) = store().await;
    let made = Resource::<Thing>::new("", "one", 1);
    let mut change = Change::new().by(&Caller::local_admin());
    change.create(&made).unwrap();
    let committed = store.commit(change).await.unwrap();
    let made = committed.resource::<Thing>(&made.key()).unwrap();
    let tag = format!("\"{}\"", made.meta.revision);
    (service(routes(&store)), store, tag, directory)
}

const ONE: &str = "/things/one";

async fn ask(service: &Router, method: &str, path: &str, tag: &str, body: &'static str) -> Answer {
    let request = request(method, path)
        .header("if-match", tag)
        .header("idempotency-key", "k");
    send(service, request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_deletion_that_is_sent_again_is_answered_alike() {
    let (service, _store, tag, _directory) = things().await;
    for _ in 0..2 {
        let answer = ask(&service, "DELETE", ONE, &tag, "").await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (StatusCode::NO_CONTENT, 0)
        );
    }
    let unkeyed = request("DELETE", ONE).body(Body::empty()).unwrap();
    assert_eq!(send(&service, unkeyed).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_change_that_is_sent_again_is_no_conflict_with_itself() {
    let (service, _store, tag, _directory) = things().await;
    let first = ask(&service, "PATCH", ONE, &tag, "2").await;
    assert_eq!((first.status, first.json()), (StatusCode::OK, 2.into()));
    let again = ask(&service, "PATCH", ONE, &tag, "2").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    for header in ["etag", "content-type"] {
        assert_eq!(again.headers[header], first.headers[header]);
    }
    assert_ne!(first.headers["etag"], tag);
}

#[tokio::test]
async fn all_that_makes_it_another_request_is_refused_under_its_key() {
    let (service, _store, tag, _directory) = things().await;
    let first = ask(&service, "PATCH", ONE, &tag, "2").await;
    assert_eq!(first.status, StatusCode::OK);
    for (method, path, tag, body) in [
        ("PATCH", ONE, &*tag, "3"),
        ("PATCH", ONE, "*", "2"),
        ("PATCH", "/things/one?x=1", &*tag, "2"),
        ("PATCH", "/things/two", &*tag, "2"),
        ("DELETE", ONE, &*tag, "2"),
    ] {
        let answer = ask(&service, method, path, tag, body).await;
        let problem = answer.problem();
        assert_eq!(problem.status, 422, "{method} {path} {tag} {body}");
        assert!(problem.detail.contains("another request"), "{problem:?}");
    }
    let shown = ask(&service, "GET", ONE, "*", "").await;
    assert_eq!(shown.json(), 2);
}

#[tokio::test]
async fn who_only_reads_takes_no_key() {
    let (service, _store, tag, _directory) = things().await;
    assert_eq!(ask(&service, "GET", ONE, &tag, "").await.json(), 1);
    let changed = ask(&service, "PATCH", ONE, &tag, "2").await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(ask(&service, "GET", ONE, &tag, "").await.json(), 2);
}

/// The token is the caller's name.
struct Named;

#[async_trait]
impl Authenticator for Named {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        let subject = token.expose_str().unwrap_or_default().to_owned();
        Ok(Caller {
            subject,
            ..Caller::local_admin()
        })
    }
}

#[tokio::test]
async fn a_key_is_its_callers() {
    let (_, store, _tag, _directory) = things().await;
    let named: Arc<dyn Authenticator> = Arc::new(Named);
    let service = service(routes(&store).layer(Extension(named)));
    let ask = async |name: &str, body: &'static str| {
        let request = Request::patch(ONE)
            .header("authorization", format!("Bearer {name}"))
            .header("idempotency-key", "k");
        send(&service, request.body(Body::from(body)).unwrap()).await
    };
    assert_eq!(ask("ada", "2").await.json(), 2);
    assert_eq!(ask("ben", "3").await.json(), 3);
    assert_eq!(ask("ada", "2").await.json(), 2);
    assert_eq!(ask("ada", "3").await.problem().status, 422);
}

#[tokio::test]
async fn the_key_of_a_stranger_is_not_looked_up() {
    let (service, store, tag, _directory) = things().await;
    store.close().await;
    for key in ["k", ""] {
        let request = Request::delete(ONE).header("idempotency-key", key);
        let answer = send(&service, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.problem().status, 401, "{key:?}");
    }
    let known = ask(&service, "DELETE", ONE, &tag, "").await;
    assert_eq!(known.problem().status, 503);
}

/// Its path is its key.
async fn end(service: &Router, path: &str) -> Answer {
    let request = request("DELETE", path).header("idempotency-key", path);
    send(service, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_platform_that_was_killed_knows_what_it_had_committed() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", directory.path().display());
    let sealer = Sealer::generate().unwrap();
    let store = Store::open(&url, sealer.clone()).await.unwrap();
    let begun = Arc::new(Notify::new());
    let hangs = |commits: bool| {
        let (store, begun) = (store.clone(), begun.clone());
        delete(move |caller: Caller| async move {
            if commits {
                let mut change = Change::new().by(&caller);
                let made = Resource::<Thing>::new("", "one", 1);
                change.create(&made).unwrap();
                store.commit(change).await.unwrap();
            }
            begun.notify_one();
            pending::<StatusCode>().await
        })
    };
    let routes = Router::new()
        .route("/before", hangs(false))
        .route("/after", hangs(true));
    let killed = service(keyed(&store, routes));
    for path in ["/before", "/after"] {
        let killed = killed.clone();
        let asked = tokio::spawn(async move { end(&killed, path).await.status });
        begun.notified().await;
        asked.abort();
    }
    store.close().await;

    let store = Store::open(&url, sealer).await.unwrap();
    let ends = || delete(|| async { StatusCode::NO_CONTENT });
    let routes = Router::new()
        .route("/before", ends())
        .route("/after", ends());
    let restarted = service(keyed(&store, routes));
    let before = end(&restarted, "/before").await;
    assert_eq!(before.status, StatusCode::NO_CONTENT);
    let after = end(&restarted, "/after").await;
    let problem = after.problem();
    assert_eq!(problem.status, 409);
    assert!(problem.detail.contains("answer is lost"), "{problem:?}");
    assert_eq!(problem.problems[0].rule, "idempotency/answer-lost");
    assert!(!after.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_large_body_takes_its_room_once() {
    const LARGE: usize = 17 << 20;
    let (store, _directory) = store().await;
    let length = |Json(text): Json<String>| async move { Json(text.len()) };
    let narrow = Router::new()
        .route("/narrow", post(length))
        .layer(DefaultBodyLimit::max(1 << 10));
    let routes = Router::new().route("/wide", post(length)).merge(narrow);
    let routes = keyed(&store, routes).layer(DefaultBodyLimit::max(32 << 20));
    let service = service(routes);
    let ask = async |path: &str| {
        let text = format!("\"{}\"", "a".repeat(LARGE));
        let request = request("POST", path).header("idempotency-key", path);
        send(&service, request.body(Body::from(text)).unwrap()).await
    };
    for _ in 0..2 {
        let answer = ask("/wide").await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::OK, LARGE.into())
        );
    }
    assert_eq!(ask("/narrow").await.problem().status, 413);
}
