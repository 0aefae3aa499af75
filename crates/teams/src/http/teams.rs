//! `/v1/platforms/teams`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, tagged, written};
use crate::api::{Members, NewTeam, Offboard, TeamFields};

/// Teams, by name: those of the caller; all, for those who onboard teams.
#[utoipa::path(get, path = "/v1/platforms/teams", operation_id = "teams", tag = "teams",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(teams): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    teams.team_list(&caller, &query.into()).await.map(Json)
}

/// Onboards a team. Done when its conditions are met.
#[utoipa::path(post, path = "/v1/platforms/teams", tag = "teams",
    request_body = NewTeam,
    responses((status = 202, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn onboard(
    State(teams): Service,
    caller: Caller,
    Json(request): Json<NewTeam>,
) -> Result<Response> {
    let team = teams.team_onboard(&caller, request).await?;
    written(StatusCode::ACCEPTED, &team)
}

/// One team, with its conditions.
#[utoipa::path(get, path = "/v1/platforms/teams/{team}", operation_id = "team", tag = "teams",
    params(("team" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
) -> Result<Response> {
    let document = teams.team_show(&caller, &team).await?;
    Ok(tagged(StatusCode::OK, document))
}

/// Changes what is given.
#[utoipa::path(patch, path = "/v1/platforms/teams/{team}", operation_id = "team_change", tag = "teams",
    params(("team" = String, Path), ("If-Match" = Option<String>, Header)), request_body = TeamFields,
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn change(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(team): Path<String>,
    Json(request): Json<TeamFields>,
) -> Result<Response> {
    let changed = teams
        .team_change(&caller, &team, &request, revision)
        .await?;
    written(StatusCode::OK, &changed)
}

/// Offboards a team: at once it gives nobody anything; what is its goes, but what is protected.
#[utoipa::path(delete, path = "/v1/platforms/teams/{team}", tag = "teams",
    params(("team" = String, Path), ("If-Match" = Option<String>, Header), Offboard),
    responses((status = 202, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn offboard(
    State(teams): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(team): Path<String>,
    Query(how): Query<Offboard>,
) -> Result<Response> {
    let left = teams.team_offboard(&caller, &team, &how, revision).await?;
    written(StatusCode::ACCEPTED, &left)
}

/// Who is in a team, as each of its sources says now.
#[utoipa::path(get, path = "/v1/platforms/teams/{team}/members", tag = "teams",
    params(("team" = String, Path)), responses((status = 200, body = Members), (status = 404)))]
pub(super) async fn members(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
) -> Result<Json<Members>> {
    teams.members(&caller, &team).await.map(Json)
}

/// Takes a user of the local source into a team whose group is kept there.
#[utoipa::path(put, path = "/v1/platforms/teams/{team}/members/{user}", tag = "teams",
    params(("team" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn member_add(
    State(teams): Service,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
) -> Result<StatusCode> {
    teams.member_add(&caller, &team, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a team: their access to it ends at once.
#[utoipa::path(delete, path = "/v1/platforms/teams/{team}/members/{user}", tag = "teams",
    params(("team" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn member_remove(
    State(teams): Service,
    caller: Caller,
    Path((team, user)): Path<(String, String)>,
) -> Result<StatusCode> {
    teams.member_remove(&caller, &team, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells of a team now (`team.sync`), and looks at everything of it.
#[utoipa::path(post, path = "/v1/platforms/teams/{team}/sync", tag = "teams",
    params(("team" = String, Path)),
    responses((status = 202, body = Document), (status = 403), (status = 404)))]
pub(super) async fn sync(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
) -> Result<Response> {
    let team = teams.team_sync(&caller, &team).await?;
    written(StatusCode::ACCEPTED, &team)
}
