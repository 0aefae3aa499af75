//! A team's service accounts, and the tokens of other issuers that it trusts for them.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, tagged, written};
use crate::model::{ServiceAccount, ServiceAccountSpec, WorkloadTrust, WorkloadTrustSpec};

/// A team's service accounts, by name.
#[utoipa::path(get, path = "/v1/identity/teams/{team}/service-accounts", tag = "identity",
    params(("team" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403), (status = 404)))]
pub(super) async fn accounts(
    State(identity): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    identity
        .of_team::<ServiceAccount>(&caller, &team, query.into())
        .await
        .map(Json)
}

/// One service account of a team.
#[utoipa::path(get, path = "/v1/identity/teams/{team}/service-accounts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 403), (status = 404)))]
pub(super) async fn account(
    State(identity): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    identity
        .one_of_team::<ServiceAccount>(&caller, &team, &name)
        .await
        .map(tagged)
}

/// Makes a service account of a team, or writes what one should be.
#[utoipa::path(put, path = "/v1/identity/teams/{team}/service-accounts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = ServiceAccountSpec,
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn account_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Json(spec): Json<ServiceAccountSpec>,
) -> Result<Response> {
    written(
        &identity
            .account_put(&caller, &team, &name, spec, revision)
            .await?,
    )
}

/// Removes a service account: its keys and tokens end at once.
#[utoipa::path(delete, path = "/v1/identity/teams/{team}/service-accounts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn account_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
) -> Result<StatusCode> {
    identity
        .account_delete(&caller, &team, &name, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Draws a key for a service account, and answers it this once, or again for the same
/// Idempotency-Key. The key before stays valid until the next rotation.
#[utoipa::path(post, path = "/v1/identity/teams/{team}/service-accounts/{name}/keys", operation_id = "account_rotate", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 201, body = crate::service::NewKey), (status = 403), (status = 404)))]
pub(super) async fn rotate(
    State(identity): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    let drawn = identity.account_rotate(&caller, &team, &name).await?;
    Ok((StatusCode::CREATED, Json(drawn)).into_response())
}

/// Ends one key of a service account, and its tokens, at once.
#[utoipa::path(delete, path = "/v1/identity/teams/{team}/service-accounts/{name}/keys/{key}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path), ("key" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub(super) async fn key_revoke(
    State(identity): Service,
    caller: Caller,
    Path((team, name, key)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    identity
        .account_key_revoke(&caller, &team, &name, &key)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a team trusts, by name.
#[utoipa::path(get, path = "/v1/identity/teams/{team}/workload-trusts", tag = "identity",
    params(("team" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403), (status = 404)))]
pub(super) async fn trusts(
    State(identity): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    identity
        .of_team::<WorkloadTrust>(&caller, &team, query.into())
        .await
        .map(Json)
}

/// One trust of a team.
#[utoipa::path(get, path = "/v1/identity/teams/{team}/workload-trusts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 403), (status = 404)))]
pub(super) async fn trust(
    State(identity): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    identity
        .one_of_team::<WorkloadTrust>(&caller, &team, &name)
        .await
        .map(tagged)
}

/// Has a team trust tokens of another issuer for a service account, or changes which.
#[utoipa::path(put, path = "/v1/identity/teams/{team}/workload-trusts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = WorkloadTrustSpec,
    responses((status = 200, body = Document), (status = 403), (status = 404), (status = 409), (status = 422)))]
pub(super) async fn trust_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Json(spec): Json<WorkloadTrustSpec>,
) -> Result<Response> {
    written(
        &identity
            .trust_put(&caller, &team, &name, spec, revision)
            .await?,
    )
}

/// Ends a trust.
#[utoipa::path(delete, path = "/v1/identity/teams/{team}/workload-trusts/{name}", tag = "identity",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn trust_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
) -> Result<StatusCode> {
    identity
        .trust_delete(&caller, &team, &name, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
