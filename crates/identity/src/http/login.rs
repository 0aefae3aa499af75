//! The login page, and logging out.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use kernel::secret::same;

use super::{
    browser::{
        cookie, device_cookie, login_cookie, see_other, session_cookie, set_cookie,
        set_lasting_cookie,
    },
    pages,
    request::{Address, Form, Parameters, QueryParameters},
    token::Refused,
};
use crate::{
    Identity, Refusal,
    service::{Entered, Filled},
    state::Then,
};

/// `GET /login`
pub(super) async fn show(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let shown = async {
        let QueryParameters(query) = query.map_err(|Refused(refusal)| refusal)?;
        let page = query.need("page")?;
        let form = identity
            .login_form(page, cookie(&headers, login_cookie(&identity)))
            .await?;
        Ok(pages::login(page, &form, None))
    };
    shown
        .await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// `POST /login`
pub(super) async fn enter(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    form: Result<Form, Refused>,
) -> Response {
    let done = async {
        let Form(form) = form.map_err(|Refused(refusal)| refusal)?;
        let (page, known) = (
            form.need("page")?,
            cookie(&headers, login_cookie(&identity)),
        );
        let entered = identity
            .login_password(
                page,
                known,
                form.need("csrf")?,
                Filled {
                    name: form.get("username").unwrap_or_default(),
                    password: form.secret("password").unwrap_or_else(|_| "".into()),
                    address: &address,
                    device: cookie(&headers, device_cookie(&identity)),
                },
            )
            .await;
        match entered {
            Ok(entered) => welcome(&identity, entered).await,
            // The page again, with what is wrong; where that is no more, the error alone.
            Err(refusal) => match identity.login_form(page, known).await {
                Ok(form) => Ok(pages::login(page, &form, Some(&refusal))),
                Err(_) => Err(refusal),
            },
        }
    };
    done.await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// `GET /login/{upstream}`
pub(super) async fn visit(
    State(identity): State<Arc<Identity>>,
    Path(upstream): Path<String>,
    Address(address): Address,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let sent = async {
        let QueryParameters(query) = query.map_err(|Refused(refusal)| refusal)?;
        let browser = cookie(&headers, login_cookie(&identity));
        let location = identity
            .upstream_visit(&upstream, query.need("page")?, browser, &address)
            .await?;
        Ok(see_other(&location))
    };
    sent.await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// `GET /login/{upstream}/callback`
pub(super) async fn arrive(
    State(identity): State<Arc<Identity>>,
    Path(upstream): Path<String>,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let arrived = async {
        let QueryParameters(query) = query.map_err(|Refused(refusal)| refusal)?;
        let outcome = match query.get("error") {
            Some(error) => Err(query.get("error_description").unwrap_or(error).to_owned()),
            None => Ok(query.secret("code")?),
        };
        let browser = cookie(&headers, login_cookie(&identity));
        let state = query.need("state")?;
        let entered = identity
            .upstream_arrived(&upstream, state, outcome, browser)
            .await?;
        welcome(&identity, entered).await
    };
    arrived
        .await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// Sends somebody who is in to where they wanted to go.
pub(super) async fn welcome(identity: &Identity, entered: Entered) -> Result<Response, Refusal> {
    let location = match entered.then {
        Then::Authorize(request) => {
            identity
                .authorization_grant(&request, &entered.login)
                .await?
        }
        Then::Device { user_code } if user_code.is_empty() => "/device".to_owned(),
        Then::Device { user_code } => {
            let code: String = url::form_urlencoded::byte_serialize(user_code.as_bytes()).collect();
            format!("/device?user_code={code}")
        }
    };
    let mut response = see_other(&location);
    let headers = response.headers_mut();
    set_cookie(identity, headers, session_cookie(identity), &entered.cookie);
    if let Some(device) = &entered.device {
        set_lasting_cookie(identity, headers, device_cookie(identity), device);
    }
    Ok(response)
}

/// `GET /oauth/logout`
pub(super) async fn logout(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let done = async {
        let QueryParameters(query) = query.map_err(|Refused(refusal)| refusal)?;
        log_out(&identity, &headers, &query).await
    };
    done.await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

/// `POST /oauth/logout`
pub(super) async fn logout_post(
    State(identity): State<Arc<Identity>>,
    headers: HeaderMap,
    form: Result<Form, Refused>,
) -> Response {
    let done = async {
        let Form(form) = form.map_err(|Refused(refusal)| refusal)?;
        log_out(&identity, &headers, &form).await
    };
    done.await
        .unwrap_or_else(|refusal: Refusal| pages::refused(&refusal))
}

async fn log_out(
    identity: &Identity,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Response, Refusal> {
    let name = session_cookie(identity);
    let browser = cookie(headers, name);
    let mut response = if parameters.get("id_token_hint").is_some() {
        let of = identity.logout_hint(&parameters.secret("id_token_hint")?)?;
        if parameters
            .get("client_id")
            .is_some_and(|asked| asked != of.aud)
        {
            return Err(Refusal::request("the id_token_hint is another client's"));
        }
        let response = match parameters.get("post_logout_redirect_uri") {
            Some(asked) => {
                let target = identity.logout_target(&of.aud, asked).await?;
                see_other(&with_state(&target, parameters.get("state")))
            }
            None => pages::done("Logged out", "You are logged out of Towpath."),
        };
        // Once nothing can be refused any more: who is told that it went wrong is still logged in.
        identity.logout(&of.sid).await?;
        response
    } else {
        // Nobody but the person says so: they confirm, and another site cannot.
        let Some(value) = browser else {
            return Ok(pages::done("Logged out", "Nobody is logged in here."));
        };
        let csrf = Identity::browser_csrf(value);
        match parameters.get("csrf") {
            Some(given) if same(given, &csrf) => {
                identity.browser_end(value).await?;
                pages::done("Logged out", "You are logged out of Towpath.")
            }
            _ => return Ok(pages::logout(&csrf)),
        }
    };
    set_cookie(identity, response.headers_mut(), name, "");
    Ok(response)
}

fn with_state(target: &str, state: Option<&str>) -> String {
    match (url::Url::parse(target), state) {
        (Ok(mut target), Some(state)) => {
            target.query_pairs_mut().append_pair("state", state);
            target.into()
        }
        _ => target.to_owned(),
    }
}
