//! Cookies and answers for browsers.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::Identity;

/// The cookie of a browser in which somebody has logged in.
pub(super) fn session_cookie(identity: &Identity) -> &'static str {
    if identity.settings().is_secure() {
        "__Host-towpath"
    } else {
        "towpath"
    }
}

/// The cookie that ties a login page to the browser that it was opened for.
pub(super) fn login_cookie(identity: &Identity) -> &'static str {
    if identity.settings().is_secure() {
        "__Host-towpath-login"
    } else {
        "towpath-login"
    }
}

/// The cookie by which a browser is known where somebody has entered the right password before.
pub(super) fn device_cookie(identity: &Identity) -> &'static str {
    if identity.settings().is_secure() {
        "__Host-towpath-device"
    } else {
        "towpath-device"
    }
}

/// Sets a cookie that no script reads and no other site sends along with a form. An empty value
/// removes it. It goes when the browser is closed.
pub(super) fn set_cookie(identity: &Identity, headers: &mut HeaderMap, name: &str, value: &str) {
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    set(identity, headers, name, value, age);
}

/// The same, of one that stays for ninety days.
pub(super) fn set_lasting_cookie(
    identity: &Identity,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
) {
    set(identity, headers, name, value, "; Max-Age=7776000");
}

fn set(identity: &Identity, headers: &mut HeaderMap, name: &str, value: &str, age: &str) {
    let secure = if identity.settings().is_secure() {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Sends the browser elsewhere, with GET.
pub(super) fn see_other(location: &str) -> Response {
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
        Err(error) => kernel::Error::internal("an address cannot be sent", error).into_response(),
    }
}
