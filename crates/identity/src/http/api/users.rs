//! Users and groups of the local source.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result, Secret,
    http::{IfMatch, Json, PageQuery, Path, Query},
};
use serde::Deserialize;

use super::{Service, tagged, written};
use crate::model::{LocalGroup, LocalGroupSpec, LocalUser, LocalUserSpec};

/// What a user should be, and their password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UserRequest {
    /// What the user should be.
    #[serde(default)]
    spec: LocalUserSpec,
    /// A new password; the present one stays where none is given.
    #[serde(default)]
    password: Option<String>,
}

/// The removal of a group.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GroupConfirm {
    /// The group's name, once more: where it is a team's, its people lose their access with it.
    confirm: Option<String>,
}

/// Users of the local source, by name.
#[utoipa::path(get, path = "/v1/identity/users", tag = "identity",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403)))]
pub(super) async fn users(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let query = query.into();
    identity
        .of_platform::<LocalUser>(&caller, &query)
        .await
        .map(Json)
}

/// One user of the local source.
#[utoipa::path(get, path = "/v1/identity/users/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn user(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    identity
        .one_of_platform::<LocalUser>(&caller, &name)
        .await
        .map(tagged)
}

/// Makes a user of the local source, or writes what one should be.
#[utoipa::path(put, path = "/v1/identity/users/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = UserRequest,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn user_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(request): Json<UserRequest>,
) -> Result<Response> {
    let password = request.password.map(Secret::from);
    written(
        &identity
            .user_put(&caller, &name, request.spec, password, revision)
            .await?,
    )
}

/// Removes a user of the local source; every session of theirs ends.
#[utoipa::path(delete, path = "/v1/identity/users/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn user_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    identity.user_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Groups of the local source, by name.
#[utoipa::path(get, path = "/v1/identity/groups", tag = "identity",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403)))]
pub(super) async fn groups(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let query = query.into();
    identity
        .of_platform::<LocalGroup>(&caller, &query)
        .await
        .map(Json)
}

/// One group of the local source.
#[utoipa::path(get, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn group(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    identity
        .one_of_platform::<LocalGroup>(&caller, &name)
        .await
        .map(tagged)
}

/// Makes a group of the local source, or writes who belongs to it.
#[utoipa::path(put, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = LocalGroupSpec,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn group_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(spec): Json<LocalGroupSpec>,
) -> Result<Response> {
    written(&identity.group_put(&caller, &name, spec, revision).await?)
}

/// Removes a group of the local source. One that is a team's has to be named once more.
#[utoipa::path(delete, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header), GroupConfirm),
    responses((status = 204), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn group_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Query(GroupConfirm { confirm }): Query<GroupConfirm>,
) -> Result<StatusCode> {
    identity
        .group_delete(&caller, &name, confirm.as_deref(), revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user of the local source into a group, which is made where it is not there.
#[utoipa::path(put, path = "/v1/identity/groups/{name}/members/{user}", tag = "identity",
    params(("name" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn group_member_put(
    State(identity): Service,
    caller: Caller,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode> {
    identity.group_member_put(&caller, &name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a group: what they had by it ends at once.
#[utoipa::path(delete, path = "/v1/identity/groups/{name}/members/{user}", tag = "identity",
    params(("name" = String, Path), ("user" = String, Path)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn group_member_delete(
    State(identity): Service,
    caller: Caller,
    Path((name, user)): Path<(String, String)>,
) -> Result<StatusCode> {
    identity.group_member_delete(&caller, &name, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}
