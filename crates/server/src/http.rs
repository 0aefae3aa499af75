//! The OpenAPI document of the whole API, and what tells whether the platform is well.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use kernel::{Store, http::Json};
use utoipa::{
    OpenApi as _,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

/// Towpath's API.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Towpath",
        description = "The engineering platform's API. Errors are RFC 9457 problem documents; lists \
                       are paged by cursor; writes take If-Match and Idempotency-Key; long work \
                       answers 202 with a resource to watch.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(healthz, readyz, openapi),
    modifiers(&Conventions),
    security(("token" = []))
)]
struct Api;

/// What holds for every operation: the token, and how errors are told.
struct Conventions;

impl utoipa::Modify for Conventions {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", token);
    }
}

/// The OpenAPI 3.1 document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    document.merge(delivery::http::ApiDoc::openapi());
    document.merge(identity::http::ApiDoc::openapi());
    document.merge(teams::http::ApiDoc::openapi());
    document.merge(crate::rekey::ApiDoc::openapi());
    document.merge(secrets::http::ApiDoc::openapi());
    document.merge(subscriptions::http::ApiDoc::openapi());
    document.merge(kernel::http::EventsApi::openapi());
    document
}

pub(crate) fn routes(store: Store) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/v1/openapi.json", get(openapi))
        .with_state(store)
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 204)))]
async fn healthz() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether the platform can do its work: the store answers.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses((status = 204), (status = 503)))]
async fn readyz(State(store): State<Store>) -> kernel::Result<StatusCode> {
    store.ready().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "health", security(()), responses((status = 200)))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
