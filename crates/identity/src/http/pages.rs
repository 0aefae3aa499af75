//! The pages: plain HTML from the server, without a script.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use kernel::http::html::{self, Html};
use maud::{Markup, html};

use super::token::retry_after;
use crate::{
    Refusal, RefusalCode,
    service::{DeviceRequest, LoginForm, Purpose},
};

/// What these pages have beside the look of all: one narrow column, and buttons as wide as that.
const STYLE: &str = "\
body{max-width:24rem;margin:12vh auto;padding:0 1rem}
button,a.button{display:block;width:100%;margin-top:1rem}
p code{font-size:1.4rem;letter-spacing:.1rem}";

/// `GET /login/style.css`
pub(super) async fn style() -> Response {
    html::stylesheet([html::STYLE, STYLE].concat())
}

/// A page. `leads_to`: where its form may end up beside this site; `refusal`: what went wrong.
fn page(title: &str, leads_to: Option<&str>, refusal: Option<&Refusal>, body: Markup) -> Response {
    let mut response = Html {
        title,
        style: "/login/style.css",
        leads_to,
        status: refusal.map_or(StatusCode::OK, status_of),
        body: html! {
            h1 { (title) }
            @if let Some(refusal) = refusal { p.wrong role="alert" { (refusal.description) } }
            (body)
        },
    }
    .into_response();
    if let Some(wait) = refusal.and_then(retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal.code {
        _ if refusal.retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::AccessDenied => StatusCode::FORBIDDEN,
        RefusalCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Where somebody logs in.
pub(super) fn login(name: &str, form: &LoginForm, refusal: Option<&Refusal>) -> Response {
    page(
        "Log in",
        form.redirect_uri.as_deref(),
        refusal,
        html! {
            @match &form.purpose {
                Purpose::Program(client) => p { "to " strong { (client) } },
                Purpose::Device(None) => p { "to approve a device" },
                Purpose::Device(Some(code)) => p { "to approve the device that shows " code { (code) } },
            }
            @for (upstream, title) in &form.upstreams {
                a.button href={ "/login/" (upstream) "?page=" (name) } { "Log in with " (title) }
            }
            @if form.local {
                form method="post" action="/login" {
                    input type="hidden" name="page" value=(name);
                    input type="hidden" name="csrf" value=(form.csrf);
                    label for="username" { "Name" }
                    input id="username" name="username" autocomplete="username" required autofocus;
                    label for="password" { "Password" }
                    input id="password" name="password" type="password"
                        autocomplete="current-password" required;
                    button { "Log in" }
                }
            }
        },
    )
}

/// Where somebody types the code that a device shows.
pub(super) fn device_code(who: &str, refusal: Option<&Refusal>) -> Response {
    page(
        "Approve a device",
        None,
        refusal,
        html! {
            p { "You are logged in as " strong { (who) } "." }
            form method="get" action="/device" {
                label for="user_code" { "The code that the device shows" }
                input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters"
                    required autofocus;
                button { "Continue" }
            }
        },
    )
}

/// Where somebody decides on a device.
pub(super) fn device_confirm(who: &str, request: &DeviceRequest, csrf: &str) -> Response {
    page(
        "Approve a device",
        None,
        None,
        html! {
            p { strong { (request.client) } " asks to act as " strong { (who) } "." }
            p { "Does your device show this code?" }
            p { code { (request.user_code) } }
            p { "Approve only what you have started yourself: whoever sent you here can otherwise act \
                 in your name." }
            form method="post" action="/device" {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="user_code" value=(request.user_code);
                button name="decision" value="approve" { "Approve" }
                button.no name="decision" value="deny" { "Deny" }
            }
        },
    )
}

/// Where somebody says that they mean to log out.
pub(super) fn logout(csrf: &str) -> Response {
    page(
        "Log out",
        None,
        None,
        html! {
            p { "This ends your sessions in all programs that you have logged in to from this browser." }
            form method="post" action="/oauth/logout" {
                input type="hidden" name="csrf" value=(csrf);
                button { "Log out" }
            }
        },
    )
}

/// That something is done.
pub(super) fn done(title: &str, text: &str) -> Response {
    page(title, None, None, html! { p { (text) } })
}

/// That something cannot be done.
pub(super) fn refused(refusal: &Refusal) -> Response {
    if let Some(cause) = &refusal.cause {
        tracing::error!(chain = cause.chain(), "a login failed");
    }
    page("That did not work", None, Some(refusal), html! {})
}
