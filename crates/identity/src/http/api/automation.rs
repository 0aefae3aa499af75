//! Automation that hangs on people.

use axum::extract::State;
use kernel::{
    Caller, Result,
    http::{Json, Path},
};

use super::Service;
use crate::service::{AutomationReport, Departure, DepartureRotation, TeamDeparture};

/// Automation that calls with people's logins, and ends with them.
#[utoipa::path(get, path = "/v1/identity/automation", tag = "identity",
    responses((status = 200, body = AutomationReport), (status = 403)))]
pub(super) async fn automation(
    State(identity): Service,
    caller: Caller,
) -> Result<Json<AutomationReport>> {
    identity.automation(&caller).await.map(Json)
}

/// What hangs on one person: what would end if they left, and what would go on.
#[utoipa::path(get, path = "/v1/identity/automation/{subject}", tag = "identity",
    params(("subject" = String, Path)),
    responses((status = 200, body = Departure), (status = 403)))]
pub(super) async fn departure(
    State(identity): Service,
    caller: Caller,
    Path(subject): Path<String>,
) -> Result<Json<Departure>> {
    identity.departure(&caller, &subject).await.map(Json)
}

/// What of a team hangs on one person, for its leads: what goes on when they leave it.
#[utoipa::path(get, path = "/v1/teams/{team}/departures/{subject}", tag = "identity",
    params(("team" = String, Path), ("subject" = String, Path)),
    responses((status = 200, body = TeamDeparture), (status = 403), (status = 404)))]
pub(super) async fn team_departure(
    State(identity): Service,
    caller: Caller,
    Path((team, subject)): Path<(String, String)>,
) -> Result<Json<TeamDeparture>> {
    let found = identity.team_departure(&caller, &team, &subject).await?;
    Ok(Json(found))
}

/// Rotates what of a team one person knows, as far as the platform can and the caller may: of each is said what
/// became of it, and what only people can do. Asked again, it goes on with what is left.
#[utoipa::path(post, path = "/v1/teams/{team}/departures/{subject}/rotate", tag = "identity",
    params(("team" = String, Path), ("subject" = String, Path)),
    responses((status = 200, body = DepartureRotation), (status = 403), (status = 404)))]
pub(super) async fn team_departure_rotate(
    State(identity): Service,
    caller: Caller,
    Path((team, subject)): Path<(String, String)>,
) -> Result<Json<DepartureRotation>> {
    let rotated = identity.team_departure_rotate(&caller, &team, &subject);
    rotated.await.map(Json)
}
