//! The routes of delivery: decode, one call to the service, encode. Thin.

mod definitions;
mod deployments;
mod environments;
mod remnants;
mod resources;
mod workloads;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use kernel::{Caller, Document, Kind, Page, Resource, Result, http::Json};

use crate::{
    api::ListQuery,
    service::{Delivery, access::Seen},
};

/// The routes, below `/v1`.
pub fn routes(delivery: Arc<Delivery>) -> Router {
    use self::{
        definitions as d, deployments as p, environments as e, remnants as n, resources as r,
        workloads as w,
    };
    Router::new()
        .route("/v1/environments", get(e::list).post(e::create))
        .route(
            "/v1/environments/{environment}",
            get(e::show).patch(e::change).delete(e::delete),
        )
        .route("/v1/environments/{environment}/summary", get(e::summary))
        .route("/v1/environments/{environment}/pins", delete(e::unpin))
        .route("/v1/environments/{environment}/graph", get(e::graph))
        .route("/v1/environment-roles", get(e::roles))
        .route("/v1/environment-roles/{name}", delete(e::delete_role))
        .route("/v1/environments/{environment}/plans", post(p::plan))
        .route(
            "/v1/environments/{environment}/deployments",
            get(p::list).post(p::create),
        )
        .route(
            "/v1/environments/{environment}/deployments/{name}",
            get(p::show),
        )
        .route(
            "/v1/environments/{environment}/deployments/{name}/decision",
            get(p::decision),
        )
        .route(
            "/v1/environments/{environment}/rollbacks",
            post(p::rollback),
        )
        .route("/v1/environments/{environment}/workloads", get(w::list))
        .route(
            "/v1/environments/{environment}/workloads/{name}",
            get(w::show).delete(w::delete),
        )
        .route(
            "/v1/environments/{environment}/workloads/{name}/logs",
            get(w::logs),
        )
        .route(
            "/v1/environments/{environment}/workloads/{name}/release",
            get(w::release),
        )
        .route("/v1/environments/{environment}/resources", get(r::list))
        .route(
            "/v1/environments/{environment}/resources/{name}",
            get(r::show).delete(r::delete),
        )
        .route(
            "/v1/environments/{environment}/resources/{name}/rotate",
            post(r::rotate),
        )
        .route(
            "/v1/environments/{environment}/resources/{name}/outputs",
            get(r::outputs),
        )
        .route(
            "/v1/environments/{environment}/resources/{name}/abandon",
            post(n::abandon),
        )
        .route("/v1/remnants", get(n::list))
        .route("/v1/remnants/{name}", get(n::show).delete(n::delete))
        .route("/v1/resource-definitions", get(d::list))
        .route(
            "/v1/resource-definitions/{name}",
            get(d::show).delete(d::delete),
        )
        .route(
            "/v1/resource-definitions/{name}/revisions",
            get(d::revisions),
        )
        .route(
            "/v1/resource-definitions/{name}/revisions/{revision}",
            get(d::revision),
        )
        .route(
            "/v1/resource-definitions/{name}/difference",
            get(d::difference),
        )
        .route("/v1/apply", post(d::apply))
        .route("/v1/apply/plan", post(d::plan))
        .route("/v1/explain", post(d::explain))
        .route("/v1/routes", get(d::routes))
        .route("/v1/policies", get(d::policies))
        .with_state(delivery)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        environments::list,
        environments::create,
        environments::show,
        environments::change,
        environments::unpin,
        environments::delete,
        environments::summary,
        environments::graph,
        environments::roles,
        environments::delete_role,
        deployments::plan,
        deployments::list,
        deployments::create,
        deployments::show,
        deployments::decision,
        deployments::rollback,
        workloads::list,
        workloads::show,
        workloads::delete,
        workloads::logs,
        workloads::release,
        resources::list,
        resources::show,
        resources::delete,
        resources::rotate,
        resources::outputs,
        remnants::abandon,
        remnants::list,
        remnants::show,
        remnants::delete,
        definitions::list,
        definitions::show,
        definitions::delete,
        definitions::revisions,
        definitions::revision,
        definitions::difference,
        definitions::apply,
        definitions::plan,
        definitions::explain,
        definitions::routes,
        definitions::policies,
    ),
    components(schemas(
        crate::api::Data,
        kernel::Document,
        kernel::Meta,
        kernel::Problem,
        kernel::http::ProblemDocument
    ))
)]
pub struct ApiDoc;

/// A page of what the caller may see of an environment's.
async fn page_in<K: Seen>(
    delivery: &Delivery,
    caller: &Caller,
    environment: &str,
    query: ListQuery,
) -> Result<Json<Page<Document>>> {
    let query = query.query(None)?;
    let page = delivery.list_in::<K>(caller, environment, query).await?;
    Ok(Json(page))
}

/// One document of an environment's, with its revision as ETag.
async fn one_in<K: Seen>(
    delivery: &Delivery,
    caller: &Caller,
    environment: &str,
    name: &str,
) -> Result<Response> {
    let document = delivery.show_in::<K>(caller, environment, name).await?;
    Ok(tagged(StatusCode::OK, document))
}

/// A page of what the platform shares.
async fn page_shared<K: Seen>(
    delivery: &Delivery,
    caller: &Caller,
    scope: Option<String>,
    query: ListQuery,
) -> Result<Json<Page<Document>>> {
    let query = query.query(scope)?;
    Ok(Json(delivery.list_shared::<K>(caller, query).await?))
}

/// A resource that was written; what it stands for follows where `status` is 202.
fn written<K: Kind>(status: StatusCode, resource: &Resource<K>) -> Result<Response> {
    Ok(tagged(status, resource.document()?))
}

fn tagged(status: StatusCode, document: Document) -> Response {
    (
        status,
        kernel::http::ETag(document.meta.revision),
        Json(document),
    )
        .into_response()
}
