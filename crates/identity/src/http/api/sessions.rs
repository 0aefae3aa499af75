//! Who is logged in.

use axum::{extract::State, http::StatusCode};
use kernel::{
    Caller, Page, Result,
    http::{Json, PageQuery, Path, Query},
};
use serde::Deserialize;

use super::Service;
use crate::service::{EndedSessions, PersonalSession};

/// Whose sessions are listed, and which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

/// Whose sessions end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    subject: String,
}

/// Logins of people that go on: of one person, or all that the caller may see, which are their own unless they
/// operate the platform.
#[utoipa::path(get, path = "/v1/identity/sessions", tag = "identity",
    params(("subject" = Option<String>, Query, description = "a person: `local:ada`"),
        ("after" = Option<String>, Query), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = Page<PersonalSession>), (status = 403)))]
pub(super) async fn sessions(
    State(identity): Service,
    caller: Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<PersonalSession>>> {
    let Wanted {
        subject,
        after,
        limit,
    } = wanted;
    let query = PageQuery { after, limit }.into();
    let found = identity.sessions(&caller, subject.as_deref(), &query);
    found.await.map(Json)
}

/// Ends all logins of a person, in browsers too.
#[utoipa::path(delete, path = "/v1/identity/sessions", tag = "identity",
    params(("subject" = String, Query, description = "a person: `local:ada`")),
    responses((status = 200, body = EndedSessions), (status = 403)))]
pub(super) async fn sessions_end(
    State(identity): Service,
    caller: Caller,
    Query(Whose { subject }): Query<Whose>,
) -> Result<Json<EndedSessions>> {
    identity.sessions_end_of(&caller, &subject).await.map(Json)
}

/// Ends one login, and what else its browser has let in.
#[utoipa::path(delete, path = "/v1/identity/sessions/{id}", tag = "identity",
    params(("id" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub(super) async fn session_end(
    State(identity): Service,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    identity.session_end_named(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
