//! The endpoints that programs speak to: tokens, device codes, revocation.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
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
        if let Some(wait) = refusal.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        response
    }
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
