//! The OpenAPI document of the whole API, and what tells whether the platform is well.

mod refusals;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use kernel::{
    Secret, Store,
    http::{IdempotencyKeys, Json},
};
use utoipa::{
    OpenApi as _,
    openapi::{
        ObjectBuilder, Ref, RefOr, Required, Type,
        path::{ParameterBuilder, ParameterIn, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

/// Towpath's API.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Towpath",
        description = "The engineering platform's API. Errors are RFC 9457 problem documents; lists \
                       are paged by cursor; writes take If-Match and Idempotency-Key, and one that is sent \
                       again with its key is answered as it was the first time; long work answers 202 with a \
                       resource to watch.",
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
    every_write_takes_a_key(&mut document);
    refusals::every_refusal_is_told(&mut document);
    document
}

/// What changes nothing, though it is asked by POST, or knows itself what is sent again.
const WITHOUT_KEY: [&str; 7] = [
    "/v1/access-reviews",
    "/v1/apply/plan",
    "/v1/environments/{environment}/plans",
    // The same source and id is the same event.
    "/v1/events",
    "/v1/explain",
    "/v1/starter-kits/{name}/repositories",
    // It goes on with what is left, and rotates nothing twice.
    "/v1/teams/{team}/departures/{subject}/rotate",
];

fn takes_a_key(path: &str) -> bool {
    path.starts_with("/v1/") && !WITHOUT_KEY.contains(&path)
}

/// The routes, which honour the keys of requests where they take them; and what is no route, or takes another method,
/// is a problem.
pub(crate) fn keyed(routes: Router, store: Store, digest_key: Secret) -> Router {
    let keys = IdempotencyKeys { store, digest_key };
    routes
        .route_layer(from_fn_with_state(keys, idempotent))
        .fallback(kernel::http::no_such_route)
        .method_not_allowed_fallback(kernel::http::no_such_method)
}

async fn idempotent(keys: State<IdempotencyKeys>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    if path.is_some_and(|path| takes_a_key(path.as_str())) {
        kernel::http::idempotent(keys, request, next).await
    } else {
        next.run(request).await
    }
}

/// Adds the header that every operation takes which changes something.
fn every_write_takes_a_key(document: &mut utoipa::openapi::OpenApi) {
    const NAME: &str = "IdempotencyKey";
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(kernel::http::IdempotencyKey::LONGEST));
    let header = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The same on each try of one request, and another for another: it is carried out once, and sent again it \
             waits for the first one's answer, and has it for a day. Where that still runs after half a minute \
             (Retry-After says when to ask again), or its answer is lost, it is answered 409",
        ))
        .schema(Some(text))
        .build();
    let components = document.components.get_or_insert_default();
    components.parameters.insert(NAME.into(), RefOr::T(header));
    let all = document.paths.paths.iter_mut();
    for (_, item) in all.filter(|(path, _)| takes_a_key(path)) {
        let PathItem {
            put,
            post,
            patch,
            delete,
            ..
        } = item;
        for operation in [put, post, patch, delete].into_iter().flatten() {
            let place = format!("#/components/parameters/{NAME}");
            let all = operation.parameters.get_or_insert_default();
            all.push(RefOr::Ref(Ref::new(place)));
        }
    }
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
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_write_takes_a_key_but_those_that_are_named() {
        const KEY: &str = "#/components/parameters/IdempotencyKey";
        let document = serde_json::to_value(document()).unwrap();
        let mut without = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if !operation.is_object() {
                    continue;
                }
                let parameters = operation["parameters"].as_array();
                let mut all = parameters.into_iter().flatten();
                let takes_it = all.any(|one| one["$ref"] == KEY);
                let writes = ["put", "post", "patch", "delete"].contains(&method.as_str());
                assert!(writes || !takes_it, "{method} {path}");
                if writes && !takes_it {
                    without.insert(path.as_str());
                }
            }
        }
        assert_eq!(without, WITHOUT_KEY.into());
    }

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
