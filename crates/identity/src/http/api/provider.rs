//! What the provider is told: clients, upstreams, signing keys.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use kernel::{
    Caller, Document, Page, Result, Secret,
    http::{IfMatch, Json, PageQuery, Path, Query},
};
use serde::{Deserialize, Serialize};

use super::{Service, tagged, written};
use crate::{
    model::{OidcClient, OidcClientSpec, PublishedKey, Upstream, UpstreamSpec},
    service::UpstreamSecrets,
};

/// Programs that log people in, by name.
#[utoipa::path(get, path = "/v1/identity/clients", tag = "identity",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403)))]
pub(super) async fn clients(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let query = query.into();
    identity
        .of_platform::<OidcClient>(&caller, &query)
        .await
        .map(Json)
}

/// One program that logs people in.
#[utoipa::path(get, path = "/v1/identity/clients/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn client(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    identity
        .one_of_platform::<OidcClient>(&caller, &name)
        .await
        .map(tagged)
}

/// Makes a program that logs people in, or writes what one should be.
#[utoipa::path(put, path = "/v1/identity/clients/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = OidcClientSpec,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn client_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(spec): Json<OidcClientSpec>,
) -> Result<Response> {
    written(&identity.client_put(&caller, &name, spec, revision).await?)
}

/// Removes a program that logs people in.
#[utoipa::path(delete, path = "/v1/identity/clients/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn client_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    identity.client_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Draws a secret for a confidential client, and answers it this once, or again for the same
/// Idempotency-Key.
#[utoipa::path(post, path = "/v1/identity/clients/{name}/secrets", tag = "identity",
    params(("name" = String, Path)),
    responses((status = 201, body = crate::service::NewSecret), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn client_secret(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let secret = identity.client_secret(&caller, &name).await?;
    Ok((StatusCode::CREATED, Json(secret)).into_response())
}

/// What an upstream should be, and our secret there.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct UpstreamRequest {
    /// What the upstream should be.
    spec: UpstreamSpec,
    /// A new secret; the present one stays where none is given.
    #[serde(default)]
    secret: Option<String>,
    /// Of GitHub: a token that may read the organization's members, by which who is in a team is listed, and
    /// a team that is renamed is followed. The present one stays where none is given; an empty one takes it
    /// away.
    #[serde(default)]
    directory_token: Option<String>,
}

/// Where people log in, by name.
#[utoipa::path(get, path = "/v1/identity/upstreams", tag = "identity",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 403)))]
pub(super) async fn upstreams(
    State(identity): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let query = query.into();
    identity
        .of_platform::<Upstream>(&caller, &query)
        .await
        .map(Json)
}

/// One place where people log in.
#[utoipa::path(get, path = "/v1/identity/upstreams/{name}", tag = "identity",
    params(("name" = String, Path)), responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn upstream(
    State(identity): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    identity
        .one_of_platform::<Upstream>(&caller, &name)
        .await
        .map(tagged)
}

/// Makes a place where people log in, or writes what one should be.
#[utoipa::path(put, path = "/v1/identity/upstreams/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = UpstreamRequest,
    responses((status = 200, body = Document), (status = 403), (status = 409), (status = 422)))]
pub(super) async fn upstream_put(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(request): Json<UpstreamRequest>,
) -> Result<Response> {
    let secrets = UpstreamSecrets {
        client_secret: request.secret.map(Secret::from),
        directory_token: request.directory_token.map(Secret::from),
    };
    let written_now = identity.upstream_put(&caller, &name, request.spec, secrets, revision);
    written(&written_now.await?)
}

/// Removes a place where people log in, and then what it said of them.
#[utoipa::path(delete, path = "/v1/identity/upstreams/{name}", tag = "identity",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 202), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn upstream_delete(
    State(identity): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    identity.upstream_delete(&caller, &name, revision).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The published signing keys.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct KeyList {
    /// The keys, the oldest first.
    keys: Vec<PublishedKey>,
}

/// How the signing key is rotated.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRotation {
    /// Whether the present key is in somebody else's hands: its tokens are refused at once.
    #[serde(default)]
    compromised: bool,
}

/// The signing keys, where each is in its life, and until when it is kept.
#[utoipa::path(get, path = "/v1/identity/keys", tag = "identity",
    responses((status = 200, body = KeyList), (status = 403)))]
pub(super) async fn keys(State(identity): Service, caller: Caller) -> Result<Json<KeyList>> {
    let keys = identity.keys(&caller).await?;
    Ok(Json(KeyList { keys }))
}

/// Rotates the signing key now; once for one Idempotency-Key.
#[utoipa::path(post, path = "/v1/identity/keys/rotations", tag = "identity", request_body = KeyRotation,
    responses((status = 200, body = KeyList), (status = 403)))]
pub(super) async fn keys_rotate(
    State(identity): Service,
    caller: Caller,
    Json(rotation): Json<KeyRotation>,
) -> Result<Json<KeyList>> {
    let keys = identity
        .keys_rotate(&caller, rotation.compromised)
        .await?
        .keys;
    Ok(Json(KeyList { keys }))
}
