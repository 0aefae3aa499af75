//! `/v1/platforms/teams/{team}/onboarding`, and of all teams.

use axum::extract::State;
use kernel::{
    Caller, Result,
    http::{Json, Path, Query},
};

use super::Service;
use crate::api::{Onboarding, OnboardingOverview, Since};

/// How long a team took until it could work, and its people: each of them to its leads and to operators, together
/// to the rest of the team.
#[utoipa::path(get, path = "/v1/platforms/teams/{team}/onboarding", operation_id = "team_onboarding", tag = "teams",
    params(("team" = String, Path)), responses((status = 200, body = Onboarding), (status = 404)))]
pub(super) async fn of_team(
    State(teams): Service,
    caller: Caller,
    Path(team): Path<String>,
) -> Result<Json<Onboarding>> {
    teams.team_onboarding(&caller, &team).await.map(Json)
}

/// How long teams and people took, all together: for those who say which teams there are.
#[utoipa::path(get, path = "/v1/platforms/onboarding", operation_id = "onboarding", tag = "teams",
    params(Since), responses((status = 200, body = OnboardingOverview), (status = 403)))]
pub(super) async fn of_all(
    State(teams): Service,
    caller: Caller,
    Query(Since { since }): Query<Since>,
) -> Result<Json<OnboardingOverview>> {
    teams.onboarding(&caller, since).await.map(Json)
}
