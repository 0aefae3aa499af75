//! The routes of the catalog: decode, one call to the service, encode. Thin.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use kernel::{
    Caller, Document, Page, Result,
    http::{ETag, IfMatch, Json, PageQuery, Path, Query},
};

use crate::{
    Catalog,
    api::{NewRepository, Repository},
};

type Service = State<Arc<Catalog>>;

/// The routes, below `/v1`.
pub fn routes(catalog: Arc<Catalog>) -> Router {
    Router::new()
        .route("/v1/starter-kits", get(list))
        .route("/v1/starter-kits/{name}", get(show).delete(remove))
        .route("/v1/starter-kits/{name}/repositories", post(repository))
        .with_state(catalog)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(list, show, remove, repository),
    components(schemas(crate::model::StarterKitSpec, crate::model::StarterKitStatus))
)]
pub struct ApiDoc;

/// Starter kits, by name.
#[utoipa::path(get, path = "/v1/starter-kits", operation_id = "starter_kits", tag = "catalog",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
async fn list(
    State(catalog): Service,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    catalog.list(&caller, page.into()).await.map(Json)
}

/// One starter kit, with its files.
#[utoipa::path(get, path = "/v1/starter-kits/{name}", operation_id = "starter_kit", tag = "catalog",
    params(("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
async fn show(
    State(catalog): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let document = catalog.show(&caller, &name).await?.document()?;
    Ok((ETag(document.meta.revision), Json(document)).into_response())
}

/// Takes a starter kit away; one that came with the platform comes back at its next start.
#[utoipa::path(delete, path = "/v1/starter-kits/{name}", operation_id = "starter_kit_delete", tag = "catalog",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn remove(
    State(catalog): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    catalog.delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files of a new repository, by a starter kit. The platform keeps none of it.
#[utoipa::path(post, path = "/v1/starter-kits/{name}/repositories", operation_id = "repository_create", tag = "catalog",
    params(("name" = String, Path)), request_body = NewRepository,
    responses((status = 200, body = Repository), (status = 404), (status = 422)))]
async fn repository(
    State(catalog): Service,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<NewRepository>,
) -> Result<Json<Repository>> {
    catalog.repository(&caller, &name, request).await.map(Json)
}
