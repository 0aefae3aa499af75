//! `/device`: where a person approves what waits elsewhere.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use kernel::secret::same;

use super::{
    authorize::to_login,
    browser::{cookie, session_cookie},
    pages,
    request::{Address, Form, QueryParameters},
    token::Refused,
};
use crate::{Identity, Refusal, state::Then};

/// `GET /device`
pub(super) async fn show(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let shown = async {
        let QueryParameters(query) = query.map_err(|Refused(refusal)| refusal)?;
        let code = query.get("user_code");
        let browser = cookie(&headers, session_cookie(&identity));
        let (Some(login), Some(browser)) = (identity.browser(browser).await?, browser) else {
            let user_code = code.unwrap_or_default().chars().take(20).collect();
            return to_login(&identity, &headers, Then::Device { user_code }, &address).await;
        };
        let Some(code) = code else {
            return Ok(pages::device_code(&login.name, None));
        };
        Ok(match identity.device_show(&login, code, &address).await {
            Ok(request) => {
                pages::device_confirm(&login.name, &request, &Identity::browser_csrf(browser))
            }
            Err(refusal) => pages::device_code(&login.name, Some(&refusal)),
        })
    };
    shown
        .await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// `POST /device`
pub(super) async fn decide(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    form: Result<Form, Refused>,
) -> Response {
    let decided = async {
        let Form(form) = form.map_err(|Refused(refusal)| refusal)?;
        let browser = cookie(&headers, session_cookie(&identity));
        let (Some(login), Some(browser)) = (identity.browser(browser).await?, browser) else {
            return Err(Refusal::request(
                "you are not logged in any more: begin again",
            ));
        };
        if !same(form.need("csrf")?, Identity::browser_csrf(browser)) {
            return Err(Refusal::request("this page is no longer good: begin again"));
        }
        let approve = match form.need("decision")? {
            "approve" => true,
            "deny" => false,
            _ => return Err(Refusal::request("the decision is `approve` or `deny`")),
        };
        let code = form.need("user_code")?;
        identity
            .device_decide(&login, code, approve, &address)
            .await?;
        Ok(if approve {
            pages::done(
                "Approved",
                "The device is logged in. You can close this page.",
            )
        } else {
            pages::done("Denied", "The device was refused. You can close this page.")
        })
    };
    decided
        .await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}
