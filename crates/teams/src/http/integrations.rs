//! `/v1/platforms/integrations` and `/v1/teams/{team}/integrations`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, tagged, written};
use crate::api::NewIntegration;

/// Integrations, by name.
#[utoipa::path(get, path = "/v1/platforms/integrations", operation_id = "integrations", tag = "integrations",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(teams): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = teams.integration_list(&caller, &query.into()).await?;
    Ok(Json(page))
}

/// One integration.
#[utoipa::path(get, path = "/v1/platforms/integrations/{name}", operation_id = "integration", tag = "integrations",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(teams): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let found = teams.integration_show(&caller, &name).await?;
    Ok(tagged(StatusCode::OK, found))
}

/// Makes an integration, or writes what one should be.
#[utoipa::path(put, path = "/v1/platforms/integrations/{name}", operation_id = "integration_put", tag = "integrations",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NewIntegration,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn put(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(new): Json<NewIntegration>,
) -> Result<Response> {
    let made = teams.integration_put(&caller, &name, new, revision).await?;
    written(StatusCode::OK, &made)
}

/// Removes an integration: the tool stays as it is, and is looked at no more.
#[utoipa::path(delete, path = "/v1/platforms/integrations/{name}", operation_id = "integration_delete", tag = "integrations",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    teams.integration_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How far a tool is, with each team that the caller may see.
#[utoipa::path(get, path = "/v1/platforms/integrations/{name}/teams", operation_id = "integration_teams", tag = "integrations",
    params(("name" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn teams(
    State(teams): Service,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = teams.integration_teams(&caller, &name, query.into());
    page.await.map(Json)
}

/// How far the tools are with a team.
#[utoipa::path(get, path = "/v1/teams/{team}/integrations", operation_id = "team_integrations", tag = "integrations",
    params(("team" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn of_team(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = teams.integration_states(&caller, &team, query.into());
    page.await.map(Json)
}
