//! `GET /oauth/authorize`

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    browser::{cookie, login_cookie, see_other, session_cookie, set_cookie},
    pages,
    request::{Address, QueryParameters},
    token::Refused,
};
use crate::{
    Identity, Refusal, RefusalCode,
    service::AuthorizeRefusal,
    state::{Then, random_token},
};

pub(super) async fn authorize(
    State(identity): State<Arc<Identity>>,
    Address(address): Address,
    headers: HeaderMap,
    query: Result<QueryParameters, Refused>,
) -> Response {
    let outcome = match query {
        Ok(QueryParameters(query)) => answer(&identity, &headers, &query, &address).await,
        Err(Refused(refusal)) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| pages::refused(&refusal))
}

async fn answer(
    identity: &Identity,
    headers: &HeaderMap,
    query: &super::request::Parameters,
    address: &str,
) -> Result<Response, Refusal> {
    let request = match identity.authorization_check(|name| query.owned(name)).await {
        Ok(request) => request,
        Err(AuthorizeRefusal::Sent(location)) => return Ok(see_other(&location)),
        Err(AuthorizeRefusal::Shown(refusal)) => return Err(refusal),
    };
    let prompt = query.get("prompt").unwrap_or_default();
    let prompts = |one: &str| prompt.split(' ').any(|word| word == one);
    let oldest = query.get("max_age").and_then(|age| age.parse::<i64>().ok());
    let now = identity.now();
    let login = identity
        .browser(cookie(headers, session_cookie(identity)))
        .await?
        .filter(|_| !prompts("login") && !prompts("select_account"))
        .filter(|login| oldest.is_none_or(|age| now.as_second() - login.at.as_second() <= age));
    if let Some(login) = login {
        return Ok(see_other(
            &identity.authorization_grant(&request, &login).await?,
        ));
    }
    if prompts("none") {
        let refusal = Refusal::new(RefusalCode::LoginRequired, "nobody is logged in");
        let (uri, state) = (&request.redirect_uri, request.state.as_deref());
        return Ok(see_other(
            &identity.authorization_refused(uri, state, &refusal)?,
        ));
    }
    to_login(identity, headers, Then::Authorize(request), address).await
}

/// Sends the browser to a login page, and from there to `then`.
pub(super) async fn to_login(
    identity: &Identity,
    headers: &HeaderMap,
    then: Then,
    address: &str,
) -> Result<Response, Refusal> {
    let name = login_cookie(identity);
    // Kept where there is one: two tabs may wait at once.
    let (value, is_new) = match cookie(headers, name) {
        Some(value) if value.len() >= 43 => (value.to_owned(), false),
        _ => (random_token()?, true),
    };
    let page = identity.login_open(then, &value, address).await?;
    let mut response = see_other(&format!("/login?page={page}"));
    if is_new {
        set_cookie(identity, response.headers_mut(), name, &value);
    }
    Ok(response)
}
