//! The OpenAPI document of the whole API, and what tells whether the platform is well.

use axum::{Router, extract::State, http::StatusCode, routing::get};
use kernel::{Store, http::Json};
use utoipa::{
    OpenApi as _,
    openapi::{
        ObjectBuilder, Ref, RefOr, Required, Type,
        path::{ParameterBuilder, ParameterIn},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
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
    for part in parts() {
        document.merge(part);
    }
    every_caller_may_say_why(&mut document);
    document
}

/// Adds the header that all routes of the API take.
fn every_caller_may_say_why(document: &mut utoipa::openapi::OpenApi) {
    const NAME: &str = "Reason";
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(kernel::Reason::LONGEST));
    let header = ParameterBuilder::new()
        .name("Towpath-Reason")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Why the caller does this: one line of UTF-8, kept in the audit trail with every event that \
             comes of it",
        ))
        .schema(Some(text))
        .build();
    let components = document.components.get_or_insert_default();
    components.parameters.insert(NAME.into(), RefOr::T(header));
    for (path, item) in &mut document.paths.paths {
        if path.starts_with("/v1/") {
            let place = format!("#/components/parameters/{NAME}");
            let all = item.parameters.get_or_insert_default();
            all.push(RefOr::Ref(Ref::new(place)));
        }
    }
}

/// What each domain has. Two that call different things alike would take each other's place.
fn parts() -> Vec<utoipa::openapi::OpenApi> {
    vec![
        delivery::http::ApiDoc::openapi(),
        catalog::http::ApiDoc::openapi(),
        fleet::http::ApiDoc::openapi(),
        identity::http::ApiDoc::openapi(),
        teams::http::ApiDoc::openapi(),
        crate::rekey::ApiDoc::openapi(),
        crate::metrics::ApiDoc::openapi(),
        secrets::http::ApiDoc::openapi(),
        subscriptions::http::ApiDoc::openapi(),
        publications::http::ApiDoc::openapi(),
        kernel::http::EventsApi::openapi(),
        kernel::http::AccessApi::openapi(),
    ]
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_schema_means_one_thing() {
        let mut known = BTreeMap::new();
        for part in parts() {
            for (name, schema) in part.components.unwrap_or_default().schemas {
                let schema = serde_json::to_value(schema).unwrap();
                if let Some(other) = known.insert(name.clone(), schema.clone()) {
                    assert_eq!(other, schema, "two schemas are called {name}");
                }
            }
        }
    }
}
