//! `/v1/environments` and `/v1/environment-roles`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, Path, Query},
};

use super::{page_shared, tagged, written};
use crate::{
    api::{
        Data, EnvironmentChange, EnvironmentSummary, GraphAnswer, ListQuery, NewEnvironment,
        PinQuery, Removal,
    },
    model::EnvironmentRole,
    service::Delivery,
};

type Service = State<Arc<Delivery>>;

/// Environments, by name.
#[utoipa::path(get, path = "/v1/environments", operation_id = "environments", tag = "environments",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    let page = delivery.environment_list(&caller, query.query(None)?);
    page.await.map(Json)
}

/// Makes an environment.
#[utoipa::path(post, path = "/v1/environments", operation_id = "environment_create", tag = "environments",
    request_body = NewEnvironment,
    responses((status = 201, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn create(
    State(delivery): Service,
    caller: Caller,
    Json(request): Json<NewEnvironment>,
) -> Result<Response> {
    let environment = delivery.environment_create(&caller, request).await?;
    written(StatusCode::CREATED, &environment)
}

/// One environment.
#[utoipa::path(get, path = "/v1/environments/{environment}", operation_id = "environment", tag = "environments",
    params(("environment" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let document = delivery.environment_show(&caller, &name).await?;
    Ok(tagged(StatusCode::OK, document))
}

/// Changes what is given: role, end, and each label by itself, which `null` removes.
#[utoipa::path(patch, path = "/v1/environments/{environment}", operation_id = "environment_change", tag = "environments",
    params(("environment" = String, Path), ("If-Match" = Option<String>, Header)), request_body = EnvironmentChange,
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn change(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(request): Json<EnvironmentChange>,
) -> Result<Response> {
    let changed = delivery
        .environment_change(&caller, &name, &request, revision)
        .await?;
    written(StatusCode::OK, &changed)
}

/// Lifts the pins of a clone: from its next deployment on the newest resource definitions hold.
#[utoipa::path(delete, path = "/v1/environments/{environment}/pins", tag = "environments",
    params(("environment" = String, Path), ("types" = Option<String>, Query), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn unpin(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Query(query): Query<PinQuery>,
) -> Result<Response> {
    let changed = delivery
        .environment_unpin(&caller, &name, &query, revision)
        .await?;
    written(StatusCode::OK, &changed)
}

/// Asks for the end of an environment and of everything in it.
#[utoipa::path(delete, path = "/v1/environments/{environment}", operation_id = "environment_delete", tag = "environments",
    params(("environment" = String, Path), ("data" = Option<Data>, Query), ("If-Match" = Option<String>, Header)),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
) -> Result<Response> {
    let with_data = removal.data == Data::Remove;
    written(
        StatusCode::ACCEPTED,
        &delivery
            .environment_delete(&caller, &name, with_data, revision)
            .await?,
    )
}

/// What is in an environment, what it takes, and who made it.
#[utoipa::path(get, path = "/v1/environments/{environment}/summary", tag = "environments",
    params(("environment" = String, Path)), responses((status = 200, body = EnvironmentSummary), (status = 404)))]
pub(super) async fn summary(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<EnvironmentSummary>> {
    delivery.environment_summary(&caller, &name).await.map(Json)
}

/// What the workloads of an environment need, and how far it is.
#[utoipa::path(get, path = "/v1/environments/{environment}/graph", tag = "environments",
    params(("environment" = String, Path)), responses((status = 200, body = GraphAnswer), (status = 404)))]
pub(super) async fn graph(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<GraphAnswer>> {
    delivery.environment_graph(&caller, &name).await.map(Json)
}

/// Environment roles, by name.
#[utoipa::path(get, path = "/v1/environment-roles", tag = "environments",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn roles(
    State(delivery): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_shared::<EnvironmentRole>(&delivery, &caller, None, query).await
}

/// Removes an environment role that no environment, namespace or team has. What came with the platform stays.
#[utoipa::path(delete, path = "/v1/environment-roles/{name}", operation_id = "environment_role_delete", tag = "environments",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete_role(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    delivery
        .environment_role_delete(&caller, &name, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
