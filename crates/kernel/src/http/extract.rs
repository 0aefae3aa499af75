//! Parts of a request beside its body, whose mistakes are answered as problems.

use axum::{
    extract::{FromRequestParts, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponseParts, ResponseParts},
};
use serde::de::DeserializeOwned;

use crate::{Error, Problem, Result};

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

/// `Idempotency-Key`: the same on each try of one request. Honoured by [`idempotent`](super::idempotent), ahead of
/// the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// The most characters that one has: room for two UUIDs and words.
    pub const LONGEST: usize = 128;
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let name = HeaderName::from_static("idempotency-key");
        let key = single(&parts.headers, &name)?;
        if let Some(key) = key
            && (key.is_empty() || key.len() > Self::LONGEST)
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
