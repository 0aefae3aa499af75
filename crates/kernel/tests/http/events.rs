//! `/v1/events`: pages, and a stream that can be resumed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Extension, Router, body::Body, middleware::from_fn};
use futures::StreamExt as _;
use jiff::Timestamp;
use kernel::{
    Beginnings, Caller, Cause, Change, Error, ErrorKind, EventFilter, Key, NewEvent, Result,
    Secret, Store,
    http::{Authenticator, correlate, routes},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::{get, guard, request, send, service, store, wavering};

async fn happen(store: &Store, kind: &str, name: &str) -> Uuid {
    let correlation = Uuid::now_v7();
    let mut change = Change::new();
    change.event(NewEvent {
        kind: kind.into(),
        subject: Key {
            kind: "Thing".into(),
            scope: "env".into(),
            name: name.into(),
        },
        team: "core".into(),
        cause: Cause {
            actor: "ada".into(),
            ..Cause::system("test", correlation)
        },
        outcome: None,
        data: json!({"name": name}),
    });
    store.commit(change).await.unwrap();
    correlation
}

#[tokio::test]
async fn the_log_is_read_in_pages_and_by_filter() {
    let (store, _directory) = store().await;
    for name in ["a", "b", "c"] {
        happen(&store, "dev.towpath.test", name).await;
    }
    let correlation = happen(&store, "dev.towpath.other", "a").await;
    let service = service(routes(
        store.clone(),
        guard(&store),
        CancellationToken::new(),
    ));
    let seqs = async |query: &str| -> Vec<i64> {
        let page = get(&service, &format!("/v1/events{query}")).await.json();
        let items = page["items"].as_array().unwrap().clone();
        items.iter().map(|e| e["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs("").await, [1, 2, 3, 4]);
    assert_eq!(seqs("?limit=2").await, [1, 2]);
    assert_eq!(seqs("?after=2&limit=2").await, [3, 4]);
    assert_eq!(seqs("?type=dev.towpath.o").await, [4]);
    assert_eq!(seqs("?type=o").await, [4]);
    assert_eq!(seqs("?type=dev.towpath").await.len(), seqs("").await.len());
    assert_eq!(seqs("?subject=Thing/env/a").await, [1, 4]);
    assert_eq!(seqs(&format!("?correlation={correlation}")).await, [4]);
    assert_eq!(seqs("?actor=ada&limit=1").await, [1]);
    assert!(seqs("?actor=eve").await.is_empty());
    assert_eq!(seqs("?team=core").await.len(), 4);
    assert!(seqs("?since=9999-01-01T00:00:00Z").await.is_empty());
    assert_eq!(seqs("?since=2020-01-01T00:00:00Z&after=3").await, [4]);
    let page = get(&service, "/v1/events?limit=2").await.json();
    assert_eq!(page["next"], 2);
    for wrong in [
        "?after=-1",
        "?after=5",
        "?sbject=x",
        "?correlation=x",
        "?since=yesterday",
    ] {
        let answer = get(&service, &format!("/v1/events{wrong}")).await;
        assert_eq!(answer.problem().status, 422, "{wrong}");
    }
}

/// An open stream, read as a client does.
struct Client {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Client {
    async fn open(service: &Router, query: &str, last: Option<&str>) -> Self {
        let mut request =
            request("GET", &format!("/v1/events{query}")).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = message.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                let found = (field("id:"), field("data:"));
                let taken = self.text.len() - rest.len();
                self.text.drain(..taken);
                return (found.0, serde_json::from_str(&found.1).unwrap());
            }
            let chunk = timeout(Duration::from_secs(20), self.body.next());
            let chunk = chunk.await.unwrap().unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_left() {
    let (store, _directory) = store().await;
    happen(&store, "dev.towpath.test", "old").await;
    let service = service(routes(
        store.clone(),
        guard(&store),
        CancellationToken::new(),
    ));
    let mut fresh = Client::open(&service, "", None).await;
    let mut whole = Client::open(&service, "?after=0", None).await;
    happen(&store, "dev.towpath.test", "new").await;
    let (id, event) = fresh.next().await;
    assert_eq!((id.as_str(), &event["data"]["name"]), ("2", &json!("new")));
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(whole.next().await.1["data"]["name"], "old");
    assert_eq!(whole.next().await.1["data"]["name"], "new");
    drop((fresh, whole));

    for name in ["x", "y"] {
        happen(&store, "dev.towpath.test", name).await;
    }
    let mut resumed = Client::open(&service, "?after=0", Some("2")).await;
    assert_eq!(resumed.next().await.0, "3");
    assert_eq!(resumed.next().await.0, "4");
}

#[tokio::test]
async fn a_place_that_the_log_never_gave_is_refused() {
    let (store, _directory) = store().await;
    happen(&store, "dev.towpath.test", "a").await;
    let service = service(routes(
        store.clone(),
        guard(&store),
        CancellationToken::new(),
    ));
    for (query, last, words) in [
        ("?after=99999999999", None, "the log ends at 1"),
        ("", Some("99999999999"), "the log ends at 1"),
        ("?after=1", Some("2"), "the log ends at 1"),
        ("", Some("-1"), "Last-Event-ID is negative"),
    ] {
        let mut asked =
            request("GET", &format!("/v1/events{query}")).header("accept", "text/event-stream");
        if let Some(last) = last {
            asked = asked.header("last-event-id", last);
        }
        let answer = send(&service, asked.body(Body::empty()).unwrap()).await;
        let problem = answer.problem();
        assert_eq!(problem.status, 422, "{query} {last:?}");
        assert!(problem.detail.contains(words), "{}", problem.detail);
    }
    let page = get(&service, "/v1/events?after=1").await.json();
    assert_eq!(page["next"], 1);
}

#[tokio::test]
async fn a_stream_shows_what_it_was_asked_for() {
    let (store, _directory) = store().await;
    let service = service(routes(
        store.clone(),
        guard(&store),
        CancellationToken::new(),
    ));
    let mut other = Client::open(&service, "?type=dev.towpath.other", None).await;
    for n in 0..3 {
        happen(&store, "dev.towpath.test", &n.to_string()).await;
    }
    happen(&store, "dev.towpath.other", "a").await;
    assert_eq!(other.next().await.0, "4");
}

#[tokio::test]
async fn a_stream_ends_when_the_platform_stops() {
    let (store, _directory) = store().await;
    let stop = CancellationToken::new();
    let service = service(routes(store.clone(), guard(&store), stop.clone()));
    let mut client = Client::open(&service, "", None).await;
    stop.cancel();
    let end = timeout(Duration::from_secs(20), client.body.next()).await;
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_ends_where_nothing_is_decided_and_goes_on_from_its_place() {
    let (store, _directory) = store().await;
    let (guard, undecided) = wavering(&store);
    let service = service(routes(store.clone(), guard, CancellationToken::new()));
    happen(&store, "dev.towpath.test", "a").await;
    let mut client = Client::open(&service, "?after=0", None).await;
    assert_eq!(client.next().await.0, "1");
    undecided.store(true, Ordering::SeqCst);
    happen(&store, "dev.towpath.test", "b").await;
    let end = timeout(Duration::from_secs(20), client.body.next()).await;
    assert!(end.unwrap().is_none());
    assert_eq!(get(&service, "/v1/events").await.problem().status, 503);
    undecided.store(false, Ordering::SeqCst);
    let mut resumed = Client::open(&service, "?after=0", Some("1")).await;
    assert_eq!(resumed.next().await.0, "2");
}

/// Somebody who may leave the team, or lose their login, while they follow.
#[derive(Default)]
struct Leaving {
    left: AtomicBool,
    logged_out: AtomicBool,
    /// Whether that they have left is counted.
    is_counted: bool,
}

#[async_trait]
impl Authenticator for Leaving {
    async fn authenticate(&self, _: &Secret) -> kernel::Result<Caller> {
        if self.logged_out.load(Ordering::SeqCst) {
            return Err(Error::new(
                ErrorKind::Unauthenticated,
                "the session has ended",
            ));
        }
        let left = self.left.load(Ordering::SeqCst);
        Ok(Caller {
            admin: false,
            teams: if left { vec![] } else { vec!["core".into()] },
            ..Caller::local_admin()
        })
    }

    async fn changes(&self, _: i64) -> Result<Option<u64>> {
        let left = u64::from(self.left.load(Ordering::SeqCst));
        Ok(self.is_counted.then_some(left))
    }
}

#[tokio::test]
async fn who_is_taken_out_is_sent_nothing_that_happened_after() {
    let (store, _directory) = store().await;
    let somebody = Arc::new(Leaving {
        is_counted: true,
        ..Leaving::default()
    });
    let authenticator: Arc<dyn Authenticator> = somebody.clone();
    let routes = routes(store.clone(), guard(&store), CancellationToken::new());
    let service = routes.layer(Extension(authenticator));
    let mut client = Client::open(&service, "?team=core", None).await;
    happen(&store, "dev.towpath.test", "before").await;
    assert_eq!(client.next().await.1["data"]["name"], "before");
    // While what was known of them a moment ago would hold.
    somebody.left.store(true, Ordering::SeqCst);
    happen(&store, "dev.towpath.test", "after").await;
    let end = timeout(Duration::from_secs(20), client.body.next()).await;
    assert!(end.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_ends_with_its_callers_rights_though_nothing_is_sent() {
    let (store, _directory) = store().await;
    let leaves: [fn(&Leaving); 2] = [
        |somebody| somebody.left.store(true, Ordering::SeqCst),
        |somebody| somebody.logged_out.store(true, Ordering::SeqCst),
    ];
    for leave in leaves {
        let somebody = Arc::new(Leaving::default());
        let authenticator: Arc<dyn Authenticator> = somebody.clone();
        let routes = routes(store.clone(), guard(&store), CancellationToken::new());
        let service = routes.layer(Extension(authenticator));
        let mut client = Client::open(&service, "?team=core", None).await;
        let before = happen(&store, "dev.towpath.test", "theirs").await;
        let (_, event) = client.next().await;
        assert_eq!(event["correlation"], json!(before));

        tokio::time::pause();
        leave(&somebody);
        let end = timeout(Duration::from_secs(60), async {
            while let Some(chunk) = client.body.next().await {
                let chunk = chunk.unwrap();
                assert!(chunk.starts_with(b":"), "{chunk:?}");
            }
        });
        end.await.expect("it ends");
        tokio::time::resume();
    }
}

/// A team of this name was made now.
struct Made(Timestamp);

#[async_trait]
impl Beginnings for Made {
    fn of(&self, team: &str) -> Option<Timestamp> {
        (team == "core").then_some(self.0)
    }

    async fn is_there(&self, team: &str) -> Result<bool> {
        Ok(self.of(team).is_some())
    }
}

#[tokio::test]
async fn a_team_has_none_of_the_past_of_one_that_had_its_name() {
    let (store, _directory) = store().await;
    happen(&store, "dev.towpath.test", "former").await;
    let made = store.events(&EventFilter::default(), 0, 1).await.unwrap()[0].time;
    let made = Made(made + Duration::from_nanos(1));
    happen(&store, "dev.towpath.test", "present").await;
    let guard = guard(&store).since(Arc::new(made));
    let routes = routes(store.clone(), guard, CancellationToken::new());
    let seen = async |service: &Router| -> Vec<String> {
        let page = get(service, "/v1/events?team=core").await.json();
        let items = page["items"].as_array().unwrap().iter();
        let name = |event: &Value| event["data"]["name"].as_str().unwrap().to_owned();
        items.map(name).collect()
    };
    let member: Arc<dyn Authenticator> = Arc::new(Leaving::default());
    let as_member = routes.clone().layer(Extension(member));
    assert_eq!(seen(&as_member).await, ["present"]);
    let mut stream = Client::open(&as_member, "?after=0", None).await;
    assert_eq!(stream.next().await.1["data"]["name"], "present");
    assert_eq!(seen(&service(routes)).await, ["former", "present"]);
}

#[tokio::test]
async fn a_team_that_is_named_is_there_for_whoever_may_see_it() {
    let (store, _directory) = store().await;
    happen(&store, "dev.towpath.test", "a").await;
    let guard = guard(&store).since(Arc::new(Made(Timestamp::UNIX_EPOCH)));
    let routes = routes(store.clone(), guard, CancellationToken::new());
    let somebody = Leaving::default();
    somebody.left.store(true, Ordering::SeqCst);
    let somebody: Arc<dyn Authenticator> = Arc::new(somebody);
    let as_nobody = routes
        .clone()
        .layer(Extension(somebody))
        .layer(from_fn(correlate));
    let as_admin = service(routes);
    for accept in ["application/json", "text/event-stream"] {
        let ask = async |service: &Router, team: &str| {
            let asked = request("GET", &format!("/v1/events?team={team}"));
            let asked = asked.header("accept", accept).body(Body::empty()).unwrap();
            let answer = send(service, asked).await.problem();
            (answer.status, answer.detail.replace(team, "TEAM"))
        };
        let missing = ask(&as_nobody, "nosuch").await;
        assert_eq!(missing.0, 404, "{missing:?}");
        assert_eq!(ask(&as_nobody, "core").await, missing);
        assert_eq!(ask(&as_admin, "nosuch").await, missing);
    }
    let page = get(&as_admin, "/v1/events?team=core").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn operators_read_what_happened_to_a_team_that_is_gone() {
    let (store, _directory) = store().await;
    happen(&store, "dev.towpath.test", "a").await;
    let guard = guard(&store).since(Arc::new(Gone));
    let routes = routes(store.clone(), guard, CancellationToken::new());
    let page = get(&service(routes), "/v1/events?team=core").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

/// There is no team any more.
struct Gone;

#[async_trait]
impl Beginnings for Gone {
    fn of(&self, _: &str) -> Option<Timestamp> {
        None
    }

    async fn is_there(&self, _: &str) -> Result<bool> {
        Ok(false)
    }
}
