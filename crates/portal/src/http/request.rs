//! What comes from a browser: its session, and the forms that it sends.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Method, header, request::Parts},
    response::Response,
};
use kernel::{
    http::{
        Whole,
        html::{cookie, see_other},
    },
    secret::same,
};
use url::form_urlencoded;

use super::failed;
use crate::{
    Portal,
    address::{HOME, local, with},
    failure::Failure,
    session::csrf,
    visitor::Visitor,
};

/// The cookie of a session.
pub(super) fn session_cookie(portal: &Portal) -> &'static str {
    if portal.settings.is_secure() {
        "__Host-towpath-portal"
    } else {
        "towpath-portal"
    }
}

/// The cookie of a browser in which logins are under way.
pub(super) fn login_cookie(portal: &Portal) -> &'static str {
    if portal.settings.is_secure() {
        "__Host-towpath-portal-login"
    } else {
        "towpath-portal-login"
    }
}

impl FromRequestParts<Arc<Portal>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Response> {
        visitor(&parts.headers, portal).await.map_err(|failure| {
            // Who only looks is logged in, and led back here.
            if matches!(failure, Failure::LoggedOut) && parts.method == Method::GET {
                let here = parts
                    .uri
                    .path_and_query()
                    .map_or(HOME, |here| here.as_str());
                let way = local(here).unwrap_or_else(|| HOME.into());
                return see_other(&with("/portal/login", &[("to", &way)]));
            }
            failed(None, failure)
        })
    }
}

async fn visitor(headers: &HeaderMap, portal: &Arc<Portal>) -> Result<Visitor, Failure> {
    let cookie = cookie(headers, session_cookie(portal)).ok_or(Failure::LoggedOut)?;
    let session = portal.session(cookie).await?.ok_or(Failure::LoggedOut)?;
    Visitor::of(portal.clone(), cookie, session).await
}

/// A form that the present session was given, and who sends it. There is no other way to a form's fields.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    pub(super) form: Form,
}

impl FromRequest<Arc<Portal>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, portal: &Arc<Portal>) -> Result<Self, Response> {
        let headers = request.headers().clone();
        let posted = async {
            let (_, form) = session_form(request, portal).await?;
            let visitor = visitor(&headers, portal).await?;
            Ok(Self { visitor, form })
        };
        posted.await.map_err(|failure| failed(None, failure))
    }
}

/// A form that this session was given, with the session's cookie: for who may not even be asked who they are.
pub(super) async fn session_form(
    request: Request,
    portal: &Arc<Portal>,
) -> Result<(String, Form), Failure> {
    let held = cookie(request.headers(), session_cookie(portal));
    let held = held.ok_or(Failure::LoggedOut)?.to_owned();
    let form = Form::read(request).await?;
    if !same(form.get("csrf"), csrf(&held)) {
        return Err(Failure::Forged);
    }
    Ok((held, form))
}

/// The fields of a form or a query. A field that is there several times is a list.
#[derive(Default)]
pub(super) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    async fn read(request: Request) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Failure::NoForm("It is not of the type that forms have."));
        }
        let unreadable = |_: kernel::Error| {
            Failure::NoForm("It could not be read in time, or is longer than any of them.")
        };
        let body = Whole::from_request(request, &()).await;
        let body = body.map_err(unreadable)?;
        let form = body.read(|body| Ok(Self::parse(body))).await;
        form.map_err(unreadable)
    }

    pub(super) fn parse(encoded: &[u8]) -> Self {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            all.entry(name.into_owned())
                .or_default()
                .push(value.into_owned());
        }
        Self(all)
    }

    /// The field's value; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }

    /// The same without what surrounds it; none where nothing is left.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = self.get(name).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The same, of several lines: browsers send each end of one as two characters.
    pub(super) fn lines(&self, name: &str) -> String {
        self.get(name).replace("\r\n", "\n")
    }

    /// All its values.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(
            parts.uri.query().unwrap_or_default().as_bytes(),
        ))
    }
}
