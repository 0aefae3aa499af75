//! `/v1/teams/{team}/secrets`. A `/` in a name is written `%2F` in a path.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kernel::{
    Caller, Error, Page, Result,
    http::{ETag, IfMatch, Json, Path, Query},
};

use crate::{
    api::{
        Encoded, PutSecret, RevealedSecret, RotateSecrets, RotatedSecrets, SecretsQuery, ValueQuery,
    },
    model::{SecretInfo, SecretRef},
    service::Secrets,
};

type Service = State<Arc<Secrets>>;

/// The routes.
pub fn routes(secrets: Arc<Secrets>) -> Router {
    Router::new()
        .route("/v1/teams/{team}/secrets", get(list))
        .route(
            "/v1/teams/{team}/secrets/{name}",
            get(show).put(put).delete(delete),
        )
        .route("/v1/teams/{team}/secrets/{name}/value", get(value))
        .route("/v1/teams/{team}/secret-rotations", post(rotate))
        .with_state(secrets)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(list, show, put, delete, value, rotate))]
pub struct ApiDoc;

/// A team's secrets, by name: everything but their values.
#[utoipa::path(get, path = "/v1/teams/{team}/secrets", operation_id = "secrets", tag = "secrets",
    params(("team" = String, Path), ("path" = Option<String>, Query), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<SecretInfo>), (status = 403), (status = 404)))]
async fn list(
    State(secrets): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<SecretsQuery>,
) -> Result<Json<Page<SecretInfo>>> {
    secrets.list(&caller, &team, &query).await.map(Json)
}

/// One secret of a team, with its versions and without its value.
#[utoipa::path(get, path = "/v1/teams/{team}/secrets/{name}", operation_id = "secret", tag = "secrets",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = SecretInfo), (status = 403), (status = 404)))]
async fn show(
    State(secrets): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    let info = secrets
        .info(&caller, &SecretRef::new(&team, &name)?)
        .await?;
    Ok(tagged(info))
}

/// Writes a secret's value, as a further version, or has the platform draw one.
#[utoipa::path(put, path = "/v1/teams/{team}/secrets/{name}", operation_id = "secret_put", tag = "secrets",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = PutSecret,
    responses((status = 200, body = SecretInfo), (status = 403), (status = 409), (status = 413), (status = 422)))]
async fn put(
    State(secrets): Service,
    caller: Caller,
    IfMatch(version): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Json(body): Json<PutSecret>,
) -> Result<Response> {
    let secret = SecretRef::new(&team, &name)?;
    let expected = expected(version)?;
    Ok(tagged(secrets.put(&caller, &secret, body, expected).await?))
}

/// Removes a secret with all its versions.
#[utoipa::path(delete, path = "/v1/teams/{team}/secrets/{name}", operation_id = "secret_delete", tag = "secrets",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn delete(
    State(secrets): Service,
    caller: Caller,
    IfMatch(version): IfMatch,
    Path((team, name)): Path<(String, String)>,
) -> Result<StatusCode> {
    let secret = SecretRef::new(&team, &name)?;
    secrets.delete(&caller, &secret, expected(version)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A secret's value: of the newest version, or of one that is named. Recorded as an event.
#[utoipa::path(get, path = "/v1/teams/{team}/secrets/{name}/value", operation_id = "secret_value", tag = "secrets",
    params(("team" = String, Path), ("name" = String, Path), ("version" = Option<u64>, Query)),
    responses((status = 200, body = RevealedSecret), (status = 403), (status = 404)))]
async fn value(
    State(secrets): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
    Query(query): Query<ValueQuery>,
) -> Result<Response> {
    let secret = SecretRef::new(&team, &name)?;
    let found = secrets.reveal(&caller, &secret, query.version).await?;
    let answer = RevealedSecret {
        version: found.version,
        value: Encoded::of(&found.value),
    };
    // No cache on the way may keep it.
    let headers = [("cache-control", "no-store")];
    Ok((headers, Json(answer)).into_response())
}

/// Gives every secret that is at a path, or below it, a new value where the platform draws it.
#[utoipa::path(post, path = "/v1/teams/{team}/secret-rotations", operation_id = "secrets_rotate", tag = "secrets",
    params(("team" = String, Path)),
    request_body = RotateSecrets,
    responses((status = 200, body = RotatedSecrets), (status = 403), (status = 404), (status = 409), (status = 503)))]
async fn rotate(
    State(secrets): Service,
    caller: Caller,
    Path(team): Path<String>,
    Json(body): Json<RotateSecrets>,
) -> Result<Json<RotatedSecrets>> {
    let rotated = secrets.rotate(&caller, &team, &body.path);
    rotated.await.map(Json)
}

fn tagged(info: SecretInfo) -> Response {
    let version = i64::try_from(info.version).unwrap_or(i64::MAX);
    (ETag(version), Json(info)).into_response()
}

/// `If-Match` holds the newest version; 0 where there must be none.
fn expected(version: Option<i64>) -> Result<Option<u64>> {
    version
        .map(|version| {
            u64::try_from(version).map_err(|_| {
                Error::invalid("If-Match holds no version of a secret")
                    .remedy("send the ETag of the answer that you read, with its quotes")
            })
        })
        .transpose()
}
