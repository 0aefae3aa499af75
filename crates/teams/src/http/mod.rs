//! The routes of teams: decode, one call to the service, encode. Thin.

mod integrations;
mod namespaces;
mod onboarding;
mod teams;
mod tools;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use kernel::{
    Document, Kind, Resource, Result,
    http::{ETag, Json},
};

use crate::Teams;

type Service = axum::extract::State<Arc<Teams>>;

/// The routes, below `/v1`.
pub fn routes(teams: Arc<Teams>) -> Router {
    use self::{integrations as i, namespaces as n, onboarding as o, teams as t, tools as r};
    Router::new()
        .route("/v1/platforms/teams", get(t::list).post(t::onboard))
        .route(
            "/v1/platforms/teams/{team}",
            get(t::show).patch(t::change).delete(t::offboard),
        )
        .route("/v1/platforms/teams/{team}/members", get(t::members))
        .route(
            "/v1/platforms/teams/{team}/members/{user}",
            put(t::member_add).delete(t::member_remove),
        )
        .route("/v1/platforms/teams/{team}/sync", post(t::sync))
        .route("/v1/platforms/teams/{team}/onboarding", get(o::of_team))
        .route("/v1/platforms/onboarding", get(o::of_all))
        .route("/v1/platforms/integrations", get(i::list))
        .route(
            "/v1/platforms/integrations/{name}",
            put(i::put).get(i::show).delete(i::delete),
        )
        .route("/v1/platforms/integrations/{name}/teams", get(i::teams))
        .route("/v1/platforms/tools", get(r::list))
        .route("/v1/platforms/tools/{name}", get(r::show).delete(r::delete))
        .route("/v1/teams/{team}/integrations", get(i::of_team))
        .route("/v1/teams/{team}/namespaces", get(n::list).post(n::create))
        .route(
            "/v1/teams/{team}/namespaces/{name}",
            get(n::show).patch(n::change).delete(n::delete),
        )
        .with_state(teams)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    teams::list,
    teams::onboard,
    teams::show,
    teams::change,
    teams::offboard,
    teams::members,
    teams::member_add,
    teams::member_remove,
    teams::sync,
    onboarding::of_team,
    onboarding::of_all,
    integrations::list,
    integrations::show,
    integrations::put,
    integrations::delete,
    integrations::teams,
    integrations::of_team,
    tools::list,
    tools::show,
    tools::delete,
    namespaces::list,
    namespaces::create,
    namespaces::show,
    namespaces::change,
    namespaces::delete,
))]
pub struct ApiDoc;

fn tagged(status: StatusCode, document: Document) -> Response {
    (status, ETag(document.meta.revision), Json(document)).into_response()
}

fn written<K: Kind>(status: StatusCode, resource: &Resource<K>) -> Result<Response> {
    Ok(tagged(status, resource.document()?))
}
