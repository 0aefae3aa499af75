//! Pages for people: plain HTML from the server, without a script. One head, one policy and one look for
//! all of them, whichever domain they are of.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};
use url::Url;

use crate::Error;

/// The look that all pages share: colours, by light and by dark, and what forms are made of. A domain's
/// stylesheet begins with it.
pub const STYLE: &str = include_str!("html.css");

/// A page that is yet to be answered.
pub struct Html<'a> {
    /// What it is called, in the browser's title.
    pub title: &'a str,
    /// The path of its stylesheet, on this site.
    pub style: &'a str,
    /// Where its forms may end up beside this site: browsers hold a form's redirects to the policy, too.
    pub leads_to: Option<&'a str>,
    /// The answer's status.
    pub status: StatusCode,
    /// What is in it.
    pub body: Markup,
}

impl IntoResponse for Html<'_> {
    fn into_response(self) -> Response {
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    title { (self.title) " · Towpath" }
                    link rel="stylesheet" href=(self.style);
                    link rel="icon" href="data:,";
                }
                body { (self.body) }
            }
        };
        let target = self
            .leads_to
            .and_then(|target| Url::parse(target).ok())
            .map(|target| format!(" {}", target.origin().ascii_serialization()))
            .unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'{target}; \
             frame-ancestors 'none'; base-uri 'none'"
        );
        let policy = match HeaderValue::from_str(&policy) {
            Ok(policy) => policy,
            Err(error) => return Error::internal("a page's policy", error).into_response(),
        };
        let mut response = (self.status, document.into_string()).into_response();
        let headers = response.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        response
    }
}

/// What every page says beside its policy: it is kept by nobody, framed by nobody, and taken for nothing else.
const HEADERS: [(HeaderName, &str); 6] = [
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

/// The answer with a stylesheet.
pub fn stylesheet(style: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, style).into_response()
}

/// The value of a cookie that a request carries.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Adds to an answer a cookie that no script reads and no other site sends along with a form. An empty
/// value removes it. `secure`: whether browsers come by TLS; `age`: how many seconds it stays, or until the
/// browser is closed. A value that no header takes is left out.
pub fn set_cookie(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    secure: bool,
    age: Option<u32>,
) {
    let age = match age {
        _ if value.is_empty() => "; Max-Age=0".to_owned(),
        Some(age) => format!("; Max-Age={age}"),
        None => String::new(),
    };
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Sends the browser elsewhere, with GET.
pub fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let headers = [
                (header::LOCATION, location),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (
                    header::REFERRER_POLICY,
                    HeaderValue::from_static("no-referrer"),
                ),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(error) => Error::internal("an address cannot be sent", error).into_response(),
    }
}
