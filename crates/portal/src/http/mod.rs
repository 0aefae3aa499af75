//! The routes of the portal: read what came, ask the API, answer a page.

mod home;
mod login;
mod members;
mod onboard;
mod request;
mod secrets;
mod teams;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use kernel::http::{
    html::{Html, see_other, stylesheet},
    no_such_route,
};
use maud::Markup;

use crate::{
    Portal,
    address::HOME,
    failure::Failure,
    pages::{self, STYLE},
    visitor::Visitor,
};

/// The largest form: a secret's longest value, each byte written as three letters, and what goes with it.
const BODY_LIMIT: usize = 256 * 1024;

/// The routes: all below `/portal/`, and the root of the site for browsers.
pub fn routes(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/portal", get(async || see_other(HOME)))
        .route(HOME, get(home::home))
        .route(
            "/portal/style.css",
            get(async || stylesheet(STYLE.concat())),
        )
        .route("/portal/login", get(login::begin))
        .route("/portal/callback", get(login::finish))
        .route("/portal/logout", post(login::end))
        .route("/portal/logged-out", get(login::ended))
        .route("/portal/onboard", get(onboard::form).post(onboard::send))
        .route("/portal/teams", get(teams::list))
        .route("/portal/teams/{team}", get(teams::show))
        .route("/portal/teams/{team}/members", post(members::add))
        .route(
            "/portal/teams/{team}/members/remove",
            get(members::confirm).post(members::remove),
        )
        .route("/portal/teams/{team}/secrets", get(secrets::list))
        .route("/portal/teams/{team}/secrets/show", get(secrets::show))
        .route(
            "/portal/teams/{team}/secrets/set",
            get(secrets::form).post(secrets::set),
        )
        .route(
            "/portal/teams/{team}/secrets/rotate",
            get(secrets::confirm_rotation).post(secrets::rotate),
        )
        .route(
            "/portal/teams/{team}/secrets/delete",
            get(secrets::confirm_deletion).post(secrets::delete),
        )
        .route("/portal/teams/{team}/secrets/reveal", post(secrets::reveal))
        .route("/portal/{*page}", get(nowhere).post(nowhere))
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(portal)
}

/// `GET /`: people are taken to the portal; programs are told what they always were.
async fn root(headers: HeaderMap, uri: Uri) -> Response {
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        return see_other(HOME);
    }
    no_such_route(uri).await.into_response()
}

async fn nowhere() -> Response {
    failed(None, Failure::NoPage)
}

async fn not_so() -> Response {
    failed(None, Failure::NoMethod)
}

/// What a handler answers: a page, or why there is none.
type Answer = Result<Response, Failure>;

/// What a handler found for whoever visits, or what went wrong with it.
fn done(visitor: &Visitor, answer: Answer) -> Response {
    answer.unwrap_or_else(|failure| failed(Some(visitor), failure))
}

/// A page.
fn page(visitor: Option<&Visitor>, title: &str, body: Markup) -> Response {
    page_with(StatusCode::OK, visitor, title, body)
}

/// A page with another status: a form that was not taken.
fn page_with(status: StatusCode, visitor: Option<&Visitor>, title: &str, body: Markup) -> Response {
    Html {
        title,
        style: "/portal/style.css",
        leads_to: None,
        status,
        body: pages::frame(visitor, body),
    }
    .into_response()
}

/// The page that says why there is no other.
fn failed(visitor: Option<&Visitor>, failure: Failure) -> Response {
    // Whose session is over is nobody any more.
    let visitor = visitor.filter(|_| !matches!(failure, Failure::LoggedOut));
    let again = matches!(failure, Failure::LoggedOut | Failure::Login(_));
    let problem = failure.problem();
    let status = status_of(problem.status);
    let (title, body) = pages::problem::page(&problem, again);
    page_with(status, visitor, &title, body)
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What the API says against what a form sent, for the form to be shown again; whatever else failed is a page of
/// its own.
fn against_form(error: client::Error) -> Result<client::ProblemDocument, Failure> {
    match error {
        client::Error::Refused(problem)
            if [400, 404, 409, 412, 413, 422].contains(&problem.status) =>
        {
            Ok(*problem)
        }
        error => Err(error.into()),
    }
}
