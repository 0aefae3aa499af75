//! Large bodies, of which so many bytes are in memory, and few are read at once.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Extension, RequestExt as _, Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::Request,
    middleware::{Next, from_fn},
    response::Response,
    routing::post,
};
use futures::{StreamExt as _, future::join_all, poll, stream};
use kernel::{
    Caller, Secret,
    http::{Authenticator, Json, Rooms, correlate},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;
use testkit::{PATIENCE, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt as _;

use crate::support::{request, send, service};

/// From here on a body is large.
const LARGE: usize = 64 << 10;

fn sent(body: impl Into<Body>) -> Request<Body> {
    request("POST", "/").body(body.into()).unwrap()
}

/// How many were begun to be read.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// Whether the reading of them may end.
static OPEN: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// What is read for as long as the test likes.
struct Held;

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        BEGUN.fetch_add(1, Ordering::SeqCst);
        let (open, opened) = &OPEN;
        let is_shut = |open: &mut bool| !*open;
        drop(opened.wait_while(open.lock().unwrap(), is_shut).unwrap());
        Ok(Self)
    }
}

/// Opens when it is dropped, by a failure of the test too: threads would be waited for.
struct Opens;

impl Drop for Opens {
    fn drop(&mut self) {
        let (open, opened) = &OPEN;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }
}

#[test]
fn who_hangs_up_makes_no_room_while_theirs_is_still_read() {
    const AT_ONCE: usize = 2;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(AT_ONCE + 1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let opens = Opens;
        let routes = service(Router::new().route("/", post(|_: Json<Held>| async {})));
        let large = || sent(format!("\"{}\"", "a".repeat(LARGE)));
        for nth in 1..=AT_ONCE {
            let asked = tokio::spawn(routes.clone().oneshot(large()));
            eventually("it is being read", PATIENCE, || async {
                (BEGUN.load(Ordering::SeqCst) == nth).then_some(())
            })
            .await;
            asked.abort();
            assert!(asked.await.unwrap_err().is_cancelled());
        }
        let mut next = pin!(routes.clone().oneshot(large()));
        assert!(poll!(next.as_mut()).is_pending());
        // One more thread is free. It would read that one first.
        let beside = tokio::task::spawn_blocking(|| ());
        timeout(PATIENCE, beside).await.unwrap().unwrap();
        assert_eq!(BEGUN.load(Ordering::SeqCst), AT_ONCE);
        drop(opens);
        assert_eq!(next.await.unwrap().status(), 200);
        assert_eq!(BEGUN.load(Ordering::SeqCst), AT_ONCE + 1);
    });
}

/// A body whose length is not said: after eight chunks no more comes, and no end. What is taken of it counts.
fn stalling(taken: &Arc<AtomicUsize>) -> Body {
    let taken = taken.clone();
    let chunks = stream::repeat_with(move || {
        taken.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from(vec![b' '; CHUNK]))
    });
    Body::from_stream(chunks.take(8).chain(stream::pending()))
}

const CHUNK: usize = LARGE / 2;

#[tokio::test(start_paused = true)]
async fn large_bodies_wait_unread_and_slow_ones_are_let_go() {
    const ALL: usize = 40;
    /// A share has so many bodies as large as the routes take, where nothing else is said.
    const AT_ONCE: usize = 16;
    let taken = Arc::new(AtomicUsize::new(0));
    let routes = service(Router::new().route("/", post(|_: Json<Value>| async {})));
    let all = (0..ALL).map(|_| send(&routes, sent(stalling(&taken))));
    let mut answers = pin!(join_all(all));
    assert!(poll!(answers.as_mut()).is_pending());
    // Two chunks of each show that it is large.
    assert_eq!(taken.load(Ordering::SeqCst), ALL * 2 + AT_ONCE * 6);
    let answers = timeout(Duration::from_hours(1), answers).await.unwrap();
    let mut slow = 0;
    for answer in &answers {
        let problem = answer.problem();
        if problem.status == 503 {
            assert_eq!(answer.headers["retry-after"], "10");
            assert!(problem.detail.contains("no room"), "{}", problem.detail);
            continue;
        }
        assert_eq!(problem.status, 413);
        assert!(problem.detail.contains("within 11 s"), "{}", problem.detail);
        slow += 1;
    }
    assert_eq!(slow, AT_ONCE);
    assert_eq!(taken.load(Ordering::SeqCst), ALL * 2 + AT_ONCE * 6);
}

#[tokio::test(start_paused = true)]
async fn a_platform_has_its_rooms_for_itself() {
    let (full, other) = (named(), named());
    let taken = Arc::new(AtomicUsize::new(0));
    let mut stalled = pin!(send(&full, sent_by("ada", stalling(&taken))));
    assert!(poll!(stalled.as_mut()).is_pending());
    let large = || format!("\"{}\"", "a".repeat(LARGE));
    let answer = send(&other, sent_by("ada", large())).await;
    assert_eq!(answer.status, 200);
    let answer = send(&full, sent_by("ada", large())).await;
    assert_eq!(answer.status, 503);
    assert_eq!(stalled.await.status, 413);
}

#[tokio::test]
async fn where_there_are_no_rooms_no_large_body_is_taken() {
    let routes = Router::new()
        .route("/", post(|_: Json<Value>| async {}))
        .layer(from_fn(correlate));
    assert_eq!(send(&routes, sent("null")).await.status, 200);
    let large = sent(format!("\"{}\"", "a".repeat(LARGE)));
    assert_eq!(send(&routes, large).await.problem().status, 500);
}

#[tokio::test]
async fn many_that_are_hardly_large_leave_room_for_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = service(Router::new().route("/", post(|_: Json<Value>| async {})));
    let served = routes.clone();
    let server = tokio::spawn(async move { axum::serve(listener, served).await.unwrap() });
    let mut stalled = Vec::new();
    for nth in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: towpath\r\nContent-Length: {LARGE}\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is asked for its body as soon as that has its room.
        let mut begin = [0; b"HTTP/1.1 100".len()];
        let asked = timeout(PATIENCE, stream.read_exact(&mut begin)).await;
        assert!(asked.is_ok(), "{nth} others hold it up");
        assert_eq!(begin, *b"HTTP/1.1 100");
        stalled.push(stream);
    }
    let large = sent(format!("\"{}\"", "a".repeat(16 * LARGE)));
    let answer = timeout(PATIENCE, send(&routes, large)).await.unwrap();
    assert_eq!(answer.status, 200);
    server.abort();
}

/// The token is the caller's name, and with an `@` the one team that they are of.
struct Named;

#[async_trait]
impl Authenticator for Named {
    async fn authenticate(&self, token: &Secret) -> kernel::Result<Caller> {
        let subject = token.expose_str().unwrap_or_default();
        let team = subject.split_once('@').map(|(_, team)| team.to_owned());
        Ok(Caller {
            subject: subject.into(),
            teams: team.into_iter().collect(),
            admin: false,
            ..Caller::local_admin()
        })
    }
}

/// Takes up to 32 MiB of those whose name is their token.
fn named() -> Router {
    let authenticator: Arc<dyn Authenticator> = Arc::new(Named);
    Router::new()
        .route("/", post(|_: Caller, _: Json<Value>| async {}))
        .layer(DefaultBodyLimit::max(32 << 20))
        .layer(Extension(authenticator))
        .layer(Extension(Rooms::default()))
        .layer(from_fn(correlate))
}

fn sent_by(name: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/")
        .header("authorization", format!("Bearer {name}"))
        .body(body.into())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_the_room_of_others() {
    let routes = named();
    let large = || format!("\"{}\"", "a".repeat(LARGE));
    for (first, second, other) in [
        ("greedy", "greedy", "modest"),
        ("ci-1@shop", "ci-2@shop", "ci-1@till"),
    ] {
        let taken = Arc::new(AtomicUsize::new(0));
        let stalled = send(&routes, sent_by(first, stalling(&taken)));
        let next = send(&routes, sent_by(second, large()));
        let mut theirs = pin!(join_all([stalled, next]));
        assert!(poll!(theirs.as_mut()).is_pending());
        let answer = send(&routes, sent_by(other, large())).await;
        assert_eq!(answer.status, 200, "{other}");
        let answers = theirs.await;
        assert_eq!(answers[0].problem().status, 413, "{first}");
        let refused = answers[1].problem();
        assert_eq!(refused.status, 503, "{second}");
        assert!(refused.detail.contains("no room"), "{}", refused.detail);
        assert_eq!(answers[1].headers["retry-after"], "10");
        // What was let go, and what is read, has given its room back.
        let answer = send(&routes, sent_by(second, large())).await;
        assert_eq!(answer.status, 200, "{second}");
    }
}

/// Has a body say that it is no longer than what is taken here.
async fn bounded(request: Request<Body>, next: Next) -> Response {
    next.run(request.with_limited_body()).await
}

#[tokio::test(start_paused = true)]
async fn a_small_body_does_not_take_for_ever() {
    let unsaid = named();
    let said = named()
        .layer(from_fn(bounded))
        .layer(DefaultBodyLimit::max(LARGE / 2));
    for routes in [unsaid, said] {
        let begin = stream::iter([Ok::<_, Infallible>(vec![b' '])]);
        let stalled = Body::from_stream(begin.chain(stream::pending()));
        let asked = send(&routes, sent_by("slow", stalled));
        let answer = timeout(Duration::from_mins(1), asked).await.unwrap();
        let problem = answer.problem();
        assert_eq!(problem.status, 413);
        assert!(problem.detail.contains("within 10 s"), "{}", problem.detail);
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_has_time_for_its_size() {
    const CHUNKS: usize = 20;
    let began = Instant::now();
    let chunks = stream::iter(0..=CHUNKS).then(|nth| async move {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, Infallible>(match nth {
            CHUNKS => b"null".to_vec(),
            _ => vec![b' '; 4 * LARGE],
        })
    });
    let routes = named();
    let answer = send(&routes, sent_by("patient", Body::from_stream(chunks))).await;
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() > Duration::from_secs(20));
}

#[tokio::test]
async fn a_body_of_unsaid_length_is_read_whole() {
    let length = |Json(text): Json<String>| async move { Json(text.len()) };
    let routes = service(Router::new().route("/", post(length)));
    for length in [10, LARGE - 2, LARGE, 4 * LARGE] {
        let text = format!("\"{}\"", "a".repeat(length)).into_bytes();
        let chunks: Vec<_> = text.chunks(1000).map(<[u8]>::to_vec).collect();
        let whole = chunks.into_iter().map(Ok::<_, Infallible>);
        let answer = send(&routes, sent(Body::from_stream(stream::iter(whole)))).await;
        assert_eq!(answer.json(), length);
        assert_eq!(send(&routes, sent(text)).await.json(), length);
    }
    for length in [10, 2 * LARGE] {
        let begin = Ok(vec![b' '; length]);
        let broken = stream::iter([begin, Err(std::io::Error::other("broken"))]);
        let answer = send(&routes, sent(Body::from_stream(broken))).await;
        let problem = answer.problem();
        assert_eq!(problem.status, 422);
        assert!(problem.detail.contains("could not be read"), "{problem:?}");
    }
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(vec![b' '; LARGE]));
    let answer = send(&routes, sent(Body::from_stream(endless))).await;
    assert_eq!(answer.problem().status, 413);
}
