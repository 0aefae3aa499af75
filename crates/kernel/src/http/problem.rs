//! Errors as problem documents (RFC 9457).

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::correlation;
use crate::{Error, ErrorKind, Problem};

/// What a request that failed is answered with, as `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProblemDocument {
    /// What sort of problem: `https://towpath.dev/problems/<kind>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The sort of problem, in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What failed, where and why.
    pub detail: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Every rule that the input breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Names the request in log and events.
    #[schema(value_type = String, format = Uuid)]
    pub correlation: Uuid,
}

impl From<&Error> for ProblemDocument {
    fn from(error: &Error) -> Self {
        let (status, word, title) = shape(error);
        let internal = error.kind == ErrorKind::Internal;
        Self {
            type_uri: format!("https://towpath.dev/problems/{word}"),
            title: title.into(),
            status: status.as_u16(),
            detail: if internal {
                "the platform failed; its log says why, under this correlation id".into()
            } else {
                error.message.clone()
            },
            remedy: error.remedy.clone().filter(|_| !internal),
            problems: if internal {
                vec![]
            } else {
                error.problems.clone()
            },
            correlation: correlation::current(),
        }
    }
}

fn shape(error: &Error) -> (StatusCode, &'static str, &'static str) {
    if error.is_unmatched() {
        return (
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "The resource is not at the revision that If-Match names",
        );
    }
    match error.kind {
        ErrorKind::Invalid => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "The input breaks a rule",
        ),
        ErrorKind::Unauthenticated => (
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Valid credentials are needed",
        ),
        ErrorKind::Forbidden => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "The caller may not do this",
        ),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
        ErrorKind::Conflict => (
            StatusCode::CONFLICT,
            "conflict",
            "The resource is not as it was taken to be",
        ),
        ErrorKind::AlreadyExists => (
            StatusCode::CONFLICT,
            "already-exists",
            "Somebody else holds this",
        ),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
        ErrorKind::TooMany => (
            StatusCode::TOO_MANY_REQUESTS,
            "too-many",
            "More than is taken at a time",
        ),
        ErrorKind::Unavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "A server that is needed is away",
        ),
        ErrorKind::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The platform failed",
        ),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let document = ProblemDocument::from(&self);
        let (correlation, chain) = (document.correlation, self.chain());
        match self.kind {
            ErrorKind::Internal => tracing::error!(%correlation, chain, "a request failed"),
            ErrorKind::Unavailable => tracing::warn!(%correlation, chain, "a request failed"),
            _ => tracing::debug!(%correlation, chain, "a request was refused"),
        }
        let (status, ..) = shape(&self);
        let mut response = answer(status, document);
        let headers = response.headers_mut();
        if self.kind == ErrorKind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let passes = matches!(self.kind, ErrorKind::Unavailable | ErrorKind::TooMany);
        let wait = self.retry_after();
        if let Some(wait) = wait.or(passes.then_some(Duration::ZERO)) {
            // Whole seconds, and no less than it takes.
            let wait = wait.as_secs_f64().ceil();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.max(1.0) as u64));
        }
        response
    }
}

/// The document as an answer.
fn answer(status: StatusCode, document: ProblemDocument) -> Response {
    let mut response = (status, axum::Json(&document)).into_response();
    response.extensions_mut().insert(document);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

/// The answer with the remedy that `remedy` makes of its own, where it is a problem of ours.
pub(super) fn with_remedy(
    mut response: Response,
    remedy: impl FnOnce(Option<String>) -> String,
) -> Response {
    let Some(mut document) = response.extensions_mut().remove::<ProblemDocument>() else {
        return response;
    };
    document.remedy = Some(remedy(document.remedy.take()));
    if let Ok(body) = serde_json::to_vec(&document) {
        *response.body_mut() = Body::from(body);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

/// The answer where no route matches: a router's fallback.
pub async fn no_such_route(uri: Uri) -> Error {
    Error::not_found(format!("the path {}", uri.path()))
        .remedy("the paths are in the OpenAPI document")
}

/// The answer where a route matches that does not take the method: a router's fallback for that. The router adds
/// `Allow`.
pub async fn no_such_method(method: Method, uri: Uri) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let document = ProblemDocument {
        type_uri: "https://towpath.dev/problems/method-not-allowed".into(),
        title: "The path does not take this method".into(),
        status: status.as_u16(),
        detail: format!("the path {} does not take {method}", uri.path()),
        remedy: Some(
            "the header Allow names the methods that it takes; an action is a path below its resource \
             (`/sync`, not `:sync`). All of them are in the OpenAPI document, /v1/openapi.json"
                .into(),
        ),
        problems: vec![],
        correlation: correlation::current(),
    };
    answer(status, document)
}
