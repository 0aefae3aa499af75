//! The routes of the fleet: decode, one call to the service, encode. Thin.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use kernel::{
    Caller, Document, Page, Result,
    http::{ETag, IfMatch, Json, PageQuery, Path, Query},
};

use crate::{Fleet, api::NewCluster};

type Service = State<Arc<Fleet>>;

/// The routes, below `/v1`.
pub fn routes(fleet: Arc<Fleet>) -> Router {
    Router::new()
        .route("/v1/clusters", get(list))
        .route("/v1/clusters/{name}", get(show).put(put).delete(remove))
        .with_state(fleet)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(list, show, put, remove),
    components(schemas(crate::model::ClusterSpec))
)]
pub struct ApiDoc;

/// Clusters, by name: where each is, what it is for, and by whose certificates it is known.
#[utoipa::path(get, path = "/v1/clusters", operation_id = "clusters", tag = "fleet",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
async fn list(
    State(fleet): Service,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    fleet.cluster_list(&caller, page.into()).await.map(Json)
}

/// One cluster.
#[utoipa::path(get, path = "/v1/clusters/{name}", operation_id = "cluster", tag = "fleet",
    params(("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
async fn show(State(fleet): Service, caller: Caller, Path(name): Path<String>) -> Result<Response> {
    let document = fleet.cluster_show(&caller, &name).await?.document()?;
    Ok(tagged(StatusCode::OK, document))
}

/// Makes a cluster known, or writes what is said of one, whole. One is the default, at the most.
#[utoipa::path(put, path = "/v1/clusters/{name}", operation_id = "cluster_put", tag = "fleet",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NewCluster,
    responses((status = 200, body = Document), (status = 201, body = Document), (status = 403),
        (status = 409), (status = 422)))]
async fn put(
    State(fleet): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(new): Json<NewCluster>,
) -> Result<Response> {
    let written = fleet.cluster_put(&caller, &name, new, revision).await?;
    let status = if written.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(tagged(status, written.cluster.document()?))
}

/// Takes a cluster out of the list. The cluster itself is not touched.
#[utoipa::path(delete, path = "/v1/clusters/{name}", operation_id = "cluster_delete", tag = "fleet",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
async fn remove(
    State(fleet): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    fleet.cluster_delete(&caller, &name, revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tagged(status: StatusCode, document: Document) -> Response {
    (status, ETag(document.meta.revision), Json(document)).into_response()
}
