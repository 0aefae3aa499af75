//! `/v1/environments/{environment}/resources`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, Path, Query},
};

use super::{page_in, written};
use crate::{
    api::{Data, ListQuery, OutputsQuery, Removal, ResourceOutputs},
    model::ResourceInstance,
    service::Delivery,
};

type Service = State<Arc<Delivery>>;

/// Resource instances of an environment, by name.
#[utoipa::path(get, path = "/v1/environments/{environment}/resources", operation_id = "resources", tag = "resources",
    params(("environment" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Path(environment): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_in::<ResourceInstance>(&delivery, &caller, &environment, query).await
}

/// One resource instance, by its name or by what it is in the graph: `postgres.default#notes.db`.
#[utoipa::path(get, path = "/v1/environments/{environment}/resources/{name}", operation_id = "resource", tag = "resources",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404), (status = 409, description = "Several are called so")))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response> {
    let instance = delivery.resource(&caller, &environment, &name).await?;
    written(StatusCode::OK, &instance)
}

/// Asks for the removal of an instance that nothing uses. One that holds data is refused unless
/// `data=remove`.
#[utoipa::path(delete, path = "/v1/environments/{environment}/resources/{name}", operation_id = "resource_delete", tag = "resources",
    params(("environment" = String, Path), ("name" = String, Path), ("data" = Option<Data>, Query), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((environment, name)): Path<(String, String)>,
    Query(removal): Query<Removal>,
) -> Result<Response> {
    let with_data = removal.data == Data::Remove;
    let instance = delivery
        .resource_delete(&caller, &environment, &name, with_data, revision)
        .await?;
    written(StatusCode::ACCEPTED, &instance)
}

/// Gives an instance new credentials; the old ones end once every workload runs with the new.
#[utoipa::path(post, path = "/v1/environments/{environment}/resources/{name}/rotate", operation_id = "resource_rotate", tag = "resources",
    params(("environment" = String, Path), ("name" = String, Path)),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn rotate(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
) -> Result<Response> {
    let instance = delivery
        .resource_rotate(&caller, &environment, &name)
        .await?;
    written(StatusCode::ACCEPTED, &instance)
}

/// What an instance gives to those who use it. A secret's value only where it is asked for by name,
/// which is recorded.
#[utoipa::path(get, path = "/v1/environments/{environment}/resources/{name}/outputs", tag = "resources",
    params(("environment" = String, Path), ("name" = String, Path), ("reveal" = Option<String>, Query)),
    responses((status = 200, body = ResourceOutputs), (status = 403), (status = 404),
        (status = 409, description = "Several are called so")))]
pub(super) async fn outputs(
    State(delivery): Service,
    caller: Caller,
    Path((environment, name)): Path<(String, String)>,
    Query(query): Query<OutputsQuery>,
) -> Result<Json<ResourceOutputs>> {
    delivery
        .resource_outputs(&caller, &environment, &name, query.reveal.as_deref())
        .await
        .map(Json)
}
