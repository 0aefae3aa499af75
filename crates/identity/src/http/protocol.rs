//! What the provider says of itself, and of whoever shows a token.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use kernel::{Result, Secret};
use serde_json::{Value, json};

use super::token::no_store;
use crate::Identity;

/// How long verifiers may keep the key set: shorter than a key is published before it signs.
const KEPT: &str = "public, max-age=900";

/// `GET /.well-known/openid-configuration`
pub(super) async fn discovery(State(identity): State<Arc<Identity>>) -> Json<Value> {
    let settings = identity.settings();
    let issuer = &settings.issuer;
    let at = |path: &str| format!("{issuer}{path}");
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": at("/oauth/authorize"),
        "token_endpoint": at("/oauth/token"),
        "device_authorization_endpoint": at("/oauth/device/code"),
        "revocation_endpoint": at("/oauth/revoke"),
        "userinfo_endpoint": at("/oauth/userinfo"),
        "end_session_endpoint": at("/oauth/logout"),
        "jwks_uri": at("/oauth/jwks.json"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "at_hash",
            "preferred_username", "email", "groups", "source_groups", settings.teams_claim,
        ],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
    }))
}

/// `GET /oauth/jwks.json`
pub(super) async fn jwks(State(identity): State<Arc<Identity>>) -> Result<Response> {
    let keys: Vec<Value> = identity
        .published_keys()
        .await?
        .into_iter()
        .map(|key| {
            json!({
                "kty": "RSA", "use": "sig", "alg": "RS256",
                "kid": key.kid, "n": key.n, "e": key.e,
            })
        })
        .collect();
    let kept = [(header::CACHE_CONTROL, HeaderValue::from_static(KEPT))];
    Ok((kept, Json(json!({ "keys": keys }))).into_response())
}

/// `GET /oauth/userinfo`
pub(super) async fn userinfo(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
) -> Result<Response> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or_else(|| Secret::from(""), |(_, token)| Secret::from(token.trim()));
    let mut response = Json(identity.userinfo(&token).await?).into_response();
    no_store(response.headers_mut());
    Ok(response)
}
