//! `/v1/platform/keys`, and `/v1/platform/rekey` and below.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use kernel::{Caller, Result, SealedBy, http::Json};

use super::Rekey;

pub(crate) fn routes(rekey: Arc<Rekey>) -> Router {
    Router::new()
        .route("/v1/platform/keys", get(keys))
        .route("/v1/platform/rekey", post(begin))
        .route("/v1/platform/rekey/new-key", post(begin_by_new_key))
        .with_state(rekey)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(keys, begin, begin_by_new_key))]
pub(crate) struct ApiDoc;

/// By which keys secrets are sealed: how far a change of the platform's key is.
#[utoipa::path(get, path = "/v1/platform/keys", operation_id = "platform_keys", tag = "platform",
    responses((status = 200, body = SealedBy), (status = 403)))]
async fn keys(State(rekey): State<Arc<Rekey>>, caller: Caller) -> Result<Json<SealedBy>> {
    rekey.state(&caller).await.map(Json)
}

/// Has every secret sealed by the platform's current key, in the background. Follow it at
/// `/v1/platform/keys`: when `former` is empty, the former keys are not needed any more.
#[utoipa::path(post, path = "/v1/platform/rekey", operation_id = "rekey_begin", tag = "platform",
    responses((status = 202, body = SealedBy), (status = 403)))]
async fn begin(
    State(rekey): State<Arc<Rekey>>,
    caller: Caller,
) -> Result<(StatusCode, Json<SealedBy>)> {
    let state = rekey.ask(&caller, false).await?;
    Ok((StatusCode::ACCEPTED, Json(state)))
}

/// Draws a key, by which everything is sealed from now on, and has every secret sealed by it, as `/v1/platform/rekey`
/// does. Where a change of key is not done yet, that is gone on with.
#[utoipa::path(post, path = "/v1/platform/rekey/new-key", operation_id = "rekey_new_key", tag = "platform",
    responses((status = 202, body = SealedBy), (status = 403), (status = 409)))]
async fn begin_by_new_key(
    State(rekey): State<Arc<Rekey>>,
    caller: Caller,
) -> Result<(StatusCode, Json<SealedBy>)> {
    let state = rekey.ask(&caller, true).await?;
    Ok((StatusCode::ACCEPTED, Json(state)))
}
