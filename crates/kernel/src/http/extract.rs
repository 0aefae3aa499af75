//! Parts of a request, whose mistakes are answered as problems.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use crate::{Error, ErrorKind, Location, Problem, Result, document::without_value};

/// A JSON body: of a request, or of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// A body from this size on is read beside the threads that serve everybody else.
const LARGE: usize = 64 << 10;
/// So many large bodies are read at once; others wait. As values they are many times their size.
static READING: Semaphore = Semaphore::const_new(2);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        if let Some(kind) = request.headers().get(header::CONTENT_TYPE)
            && !is_json(kind)
        {
            return Err(Error::invalid("the body is not said to be JSON")
                .remedy("send `Content-Type: application/json`"));
        }
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Error::new(
                    ErrorKind::TooLarge,
                    "the body is larger than the platform takes",
                )
                .caused_by(error)
            } else {
                Error::invalid("the body could not be read").caused_by(error)
            }
        })?;
        if body.len() < LARGE {
            return read(&body).map(Self);
        }
        let _turn = READING.acquire().await;
        tokio::task::spawn_blocking(move || read(&body).map(Self))
            .await
            .map_err(|error| Error::internal("the body could not be read", error))?
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| malformed(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| malformed("", &error))?;
    Ok(value)
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence == "application/json" || essence.ends_with("+json")
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

/// What is in the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => Err(Error::invalid(
                format!("the path is not as it should be: {}", error.body_text()),
            )),
            Err(error) => Err(Error::internal("a route's path could not be read", error)),
        }
    }
}

/// What is in the query. `T` refuses what it does not know (`#[serde(deny_unknown_fields)]`).
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                let message = error.body_text();
                let message = message
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&message);
                let problem = Problem::new("request/query", "", message);
                Error::problems(
                    format!("the query is not as it should be: {message}"),
                    vec![problem],
                )
            })
    }
}

/// `If-Match`: the revision that the caller takes the resource to be at. None where the caller does
/// not say, or takes any (`*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let Some(text) = single(&parts.headers, &header::IF_MATCH)? else {
            return Ok(Self(None));
        };
        if text == "*" {
            return Ok(Self(None));
        }
        text.strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .and_then(|revision| revision.parse().ok())
            .map(|revision| Self(Some(revision)))
            .ok_or_else(|| {
                Error::invalid("If-Match holds no ETag of ours")
                    .remedy("send the ETag of the answer that you read, with its quotes")
            })
    }
}

/// `ETag`: the revision of the resource in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ETag(pub i64);

impl IntoResponseParts for ETag {
    type Error = std::convert::Infallible;

    fn into_response_parts(
        self,
        mut parts: ResponseParts,
    ) -> std::result::Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            parts.headers_mut().insert(header::ETAG, value);
        }
        Ok(parts)
    }
}

/// `Idempotency-Key`: the same on each try of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        /// The longest key: room for two UUIDs and words.
        const MAX: usize = 128;
        let name = HeaderName::from_static("idempotency-key");
        let key = single(&parts.headers, &name)?;
        if let Some(key) = key
            && (key.is_empty() || key.len() > MAX)
        {
            return Err(
                Error::invalid("Idempotency-Key is empty or longer than 128 characters")
                    .remedy("use a UUID"),
            );
        }
        Ok(Self(key.map(str::to_owned)))
    }
}

/// The one value of a header that may be there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>> {
    let text = single_value(headers, name)?.map(HeaderValue::to_str);
    text.transpose()
        .map(|text| text.map(str::trim))
        .map_err(|_| Error::invalid(format!("the header {name} is not plain text")))
}

/// The same, whatever its encoding.
pub(super) fn single_value<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Error::invalid(format!("the header {name} is there twice"))),
    }
}
