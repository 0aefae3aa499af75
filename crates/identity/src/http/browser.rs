//! Cookies and answers for browsers.

use axum::http::HeaderMap;
use kernel::http::html;
pub(super) use kernel::http::html::{cookie, see_other};

use crate::Identity;

/// For how long a browser is known: ninety days.
const LASTING: u32 = 90 * 24 * 60 * 60;

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

/// Sets a cookie that goes when the browser is closed. An empty value removes it.
pub(super) fn set_cookie(identity: &Identity, headers: &mut HeaderMap, name: &str, value: &str) {
    html::set_cookie(headers, name, value, identity.settings().is_secure(), None);
}

/// The same, of one that stays.
pub(super) fn set_lasting_cookie(
    identity: &Identity,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
) {
    let secure = identity.settings().is_secure();
    html::set_cookie(headers, name, value, secure, Some(LASTING));
}
