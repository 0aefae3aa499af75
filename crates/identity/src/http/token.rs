//! The endpoints that programs speak to: tokens, device codes, revocation, and what upstreams tell.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kernel::Error;
use serde_json::json;

use super::request::{Address, Form, Parameters, credentials};
use crate::{
    Identity, Refusal, RefusalCode,
    service::{DeviceAnswer, TokenAnswer},
};

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A refusal as the standards want it answered.
pub(super) struct Refused(pub(super) Refusal);

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let refusal = self.0;
        if let Some(cause) = &refusal.cause {
            tracing::error!(
                code = refusal.code.as_str(),
                chain = cause.chain(),
                "no token was given"
            );
        } else {
            tracing::debug!(%refusal, "no token was given");
        }
        let status = match refusal.code {
            RefusalCode::InvalidClient => StatusCode::UNAUTHORIZED,
            RefusalCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            RefusalCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ if refusal.retry_after.is_some() => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = json!({
            "error": refusal.code.as_str(),
            "error_description": refusal.description,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        no_store(headers);
        if refusal.code == RefusalCode::InvalidClient {
            let basic = HeaderValue::from_static("Basic realm=\"towpath\"");
            headers.insert(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(wait) = retry_after(&refusal) {
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// When to come again, in whole seconds: as the refusal says, else as what lies beneath it does, which makes it no
/// answer to too many tries.
pub(super) fn retry_after(refusal: &Refusal) -> Option<HeaderValue> {
    let beneath = refusal.cause.as_ref().and_then(Error::retry_after);
    let wait = refusal.retry_after.or(beneath)?;
    // No less than it takes.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Some(HeaderValue::from(seconds))
}

/// Answers with tokens in them are kept by nobody on the way.
pub(super) fn no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
}

fn unseen(body: impl serde::Serialize) -> Response {
    let mut response = Json(body).into_response();
    no_store(response.headers_mut());
    response
}

/// `POST /oauth/token`
pub(super) async fn token(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, Refused> {
    let answer = grant(&identity, &address, &headers, &form).await?;
    Ok(unseen(answer))
}

async fn grant(
    identity: &Identity,
    address: &str,
    headers: &HeaderMap,
    form: &Parameters,
) -> Result<TokenAnswer, Refusal> {
    let kind = form.need("grant_type")?;
    let audience = &identity.settings().audience;
    for name in ["audience", "resource"] {
        if form.get(name).is_some_and(|asked| asked != audience) {
            return Err(Refusal::new(
                RefusalCode::InvalidTarget,
                format!("tokens are for `{audience}` alone"),
            ));
        }
    }
    let client = credentials(headers, form)?;
    match kind {
        DEVICE => {
            let code = form.secret("device_code")?;
            identity.device_poll(&client, &code, address).await
        }
        "authorization_code" => {
            let (code, verifier) = (form.secret("code")?, form.need("code_verifier")?);
            let redirect_uri = form.need("redirect_uri")?;
            identity
                .code_exchange(&client, &code, redirect_uri, verifier, address)
                .await
        }
        "refresh_token" => {
            identity
                .refresh(&client, &form.secret("refresh_token")?, address)
                .await
        }
        "client_credentials" => identity.client_credentials(&client, address).await,
        EXCHANGE => {
            let (token, kind) = (
                form.secret("subject_token")?,
                form.need("subject_token_type")?,
            );
            identity
                .token_exchange(&client.id, &token, kind, address)
                .await
        }
        other => Err(Refusal::new(
            RefusalCode::UnsupportedGrantType,
            format!("there is no grant `{}`", other.escape_debug()),
        )),
    }
}

/// `POST /oauth/device/code`
pub(super) async fn device_code(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, Refused> {
    let client = credentials(&headers, &form)?;
    let scope = form.get("scope").unwrap_or_default();
    let answer: DeviceAnswer = identity.device_start(&client, scope, &address).await?;
    Ok(unseen(answer))
}

/// `POST /oauth/revoke` (RFC 7009)
pub(super) async fn revoke(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    Form(form): Form,
) -> Result<Response, Refused> {
    let client = credentials(&headers, &form)?;
    identity
        .revoke(&client, &form.secret("token")?, &address)
        .await?;
    Ok(StatusCode::OK.into_response())
}

/// `POST /login/{upstream}/backchannel-logout` (OpenID Connect Back-Channel Logout 1.0)
pub(super) async fn backchannel_logout(
    State(identity): State<Arc<Identity>>,
    Path(upstream): Path<String>,
    Address(address): Address,
    Form(form): Form,
) -> Result<Response, Refused> {
    let token = form.secret("logout_token")?;
    identity
        .backchannel_logout(&upstream, &token, &address)
        .await?;
    let mut response = StatusCode::OK.into_response();
    no_store(response.headers_mut());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kernel::Contended as _;

    use super::*;
    use crate::http::pages;

    #[test]
    fn who_was_overtaken_all_the_time_is_told_when_to_come_again() {
        let overtaken = || Refusal::from(Error::conflict("somebody was first").overtaken());
        let pages = pages::refused(&overtaken().given_up(3));
        let endpoints = Refused(overtaken().given_up(3)).into_response();
        for answer in [pages, endpoints] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn who_comes_again_when_told_does_not_come_too_early() {
        let mut refusal = Refusal::request("too often");
        refusal.retry_after = Some(Duration::from_millis(1001));
        let answer = Refused(refusal).into_response();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    }
}
