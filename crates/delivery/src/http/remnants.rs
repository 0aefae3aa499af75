//! `/v1/remnants`, and how one comes.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, Path, Query},
};

use super::{page_shared, tagged, written};
use crate::{api::ListQuery, model::Remnant, service::Delivery};

type Service = State<Arc<Delivery>>;

/// Gives up an instance whose removal was asked for and fails; what may be left of it is a remnant.
#[utoipa::path(post, path = "/v1/environments/{environment}/resources/{name}/abandon", operation_id = "resource_abandon", tag = "resources",
    params(("environment" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 201, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn abandon(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response> {
    let remnant = delivery
        .resource_abandon(&caller, &environment, &name, revision)
        .await?;
    written(StatusCode::CREATED, &remnant)
}

/// What may be left of resources that were given up.
#[utoipa::path(get, path = "/v1/remnants", operation_id = "remnants", tag = "resources",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_shared::<Remnant>(&delivery, &caller, None, query).await
}

/// One remnant.
#[utoipa::path(get, path = "/v1/remnants/{name}", operation_id = "remnant", tag = "resources",
    params(("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let document = delivery.show_shared::<Remnant>(&caller, &name).await?;
    Ok(tagged(StatusCode::OK, document))
}

/// Forgets a remnant, once somebody has seen to what was left. Refused while its server lists it.
#[utoipa::path(delete, path = "/v1/remnants/{name}", operation_id = "remnant_delete", tag = "resources",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    delivery.remnant_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}
