//! Logging in and out.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    response::Response,
};
use kernel::{
    Secret,
    http::html::{cookie, see_other, set_cookie},
};
use url::Url;

use super::{
    Answer, failed, page,
    request::{Form, login_cookie, session_cookie, session_form},
};
use crate::{
    Portal,
    address::{HOME, local, with},
    failure::Failure,
    login::Logins,
    pages,
};

/// `GET /portal/login`: to the provider, and from there to `to`.
pub(super) async fn begin(
    State(portal): State<Arc<Portal>>,
    headers: HeaderMap,
    query: Form,
) -> Response {
    let way = local(query.get("to")).unwrap_or_else(|| HOME.into());
    if let Some(elsewhere) = properly_reached(&portal, &headers, &way) {
        return see_other(&elsewhere);
    }
    let begun = async {
        let name = login_cookie(&portal);
        let logins = Logins::of(cookie(&headers, name))?;
        let login = logins.begin(&way, &portal.settings.redirect_uri)?;
        let location = portal.provider().await?.authorization_url(&login)?;
        let mut response = see_other(&location);
        let secure = portal.settings.is_secure();
        set_cookie(response.headers_mut(), name, logins.cookie(), secure, None);
        Ok::<_, Failure>(response)
    };
    begun.await.unwrap_or_else(|failure| failed(None, failure))
}

/// On a laptop the platform has two names, `localhost` and `127.0.0.1`, and a browser tells them apart: a login
/// that is begun at one would come back to the other, which knows nothing of it.
fn properly_reached(portal: &Portal, headers: &HeaderMap, way: &str) -> Option<String> {
    let issuer = Url::parse(&portal.settings.issuer).ok()?;
    let asked = headers.get(header::HOST)?.to_str().ok()?;
    let asked = Url::parse(&format!("http://{asked}")).ok()?;
    let here = matches!(asked.host_str()?, "localhost" | "127.0.0.1" | "[::1]");
    let other = asked.host() != issuer.host() && asked.port() == issuer.port();
    // Without TLS the issuer is on this machine, and nobody in between has changed what was asked.
    (issuer.scheme() == "http" && here && other).then(|| {
        with(
            &format!("{}/portal/login", portal.settings.issuer),
            &[("to", way)],
        )
    })
}

/// `GET /portal/callback`: where the provider sends the browser back to.
pub(super) async fn finish(
    State(portal): State<Arc<Portal>>,
    headers: HeaderMap,
    query: Form,
) -> Response {
    arrived(&portal, &headers, &query)
        .await
        .unwrap_or_else(|failure| failed(None, failure))
}

async fn arrived(portal: &Portal, headers: &HeaderMap, query: &Form) -> Answer {
    let begun = cookie(headers, login_cookie(portal));
    let logins = Logins::of(begun)?;
    let Some((login, way)) = logins.finish(query.get("state"), &portal.settings.redirect_uri)
    else {
        // Another tab of this browser has finished its own login: it is one for both.
        if let Some(held) = cookie(headers, session_cookie(portal))
            && portal.session(held).await?.is_some()
        {
            return Ok(see_other(HOME));
        }
        let why = "It was not begun in this browser, or too long ago.";
        return Err(Failure::Login(why.into()));
    };
    // Another provider's answer is none to us (RFC 9207).
    if query.get("iss") != portal.settings.issuer {
        return Err(Failure::Login("Another provider has answered.".into()));
    }
    if let Some(error) = query.text("error") {
        let why = query.text("error_description").unwrap_or(error);
        return Err(Failure::Login(why));
    }
    let code = Secret::from(query.get("code"));
    let exchanged = portal.provider().await?.code_exchange(&login, &code).await;
    let tokens = exchanged.map_err(|error| match error {
        client::Error::Grant { description, .. } => Failure::Login(description),
        error => error.into(),
    })?;
    // Of two logins in one browser the later is the one that counts.
    if let Some(before) = cookie(headers, session_cookie(portal)) {
        portal.session_replace(before).await?;
    }
    let held = portal.session_begin(&tokens).await?;
    let mut response = see_other(&way);
    let (headers, secure) = (response.headers_mut(), portal.settings.is_secure());
    set_cookie(headers, session_cookie(portal), &held, secure, None);
    set_cookie(headers, login_cookie(portal), "", secure, None);
    Ok(response)
}

/// `POST /portal/logout`
pub(super) async fn end(State(portal): State<Arc<Portal>>, request: Request) -> Response {
    let ended = async {
        let (held, _) = session_form(request, &portal).await?;
        if let Err(error) = portal.session_end(&held).await {
            // It is gone here; at the provider it ends by itself.
            let chain = format!("{error}: {:?}", std::error::Error::source(&error));
            tracing::warn!(chain, "a login outlives its session at the portal");
        }
        let mut response = see_other("/portal/logged-out");
        let secure = portal.settings.is_secure();
        set_cookie(
            response.headers_mut(),
            session_cookie(&portal),
            "",
            secure,
            None,
        );
        Ok(response)
    };
    match ended.await {
        Ok(response) => response,
        // Nobody is logged in: that is what was asked for.
        Err(Failure::LoggedOut) => see_other("/portal/logged-out"),
        Err(failure) => failed(None, failure),
    }
}

/// `GET /portal/logged-out`
pub(super) async fn ended() -> Response {
    page(None, "Logged out", pages::problem::logged_out())
}
