//! `/v1/teams/{team}/namespaces`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, tagged, written};
use crate::api::{Confirm, NamespaceFields, NewNamespace};

/// A team's namespaces, by name.
#[utoipa::path(get, path = "/v1/teams/{team}/namespaces", operation_id = "namespaces", tag = "namespaces",
    params(("team" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn list(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = teams.namespace_list(&caller, &team, query.into());
    page.await.map(Json)
}

/// Makes a namespace beside the standard ones, within the team's allowance.
#[utoipa::path(post, path = "/v1/teams/{team}/namespaces", operation_id = "namespace_create", tag = "namespaces",
    params(("team" = String, Path)),
    request_body = NewNamespace,
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn create(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
    Json(request): Json<NewNamespace>,
) -> Result<Response> {
    let namespace = teams.namespace_create(&caller, &team, request).await?;
    written(StatusCode::ACCEPTED, &namespace)
}

/// One namespace, and what of its quota is asked for.
#[utoipa::path(get, path = "/v1/teams/{team}/namespaces/{name}", operation_id = "namespace", tag = "namespaces",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(teams): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    let document = teams.namespace_show(&caller, &team, &name).await?;
    Ok(tagged(StatusCode::OK, document))
}

/// Changes what is given: description, quota, who may reach it.
#[utoipa::path(patch, path = "/v1/teams/{team}/namespaces/{name}", operation_id = "namespace_change", tag = "namespaces",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NamespaceFields,
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn change(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Json(request): Json<NamespaceFields>,
) -> Result<Response> {
    let changed = teams
        .namespace_change(&caller, &team, &name, &request, revision)
        .await?;
    written(StatusCode::OK, &changed)
}

/// Removes a namespace that is no standard one, with all that is in it.
#[utoipa::path(delete, path = "/v1/teams/{team}/namespaces/{name}", operation_id = "namespace_delete", tag = "namespaces",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header), Confirm),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn delete(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Query(Confirm { confirm }): Query<Confirm>,
) -> Result<Response> {
    let left = teams
        .namespace_delete(&caller, &team, &name, confirm.as_deref(), revision)
        .await?;
    written(StatusCode::ACCEPTED, &left)
}
