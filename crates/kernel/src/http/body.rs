//! Bodies of requests and of answers.
//!
//! A large body is many times its size as a value, and costs whoever sends it nothing: there are never more
//! than so many bytes in memory, nor more than two read at once, whoever hangs up meanwhile and however slowly
//! they are sent.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    RequestExt as _,
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, Request},
    http::{Extensions, HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt as _, stream};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

use super::room::{Room, Rooms, SHARE, Sender};
use crate::{Error, ErrorKind, Location, Problem, Result, document::without_value};

/// A body from this size on waits until there is room for it, and is read beside the threads that serve
/// everybody else.
const LARGE: usize = 64 << 10;
/// How long a body may take to arrive beside what its size allows: it takes a connection meanwhile, and a large
/// one the room of others.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes that arrive in a second at the least, over a line of 2 Mbit/s.
const RATE: usize = 256 << 10;

/// A JSON body: of a request, or of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        expect_json(request.headers())?;
        let body = Whole::from_request(request, state).await?;
        body.read(read_json::<T>).await.map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => (
                [(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                )],
                body,
            )
                .into_response(),
            Err(error) => {
                Error::internal("an answer could not be serialized", error).into_response()
            }
        }
    }
}

/// All of a request's body, which is yet to be read: for those to whom it is not just JSON.
#[derive(Debug, Clone)]
pub struct Whole {
    bytes: Bytes,
    /// What it takes of the room for large ones, until nobody has it any more.
    room: Option<Arc<Room>>,
}

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        match parts.extensions.remove::<Self>() {
            // A route may take less than what was taken ahead of it.
            Some(whole) if whole.bytes.len() > limit(&parts.extensions) => Err(too_large()),
            Some(whole) => Ok(whole),
            None => Self::arrived(&parts.extensions, body).await,
        }
    }
}

impl Whole {
    /// The body of a request with these extensions.
    async fn arrived(extensions: &Extensions, body: Body) -> Result<Self> {
        let (body, is_large) = begun(body).await?;
        let limit = limit(extensions);
        if !is_large {
            let bytes = arrived_in_time(body, limit).await?;
            return Ok(Self { bytes, room: None });
        }
        let said = body.size_hint().upper();
        let said = said.and_then(|said| usize::try_from(said).ok());
        let most = said.map_or(limit, |said| said.min(limit));
        let rooms = Rooms::of(extensions)?;
        let mut room = Room::of(rooms, extensions.get::<Sender>(), most).await?;
        let bytes = arrived_in_time(body, limit).await?;
        room.fit(bytes.len());
        Ok(Self {
            bytes,
            room: Some(Arc::new(room)),
        })
    }

    /// The body of a request, and the request for whoever takes it from it later: it has arrived once, and takes
    /// its room once.
    pub(super) async fn ahead(request: Request) -> Result<(Self, Request)> {
        let (mut parts, body) = request.into_parts();
        let whole = Self::arrived(&parts.extensions, body).await?;
        parts.extensions.insert(whole.clone());
        let body = Body::from(whole.bytes.clone());
        Ok((whole, Request::from_parts(parts, body)))
    }

    /// What `read` makes of it. Where that is much work, it is done in its turn, and to its end also where the
    /// caller hangs up. Fails as `read` does.
    pub async fn read<T, F>(self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&[u8]) -> Result<T> + Send + 'static,
    {
        let Self { bytes, room } = self;
        let Some(room) = room else {
            return read(&bytes);
        };
        let reading = room.turn().await?;
        tokio::task::spawn_blocking(move || {
            let outcome = read(&bytes);
            // Not before: who hangs up makes no room for more while their work goes on.
            drop((room, reading));
            outcome
        })
        .await
        .map_err(|error| Error::internal("the body could not be read", error))?
    }
}

/// The body, and whether it is large: by its length where that is said, else by as much of it as shows that.
/// Fails where that much does not arrive in time.
async fn begun(body: Body) -> Result<(Body, bool)> {
    if let Some(length) = body.size_hint().upper() {
        return Ok((body, length >= LARGE as u64));
    }
    let began = Instant::now();
    let mut rest = body.into_data_stream().fuse();
    let (mut begin, mut failed) = (Vec::<u8>::new(), None);
    while begin.len() < LARGE
        && failed.is_none()
        && let Some(chunk) = next_in_time(&mut rest, began, begin.len()).await?
    {
        match chunk {
            Ok(chunk) => begin.extend_from_slice(&chunk),
            Err(error) => failed = Some(Err(error)),
        }
    }
    let is_large = begin.len() >= LARGE;
    let begin = [Ok(Bytes::from(begin))].into_iter().chain(failed);
    Ok((Body::from_stream(stream::iter(begin).chain(rest)), is_large))
}

/// What a route takes at the most. Nobody's body is larger than a share of the room.
fn limit(extensions: &Extensions) -> usize {
    // It is told of a body alone that it bounds.
    let endless = stream::pending::<Result<Bytes, Infallible>>();
    let mut request = Request::new(Body::from_stream(endless));
    *request.extensions_mut() = extensions.clone();
    let most = request.into_limited_body().size_hint().upper();
    let most = most.and_then(|most| usize::try_from(most).ok());
    most.map_or(SHARE, |most| most.min(SHARE))
}

/// The whole body, up to `limit`, as long as it comes fast enough for what there is of it.
async fn arrived_in_time(body: Body, limit: usize) -> Result<Bytes> {
    let began = Instant::now();
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::<u8>::new();
    while let Some(chunk) = next_in_time(&mut chunks, began, whole.len()).await? {
        let chunk = chunk.map_err(|error| unreadable().caused_by(error))?;
        if whole.len() + chunk.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

/// What comes next of a body that `began` to arrive then, and of which there are `arrived` bytes.
async fn next_in_time<C: Stream + Unpin>(
    chunks: &mut C,
    began: Instant,
    arrived: usize,
) -> Result<Option<C::Item>> {
    let allowed = GRACE + Duration::from_millis(arrived as u64 * 1000 / RATE as u64);
    let next = timeout_at(began + allowed, chunks.next()).await;
    next.map_err(|_| {
        Error::new(
            ErrorKind::TooLarge,
            format!(
                "the body is larger than what arrived within {} s: {arrived} bytes",
                allowed.as_secs()
            ),
        )
        .remedy("send it in parts, or over a faster line")
    })
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "the body is larger than the platform takes",
    )
}

fn unreadable() -> Error {
    Error::invalid("the body could not be read")
}

/// Refuses a body that is said to be something else than JSON.
pub fn expect_json(headers: &HeaderMap) -> Result<()> {
    match headers.get(header::CONTENT_TYPE) {
        Some(kind) if !is_json(kind) => Err(Error::invalid("the body is not said to be JSON")
            .remedy("send `Content-Type: application/json`")),
        _ => Ok(()),
    }
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
}

/// What a body in JSON says; else what is wrong with it, and where.
pub fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| malformed(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| malformed("", &error))?;
    Ok(value)
}

fn malformed(path: &str, error: &serde_json::Error) -> Error {
    let rule = if error.is_data() {
        "request/shape"
    } else {
        "request/json"
    };
    // serde_json appends the place to its message; we say it apart.
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    let message = &without_value(message);
    // `.` is the whole body; `?` is a place that it does not know.
    let path = path.trim_end_matches('?').trim_end_matches('.');
    let mut problem = Problem::new(rule, path, message);
    if error.line() > 0 {
        problem = problem.at(Location {
            file: "request body".into(),
            line: error.line(),
            column: error.column().max(1),
            length: 0,
        });
    }
    let place = if path.is_empty() {
        String::new()
    } else {
        format!(" at `{path}`")
    };
    Error::problems(
        format!("the body is not as it should be{place}: {message}"),
        vec![problem],
    )
}
