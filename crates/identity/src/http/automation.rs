//! Calls that say of themselves that no person makes them.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};
use kernel::Secret;

use crate::Identity;

/// What such calls have in their `User-Agent`: `towpath/0.1.0 (ci)`.
const MARK: &str = "(ci)";

/// Middleware of the whole API: notes whose login automation calls with.
pub async fn note_automation(
    State(identity): State<Arc<Identity>>,
    request: Request,
    next: Next,
) -> Response {
    let token = marked_token(request.headers());
    let response = next.run(request).await;
    if let Some(token) = token.filter(|_| response.status() != StatusCode::UNAUTHORIZED) {
        identity.automation_seen(&token).await;
    }
    response
}

fn marked_token(headers: &HeaderMap) -> Option<Secret> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(header::USER_AGENT).filter(|agent| agent.contains(MARK))?;
    let (scheme, token) = text(header::AUTHORIZATION)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::from(token.trim()))
}
