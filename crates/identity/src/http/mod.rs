//! The routes of identity: the OpenID provider's endpoints, the pages that people log in at, and the
//! API that manages both.

mod api;
mod authorize;
mod automation;
mod browser;
mod device;
mod login;
mod pages;
mod protocol;
mod request;
mod token;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};

pub use api::ApiDoc;
pub use automation::note_automation;

use crate::Identity;

/// The largest form: two tokens, and what goes with them.
const BODY_LIMIT: usize = 192 * 1024;

/// The routes. Those that are not below `/v1` are the standards' own, and described by the discovery
/// document.
pub fn routes(identity: Arc<Identity>) -> Router {
    let standard = Router::new()
        .route(
            "/.well-known/openid-configuration",
            get(protocol::discovery),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(protocol::discovery),
        )
        .route("/oauth/jwks.json", get(protocol::jwks))
        .route("/oauth/authorize", get(authorize::authorize))
        .route("/oauth/token", post(token::token))
        .route("/oauth/device/code", post(token::device_code))
        .route("/oauth/revoke", post(token::revoke))
        .route(
            "/oauth/userinfo",
            get(protocol::userinfo).post(protocol::userinfo),
        )
        .route("/oauth/logout", get(login::logout).post(login::logout_post))
        .route("/login", get(login::show).post(login::enter))
        .route("/login/style.css", get(pages::style))
        .route("/login/{upstream}", get(login::visit))
        .route("/login/{upstream}/callback", get(login::arrive))
        .route(
            "/login/{upstream}/backchannel-logout",
            post(token::backchannel_logout),
        )
        .route("/device", get(device::show).post(device::decide))
        .layer(DefaultBodyLimit::max(BODY_LIMIT));
    Router::new()
        .merge(standard)
        .merge(api::routes())
        .with_state(identity)
}
