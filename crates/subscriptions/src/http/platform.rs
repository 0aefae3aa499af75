//! The platform's own subscriptions, which see everything: `/v1/platforms/subscriptions`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, drawn, tagged, written};
use crate::api::{DrawnSecret, NewSubscription, WrittenSubscription};

/// The scope of what is no team's.
const PLATFORM: &str = "";

/// The platform's subscriptions, by name. Their cursors are as they were noted last.
#[utoipa::path(get, path = "/v1/platforms/subscriptions", operation_id = "platform_subscriptions", tag = "subscriptions",
    params(("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>)))]
pub(super) async fn list(
    State(service): Service,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = service.subscription_list(&caller, PLATFORM, query.into());
    page.await.map(Json)
}

/// One subscription, as it is now.
#[utoipa::path(get, path = "/v1/platforms/subscriptions/{name}", operation_id = "platform_subscription", tag = "subscriptions",
    params(("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(service): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    let found = service.subscription_show(&caller, PLATFORM, &name);
    found.await.map(tagged)
}

/// Makes a subscription, or writes what one should be. The secret is answered where it was drawn now,
/// and never again.
#[utoipa::path(put, path = "/v1/platforms/subscriptions/{name}", operation_id = "platform_subscription_put", tag = "subscriptions",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NewSubscription,
    responses((status = 200, body = WrittenSubscription), (status = 201, body = WrittenSubscription),
        (status = 403), (status = 409), (status = 422)))]
pub(super) async fn put(
    State(service): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
    Json(new): Json<NewSubscription>,
) -> Result<Response> {
    written(&service, &caller, PLATFORM, &name, new, revision).await
}

/// Removes a subscription and its dead letters.
#[utoipa::path(delete, path = "/v1/platforms/subscriptions/{name}", operation_id = "platform_subscription_delete", tag = "subscriptions",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(service): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    service
        .subscription_delete(&caller, PLATFORM, &name, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Draws another secret, and answers it this once, or again for the same Idempotency-Key. What is sent is
/// signed by both for a day.
#[utoipa::path(post, path = "/v1/platforms/subscriptions/{name}/secrets", operation_id = "platform_subscription_secret", tag = "subscriptions",
    params(("name" = String, Path)),
    responses((status = 201, body = DrawnSecret), (status = 403), (status = 404)))]
pub(super) async fn secret(
    State(service): Service,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response> {
    drawn(service, caller, PLATFORM.into(), name).await
}

/// What could not be delivered, by the event's id.
#[utoipa::path(get, path = "/v1/platforms/subscriptions/{name}/dead-letters", operation_id = "platform_dead_letters", tag = "subscriptions",
    params(("name" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn dead_letters(
    State(service): Service,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = service.dead_letter_list(&caller, PLATFORM, &name, query.into());
    page.await.map(Json)
}

/// Sends a dead letter once more, now: 204 where it was taken.
#[utoipa::path(post, path = "/v1/platforms/subscriptions/{name}/dead-letters/{event}/replay", operation_id = "platform_dead_letter_replay", tag = "subscriptions",
    params(("name" = String, Path), ("event" = String, Path)),
    responses((status = 204), (status = 403), (status = 404), (status = 503)))]
pub(super) async fn replay(
    State(service): Service,
    caller: Caller,
    Path((name, event)): Path<(String, String)>,
) -> Result<StatusCode> {
    service
        .dead_letter_replay(&caller, PLATFORM, &name, &event)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a dead letter up.
#[utoipa::path(delete, path = "/v1/platforms/subscriptions/{name}/dead-letters/{event}", operation_id = "platform_dead_letter_discard", tag = "subscriptions",
    params(("name" = String, Path), ("event" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub(super) async fn discard(
    State(service): Service,
    caller: Caller,
    Path((name, event)): Path<(String, String)>,
) -> Result<StatusCode> {
    service
        .dead_letter_discard(&caller, PLATFORM, &name, &event)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
