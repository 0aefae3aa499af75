//! Who calls: the bearer token of a request, checked.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

use super::{correlation, extract::single_value, room::Sender, strangers::Strangers};
use crate::{
    Caller, Error, ErrorKind, Reason, Result, Secret, bytes::random, private_file, secret::same,
};

/// Carries why the caller does what they do, as UTF-8: kept with every event that comes of it. See
/// [`Reason`] for what it may be.
pub const REASON: HeaderName = HeaderName::from_static("towpath-reason");

/// Knows callers by their tokens. Put into the routes as `Extension(Arc<dyn Authenticator>)`.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The caller with this bearer token; `Unauthenticated` where there is none. The correlation id
    /// and the reason are set afterwards.
    async fn authenticate(&self, token: &Secret) -> Result<Caller>;

    /// How often something has changed by which callers are known, up to `place` in the log: the same number as
    /// before says that everybody may what they might. None where nobody counts that.
    async fn changes(&self, _place: i64) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// One token for the one user of a local platform, until there is a login.
pub struct AdminToken {
    token: Secret,
}

impl AdminToken {
    /// The token in the file at `path`; draws one, and writes it with mode 0600, where there is none.
    pub fn from_file(path: &Path) -> Result<Self> {
        let token = private_file::read_or_create(path, "admin token", || {
            Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
        })?;
        if token.expose().len() < 32 {
            return Err(Error::invalid(format!(
                "the admin token in {} is too short",
                path.display()
            ))
            .remedy("remove the file: a new one is made at the next start"));
        }
        Ok(Self { token })
    }

    /// A token that is known already.
    pub fn new(token: Secret) -> Self {
        Self { token }
    }

    /// The token.
    pub fn token(&self) -> &Secret {
        &self.token
    }
}

#[async_trait]
impl Authenticator for AdminToken {
    async fn authenticate(&self, token: &Secret) -> Result<Caller> {
        if same(self.token.expose(), token.expose()) {
            Ok(Caller::local_admin())
        } else {
            Err(unauthenticated("the bearer token is not valid"))
        }
    }
}

fn unauthenticated(message: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
        .remedy("log in with `towpath login --server URL`; programs send `Authorization: Bearer TOKEN`, and on the platform's machine there is one in admin.token in its data directory")
}

/// Why the caller does what they do, where they say so.
fn stated(headers: &HeaderMap) -> Result<Option<Reason>> {
    let Some(value) = single_value(headers, &REASON)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
        Error::invalid(format!("the header {REASON} is not UTF-8"))
            .remedy("encode the reason as UTF-8")
    })?;
    Reason::new(text).map(Some)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        Session::from_request_parts(parts, state)
            .await
            .map(|session| session.caller)
    }
}

/// The caller of a request that lasts. Their rights may end before the request does: what goes on
/// being sent asks again.
#[derive(Clone)]
pub struct Session {
    /// The caller, as of the last time that was asked.
    pub caller: Caller,
    authenticator: Arc<dyn Authenticator>,
    token: Secret,
    asked: Instant,
    /// Up to which place in the log it is known whether something has changed since, and what was counted then.
    known: (i64, Option<u64>),
}

impl Session {
    /// How long what was known of a caller holds for a request that lasts.
    pub const HOLDS: Duration = Duration::from_secs(1);

    /// Asks again who calls, where the last answer is old. Says whether it did; fails where the
    /// credentials are no longer good.
    pub async fn renew(&mut self) -> Result<bool> {
        if self.asked.elapsed() < Self::HOLDS {
            return Ok(false);
        }
        self.ask().await
    }

    /// Asks again who calls, where the last answer is older than `age`, or something has changed since, up to `place`
    /// in the log, by which callers are known: whoever is told what happened up to there is who they were then. Says
    /// whether it did; fails where the credentials are no longer good.
    pub async fn renew_at(&mut self, place: i64, age: Duration) -> Result<bool> {
        let (before, counted) = self.known;
        let is_old = self.asked.elapsed() > age;
        if place <= before && !is_old {
            return Ok(false);
        }
        // Counted before it is asked: what changes meanwhile is looked for again.
        let now = self.authenticator.changes(place).await?;
        self.known = (place.max(before), now);
        if now == counted && !is_old {
            return Ok(false);
        }
        self.ask().await
    }

    async fn ask(&mut self) -> Result<bool> {
        let caller = self.authenticator.authenticate(&self.token).await?;
        self.asked = Instant::now();
        self.caller = Caller {
            correlation: self.caller.correlation,
            reason: self.caller.reason.take(),
            ..caller
        };
        Ok(true)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // Asked already, ahead of the handler.
        if let Some(session) = parts.extensions.get::<Self>() {
            return Ok(session.clone());
        }
        let session = Self::of(parts).await;
        match &session {
            Ok(session) => {
                let sender = Sender::of(&session.caller);
                parts.extensions.insert(sender);
            }
            Err(error) => {
                if let Some(strangers) = parts.extensions.get::<Strangers>() {
                    strangers.count(error);
                }
            }
        }
        session
    }
}

impl Session {
    /// Whose request it is.
    async fn of(parts: &Parts) -> Result<Self> {
        let authenticator = parts
            .extensions
            .get::<Arc<dyn Authenticator>>()
            .ok_or_else(|| Error::internal("a route has no authenticator", "not configured"))?
            .clone();
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or_else(|| unauthenticated("the request carries no credentials"))?
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| Secret::from(token.trim()))
            .ok_or_else(|| unauthenticated("the Authorization header holds no bearer token"))?;
        let caller = authenticator.authenticate(&token).await?;
        Ok(Self {
            caller: Caller {
                correlation: correlation::current(),
                reason: stated(&parts.headers)?,
                ..caller
            },
            authenticator,
            token,
            asked: Instant::now(),
            known: (0, None),
        })
    }
}
