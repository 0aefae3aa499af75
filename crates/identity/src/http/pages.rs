//! The pages: plain HTML from the server, without a script.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};
use url::Url;

use crate::{
    Refusal, RefusalCode,
    service::{DeviceRequest, LoginForm},
};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:12vh auto;padding:0 1rem;color:#1d2733}
h1{font-size:1.3rem;margin-bottom:1rem}label{display:block;margin:.8rem 0 .2rem}
input{width:100%;box-sizing:border-box;padding:.5rem;font:inherit;border:1px solid #8895a7;border-radius:4px}
button,a.button{display:block;width:100%;box-sizing:border-box;margin-top:1rem;padding:.6rem;font:inherit;
text-align:center;text-decoration:none;color:#fff;background:#1f5fa8;border:0;border-radius:4px;cursor:pointer}
button.no{background:#fff;color:#9c1c1c;border:1px solid #9c1c1c}
p.wrong{padding:.6rem;border-left:4px solid #9c1c1c;background:#fbeaea}code{font-size:1.4rem;letter-spacing:.1rem}
@media(prefers-color-scheme:dark){body{background:#161b22;color:#e6edf3}input{background:#0d1117;color:inherit}
p.wrong{background:#3b1618}button.no{background:none;color:#ff9d9d}}";

/// `GET /login/style.css`
pub(super) async fn style() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/css; charset=utf-8"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, STYLE).into_response()
}

/// A page. `leads_to`: where its form may end up beside this site; `refusal`: what went wrong.
fn page(title: &str, leads_to: Option<&str>, refusal: Option<&Refusal>, body: Markup) -> Response {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) " · Towpath" }
                link rel="stylesheet" href="/login/style.css";
            }
            body {
                h1 { (title) }
                @if let Some(refusal) = refusal { p.wrong role="alert" { (refusal.description) } }
                (body)
            }
        }
    };
    // Browsers hold a form's redirects to `form-action`, too.
    let target = leads_to
        .and_then(|target| Url::parse(target).ok())
        .map(|target| format!(" {}", target.origin().ascii_serialization()))
        .unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self'{target}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    let fixed: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    let status = refusal.map_or(StatusCode::OK, status_of);
    let mut response = (status, document.into_string()).into_response();
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    match HeaderValue::from_str(&policy) {
        Ok(policy) => drop(headers.insert(header::CONTENT_SECURITY_POLICY, policy)),
        Err(error) => return kernel::Error::internal("a page's policy", error).into_response(),
    }
    if let Some(wait) = refusal.and_then(|refusal| refusal.retry_after) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
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
            p { "to " strong { (form.client) } }
            @for (upstream, title) in &form.upstreams {
                a.button href={ "/login/" (upstream) "?page=" (name) } { (title) }
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
