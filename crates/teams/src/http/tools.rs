//! `/v1/platforms/tools`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, tagged};

/// Tools, by name, each with what is found about it. They are applied: `POST /v1/apply`.
#[utoipa::path(get, path = "/v1/platforms/tools", operation_id = "tools", tag = "tools",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(teams): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    teams.tool_list(&caller, &query.into()).await.map(Json)
}

/// One tool, with what is found about it.
#[utoipa::path(get, path = "/v1/platforms/tools/{name}", operation_id = "tool", tag = "tools",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(teams): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let found = teams.tool_show(&caller, &name).await?;
    Ok(tagged(StatusCode::OK, found))
}

/// Takes a tool out of the register: it stays as it is, and nobody is reminded of its credentials.
#[utoipa::path(delete, path = "/v1/platforms/tools/{name}", operation_id = "tool_delete", tag = "tools",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    teams.tool_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}
