//! The API below `/v1`: users and groups, and who one is.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use kernel::{
    Caller, CallerKind, Document, Key, Kind, Page, Resource, Result, Secret,
    http::{ETag, IfMatch, Json, Path, Query},
};
use serde::{Deserialize, Serialize};

use crate::{
    Identity,
    model::{LocalGroup, LocalGroupSpec, LocalUser, LocalUserSpec},
};

type Service = State<Arc<Identity>>;

pub(super) fn routes() -> Router<Arc<Identity>> {
    Router::new()
        .route("/v1/whoami", get(whoami))
        .route("/v1/identity/users", get(users))
        .route(
            "/v1/identity/users/{name}",
            put(user_put).get(user).delete(user_delete),
        )
        .route("/v1/identity/groups", get(groups))
        .route(
            "/v1/identity/groups/{name}",
            put(group_put).get(group).delete(group_delete),
        )
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    whoami,
    users,
    user,
    user_put,
    user_delete,
    groups,
    group,
    group_put,
    group_delete
))]
pub struct ApiDoc;

/// Whoever asks, as the platform knows them.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// Who: `local:ada`, `github:583231`, `account:payments/ci`.
    pub subject: String,
    /// `person`, `service-account`, `deploy-credential`, `agent`, `local-admin`.
    #[schema(value_type = String)]
    pub kind: CallerKind,
    /// The teams whose rights they have.
    pub teams: Vec<String>,
    /// The one environment that they are for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Whether they operate the platform.
    pub admin: bool,
}

/// Who calls.
#[utoipa::path(get, path = "/v1/whoami", tag = "identity",
    responses((status = 200, body = WhoAmI), (status = 401)))]
async fn whoami(caller: Caller) -> Json<WhoAmI> {
    Json(WhoAmI {
        subject: caller.subject,
        kind: caller.kind,
        teams: caller.teams,
        environment: caller.environment,
        admin: caller.admin,
    })
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of documents of one kind, for those who operate the platform.
async fn page<K: Kind>(
    identity: &Identity,
    caller: &Caller,
    scope: Option<String>,
    query: ListQuery,
) -> Result<Json<Page<Document>>> {
    identity.may_read(caller, K::KIND)?;
    let query = kernel::Query {
        scope,
        after: query.after,
        limit: query.limit.unwrap_or_default(),
        ..kernel::Query::default()
    };
    Ok(Json(identity.store().documents(K::KIND, &query).await?))
}

async fn one<K: Kind>(
    identity: &Identity,
    caller: &Caller,
    scope: &str,
    name: &str,
) -> Result<Response> {
    identity.may_read(caller, K::KIND)?;
    let key = Key::of::<K>(scope, name);
    let document = identity.store().document(&key).await?;
    let document = document.ok_or_else(|| kernel::Error::not_found(&key))?;
    Ok((ETag(document.meta.revision), Json(document)).into_response())
}

fn written<K: Kind>(resource: &Resource<K>) -> Result<Response> {
    let document = resource.document()?;
    Ok((ETag(document.meta.revision), Json(document)).into_response())
}

/// What a user should be, and their password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UserRequest {
    /// What the user should be.
    #[serde(default)]
    spec: LocalUserSpec,
    /// A new password; the present one stays where none is given.
    #[serde(default)]
    password: Option<String>,
}

/// Users of the local source, by name.
#[utoipa::path(get, path = "/v1/identity/users", tag = "identity",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403)))]
async fn users(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page::<LocalUser>(&identity, &caller, None, query).await
}

/// One user of the local source.
#[utoipa::path(get, path = "/v1/identity/users/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
async fn user(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    one::<LocalUser>(&identity, &caller, "", &name).await
}

/// Makes a user of the local source, or writes what one should be.
#[utoipa::path(put, path = "/v1/identity/users/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = UserRequest,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
async fn user_put(
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
async fn user_delete(
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
async fn groups(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Document>>> {
    page::<LocalGroup>(&identity, &caller, None, query).await
}

/// One group of the local source.
#[utoipa::path(get, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
async fn group(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    one::<LocalGroup>(&identity, &caller, "", &name).await
}

/// Makes a group of the local source, or writes who belongs to it.
#[utoipa::path(put, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = LocalGroupSpec,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
async fn group_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(spec): Json<LocalGroupSpec>,
) -> Result<Response> {
    written(&identity.group_put(&caller, &name, spec, revision).await?)
}

/// Removes a group of the local source.
#[utoipa::path(delete, path = "/v1/identity/groups/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn group_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    identity.group_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}
