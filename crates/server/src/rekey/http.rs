//! `/v1/platform/keys`, and `/v1/platform/rekey` and below.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use kernel::{
    Caller, Result, SealedBy, Secret,
    http::{Json, Whole, read_json},
    sealer::GivenKey,
};

use super::Rekey;

pub(crate) fn routes(rekey: Arc<Rekey>) -> Router {
    Router::new()
        .route("/v1/platform/keys", get(keys))
        .route("/v1/platform/rekey", post(begin))
        .route("/v1/platform/rekey/new-key", post(begin_by_new_key))
        .route("/v1/platform/rekey/forget-former", post(forget_former))
        .with_state(rekey)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(keys, begin, begin_by_new_key, forget_former))]
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
    let state = rekey.ask(&caller).await?;
    Ok((StatusCode::ACCEPTED, Json(state)))
}

/// Has every secret sealed by another key, as `/v1/platform/rekey` does: the given one, or one that is drawn. It seals
/// as soon as every replica has it: `change` of `/v1/platform/keys` says which are waited for. On one machine, where the
/// key is in a file, a change that is not done yet is gone on with.
#[utoipa::path(post, path = "/v1/platform/rekey/new-key", operation_id = "rekey_new_key", tag = "platform",
    request_body = Option<GivenKey>,
    responses((status = 202, body = SealedBy), (status = 403), (status = 409), (status = 422), (status = 503)))]
async fn begin_by_new_key(
    State(rekey): State<Arc<Rekey>>,
    caller: Caller,
    body: Whole,
) -> Result<(StatusCode, Json<SealedBy>)> {
    let new = body.read(|body| match body {
        [] => Ok(GivenKey::default()),
        body => read_json(body),
    });
    let given = new.await?.key;
    let given = given.map(|key| Secret::from(key.trim()));
    let state = rekey.ask_for_new_key(&caller, given).await?;
    Ok((StatusCode::ACCEPTED, Json(state)))
}

/// Has the store forget the former key, which it keeps sealed by the new one, and the new one by it, for replicas that
/// are still started with the former one. Nothing, where it keeps none.
#[utoipa::path(post, path = "/v1/platform/rekey/forget-former", operation_id = "rekey_forget_former", tag = "platform",
    responses((status = 200, body = SealedBy), (status = 403), (status = 409)))]
async fn forget_former(State(rekey): State<Arc<Rekey>>, caller: Caller) -> Result<Json<SealedBy>> {
    rekey.forget_former(&caller).await.map(Json)
}
