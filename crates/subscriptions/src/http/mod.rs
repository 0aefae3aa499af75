//! The routes: decode, one call to the service, encode. A team's subscriptions are below the team; those
//! of the platform below `/v1/platforms`.

mod platform;
mod team;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use kernel::{
    Caller, Document, Result,
    http::{ETag, Json},
};

use crate::{
    Subscriptions,
    api::{DrawnSecret, NewSubscription, WrittenSubscription},
    model::{DeadLetterSpec, DeadLetterStatus, SubscriptionSpec, SubscriptionStatus},
};

type Service = State<Arc<Subscriptions>>;

/// The routes, below `/v1`.
pub fn routes(service: Arc<Subscriptions>) -> Router {
    use self::{platform as p, team as t};
    Router::new()
        .route("/v1/teams/{team}/subscriptions", get(t::list))
        .route(
            "/v1/teams/{team}/subscriptions/{name}",
            put(t::put).get(t::show).delete(t::delete),
        )
        .route(
            "/v1/teams/{team}/subscriptions/{name}/secrets",
            post(t::secret),
        )
        .route(
            "/v1/teams/{team}/subscriptions/{name}/dead-letters",
            get(t::dead_letters),
        )
        .route(
            "/v1/teams/{team}/subscriptions/{name}/dead-letters/{event}",
            axum::routing::delete(t::discard),
        )
        .route(
            "/v1/teams/{team}/subscriptions/{name}/dead-letters/{event}/replay",
            post(t::replay),
        )
        .route("/v1/platforms/subscriptions", get(p::list))
        .route(
            "/v1/platforms/subscriptions/{name}",
            put(p::put).get(p::show).delete(p::delete),
        )
        .route(
            "/v1/platforms/subscriptions/{name}/secrets",
            post(p::secret),
        )
        .route(
            "/v1/platforms/subscriptions/{name}/dead-letters",
            get(p::dead_letters),
        )
        .route(
            "/v1/platforms/subscriptions/{name}/dead-letters/{event}",
            axum::routing::delete(p::discard),
        )
        .route(
            "/v1/platforms/subscriptions/{name}/dead-letters/{event}/replay",
            post(p::replay),
        )
        .with_state(service)
}

/// The OpenAPI description of the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        team::list,
        team::show,
        team::put,
        team::delete,
        team::secret,
        team::dead_letters,
        team::discard,
        team::replay,
        platform::list,
        platform::show,
        platform::put,
        platform::delete,
        platform::secret,
        platform::dead_letters,
        platform::discard,
        platform::replay,
    ),
    components(schemas(SubscriptionSpec, SubscriptionStatus, DeadLetterSpec, DeadLetterStatus))
)]
pub struct ApiDoc;

async fn written(
    service: &Subscriptions,
    caller: &Caller,
    team: &str,
    name: &str,
    new: NewSubscription,
    revision: Option<i64>,
) -> Result<Response> {
    let written = service
        .subscription_put(caller, team, name, new, revision)
        .await?;
    let status = if written.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let secret = written
        .secret
        .as_ref()
        .map(kernel::Secret::text)
        .transpose()?;
    let answer = WrittenSubscription {
        secret: secret.map(str::to_owned),
        document: written.subscription.document()?,
    };
    let tag = ETag(answer.document.meta.revision);
    Ok((status, tag, Json(answer)).into_response())
}

async fn drawn(
    service: Arc<Subscriptions>,
    caller: Caller,
    team: String,
    name: String,
) -> Result<Response> {
    let secret = service.subscription_secret(&caller, &team, &name).await?;
    let secret = secret.text()?.to_owned();
    Ok((StatusCode::CREATED, Json(DrawnSecret { secret })).into_response())
}

fn tagged(document: Document) -> Response {
    (ETag(document.meta.revision), Json(document)).into_response()
}
