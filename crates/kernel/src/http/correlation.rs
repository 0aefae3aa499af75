//! The id that joins a request with its log lines, its events and its answer.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::authorization;

/// Carries the id: a caller may send one (a UUID), and gets it in every answer.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("correlation-id");

tokio::task_local! {
    static CURRENT: Uuid;
}

/// The id of the request that is being answered; a new one outside [`correlate`].
pub(super) fn current() -> Uuid {
    CURRENT
        .try_with(|id| *id)
        .unwrap_or_else(|_| Uuid::now_v7())
}

/// Has `answer` say so where policy could not decide something of it: what is missing from an answer is refused,
/// or not there.
async fn decided(only_reads: bool, answer: impl Future<Output = Response>) -> Response {
    let (response, undecided) = authorization::noting(answer).await;
    match undecided {
        // What was done is done.
        Some(error) if only_reads || response.status().is_client_error() => error.into_response(),
        _ => response,
    }
}

/// What answers the request in hand, for another task to do: under the same id, and where policy could not decide,
/// it says so there.
pub(super) fn elsewhere(answer: impl Future<Output = Response>) -> impl Future<Output = Response> {
    CURRENT
        .scope(current(), decided(false, answer))
        .in_current_span()
}

/// Middleware: gives each request its id, for its [`crate::Caller`], its log lines and its answer. Where policy
/// could not decide something of it, the answer says so.
pub async fn correlate(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(CORRELATION_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(Uuid::now_v7);
    let span = tracing::info_span!(
        "request",
        correlation = %id,
        method = %request.method(),
        path = request.uri().path(),
    );
    let only_reads = request.method().is_safe();
    let answer = decided(only_reads, next.run(request));
    let mut response = CURRENT.scope(id, answer).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}
