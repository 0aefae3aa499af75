//! A team's subscriptions: `/v1/teams/{team}/subscriptions`.

use axum::{extract::State, http::StatusCode, response::Response};
use kernel::{
    Caller, Document, Page, Result,
    http::{IfMatch, Json, PageQuery, Path, Query},
};

use super::{Service, drawn, tagged, written};
use crate::api::{DrawnSecret, NewSubscription, WrittenSubscription};

/// A team's subscriptions, by name. Their cursors are as they were noted last.
#[utoipa::path(get, path = "/v1/teams/{team}/subscriptions", operation_id = "team_subscriptions", tag = "subscriptions",
    params(("team" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn list(
    State(service): Service,
    caller: Caller,
    Path(team): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = service.subscription_list(&caller, &team, query.into());
    page.await.map(Json)
}

/// One subscription, as it is now.
#[utoipa::path(get, path = "/v1/teams/{team}/subscriptions/{name}", operation_id = "team_subscription", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = Document), (status = 404)))]
pub(super) async fn show(
    State(service): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    let found = service.subscription_show(&caller, &team, &name);
    found.await.map(tagged)
}

/// Makes a subscription, or writes what one should be. The secret is answered where it was drawn now,
/// and never again.
#[utoipa::path(put, path = "/v1/teams/{team}/subscriptions/{name}", operation_id = "team_subscription_put", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = NewSubscription,
    responses((status = 200, body = WrittenSubscription), (status = 201, body = WrittenSubscription),
        (status = 403), (status = 409), (status = 422)))]
pub(super) async fn put(
    State(service): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
    Json(new): Json<NewSubscription>,
) -> Result<Response> {
    written(&service, &caller, &team, &name, new, revision).await
}

/// Removes a subscription and its dead letters.
#[utoipa::path(delete, path = "/v1/teams/{team}/subscriptions/{name}", operation_id = "team_subscription_delete", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204), (status = 403), (status = 404), (status = 409)))]
pub(super) async fn delete(
    State(service): Service,
    caller: Caller,
    IfMatch(revision): IfMatch,
    Path((team, name)): Path<(String, String)>,
) -> Result<StatusCode> {
    service
        .subscription_delete(&caller, &team, &name, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Draws another secret, and answers it this once, or again for the same Idempotency-Key. What is sent is
/// signed by both for a day.
#[utoipa::path(post, path = "/v1/teams/{team}/subscriptions/{name}/secrets", operation_id = "team_subscription_secret", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path)),
    responses((status = 201, body = DrawnSecret), (status = 403), (status = 404)))]
pub(super) async fn secret(
    State(service): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Result<Response> {
    drawn(service, caller, team, name).await
}

/// What could not be delivered, by the event's id.
#[utoipa::path(get, path = "/v1/teams/{team}/subscriptions/{name}/dead-letters", operation_id = "team_dead_letters", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path), ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<Document>), (status = 404)))]
pub(super) async fn dead_letters(
    State(service): Service,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Document>>> {
    let page = service.dead_letter_list(&caller, &team, &name, query.into());
    page.await.map(Json)
}

/// Sends a dead letter once more, now: 204 where it was taken.
#[utoipa::path(post, path = "/v1/teams/{team}/subscriptions/{name}/dead-letters/{event}/replay", operation_id = "team_dead_letter_replay", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path), ("event" = String, Path)),
    responses((status = 204), (status = 403), (status = 404), (status = 503)))]
pub(super) async fn replay(
    State(service): Service,
    caller: Caller,
    Path((team, name, event)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    service
        .dead_letter_replay(&caller, &team, &name, &event)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gives a dead letter up.
#[utoipa::path(delete, path = "/v1/teams/{team}/subscriptions/{name}/dead-letters/{event}", operation_id = "team_dead_letter_discard", tag = "subscriptions",
    params(("team" = String, Path), ("name" = String, Path), ("event" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub(super) async fn discard(
    State(service): Service,
    caller: Caller,
    Path((team, name, event)): Path<(String, String, String)>,
) -> Result<StatusCode> {
    service
        .dead_letter_discard(&caller, &team, &name, &event)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
