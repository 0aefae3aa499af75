//! `/v1/resource-definitions`, `/v1/apply`, `/v1/explain`, `/v1/routes` and `/v1/policies`.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, Path, Query},
};

use super::{page_shared, tagged, written};
use crate::{
    api::{
        ApplyAnswer, ApplyRequest, DefinitionDeleted, DifferenceQuery, ExplainRequest, ListQuery,
        PolicyList, PolicySource, RevisionDifference,
    },
    definition::Explanation,
    model::{ResourceDefinition, ResourceDefinitionRevision},
    service::Delivery,
};

type Service = State<Arc<Delivery>>;

/// Resource definitions, by name, each at its newest revision.
#[utoipa::path(get, path = "/v1/resource-definitions", operation_id = "resource_definitions", tag = "definitions",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(delivery): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_shared::<ResourceDefinition>(&delivery, &caller, None, query).await
}

/// One resource definition.
#[utoipa::path(get, path = "/v1/resource-definitions/{name}", operation_id = "resource_definition", tag = "definitions",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let document = delivery
        .show_shared::<ResourceDefinition>(&caller, &name)
        .await?;
    Ok(tagged(StatusCode::OK, document))
}

/// Takes a definition out of matching. Resources that were made with it stay as they are; the answer
/// names them.
#[utoipa::path(delete, path = "/v1/resource-definitions/{name}", operation_id = "resource_definition_delete", tag = "definitions",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = DefinitionDeleted), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(delivery): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<Json<DefinitionDeleted>> {
    let answer = delivery.definition_delete(&caller, &name, revision).await?;
    Ok(Json(answer))
}

/// The revisions of a definition: immutable.
#[utoipa::path(get, path = "/v1/resource-definitions/{name}/revisions", tag = "definitions",
    params(("name" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn revisions(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page_shared::<ResourceDefinitionRevision>(&delivery, &caller, Some(name), query).await
}

/// One revision of a definition.
#[utoipa::path(get, path = "/v1/resource-definitions/{name}/revisions/{revision}", operation_id = "revision", tag = "definitions",
    params(("name" = String, Path), ("revision" = u64, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn revision(
    State(delivery): Service,
    caller: Caller,
    Path((name, revision)): Path<(String, u64)>,
) -> Result<Response> {
    let found = delivery
        .definition_revision_show(&caller, &name, revision)
        .await?;
    written(StatusCode::OK, &found)
}

/// What one revision of a definition says otherwise than another; the last change where it is not said
/// which.
#[utoipa::path(get, path = "/v1/resource-definitions/{name}/difference", operation_id = "definition_difference", tag = "definitions",
    params(("name" = String, Path),
        ("from" = Option<u64>, Query, description = "The earlier revision; the one before `to` where it is not given"),
        ("to" = Option<u64>, Query, description = "The later one; the newest where it is not given")),
    responses((status = 200, body = RevisionDifference), (status = 404), (status = 422)))]
pub(super) async fn difference(
    State(delivery): Service,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DifferenceQuery>,
) -> Result<Json<RevisionDifference>> {
    let found = delivery.definition_difference(&caller, &name, query);
    found.await.map(Json)
}

/// Applies documents of apiVersion `towpath.dev/v1`, all or none.
#[utoipa::path(post, path = "/v1/apply", tag = "definitions",
    request_body = ApplyRequest,
    responses((status = 200, body = ApplyAnswer), (status = 403), (status = 404), (status = 409), (status = 413), (status = 422)))]
pub(super) async fn apply(
    State(delivery): Service,
    caller: Caller,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyAnswer>> {
    delivery.apply(&caller, request).await.map(Json)
}

/// Says what applying documents would do with each, and where it would change what is there; nothing is written.
#[utoipa::path(post, path = "/v1/apply/plan", operation_id = "apply_plan", tag = "definitions",
    request_body = ApplyRequest,
    responses((status = 200, body = ApplyAnswer), (status = 403), (status = 404), (status = 409), (status = 413), (status = 422)))]
pub(super) async fn plan(
    State(delivery): Service,
    caller: Caller,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyAnswer>> {
    delivery.apply_plan(&caller, request).await.map(Json)
}

/// Which definition meets a resource, and why the others do not.
#[utoipa::path(post, path = "/v1/explain", tag = "definitions", request_body = ExplainRequest,
    responses((status = 200, body = Explanation), (status = 404)))]
pub(super) async fn explain(
    State(delivery): Service,
    caller: Caller,
    Json(request): Json<ExplainRequest>,
) -> Result<Json<Explanation>> {
    delivery.explain(&caller, request).await.map(Json)
}

/// Routes: which host and path leads to which workload.
#[utoipa::path(get, path = "/v1/routes", tag = "routes",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query), ("label" = Option<String>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn routes(
    State(delivery): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    let page = delivery.route_list(&caller, query.query(None)?);
    page.await.map(Json)
}

/// The source of every policy that decides: no shields.
#[utoipa::path(get, path = "/v1/policies", tag = "policies",
    responses((status = 200, body = PolicyList)))]
pub(super) async fn policies(State(delivery): Service, caller: Caller) -> Json<PolicyList> {
    let items = delivery
        .policies(&caller)
        .into_iter()
        .map(|(name, source)| PolicySource { name, source })
        .collect();
    Json(PolicyList { items })
}
