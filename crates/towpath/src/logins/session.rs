//! A login that lasts: tokens are renewed before they end, by one process at a time.

use std::{error::Error as StdError, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Provider, TokenSource};
use jiff::Timestamp;
use kernel::Secret;
use serde::Deserialize;

use super::{
    CLIENT, LockError, LoginFile, Tokens,
    file::{IdToken, Locked},
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// How long before its end a token is renewed: a call that is under way, and clocks that differ. Of a
/// token that lives for less than four times that, a quarter of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a renewal may take, all tries together: shorter than others wait for the file, and than the
/// platform gives an answer again that was lost.
const RENEWAL: Duration = Duration::from_secs(50);

/// How long the file is worth waiting for while the present token is still good.
const NOT_PRESSED: Duration = Duration::from_secs(2);

/// The login of one context.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    file: LoginFile,
    context: String,
    /// As it was when the command began: tokens of another platform are not taken for its own.
    server: String,
}

impl Session {
    pub(crate) fn new(file: LoginFile, context: &str, server: &str) -> Self {
        Self {
            file,
            context: context.into(),
            server: server.into(),
        }
    }

    /// The tokens, renewed where their time has come. `refused`: the access token that the platform
    /// does not take any more.
    pub(crate) async fn tokens(&self, refused: Option<&Secret>) -> Result<Tokens> {
        let tokens = self.kept(self.file.read()?)?;
        if is_fresh(&tokens, refused) {
            return Ok(tokens);
        }
        let (session, refused) = (self.clone(), refused.cloned());
        // In a task of its own: whoever stops waiting must not lose the only refresh token that is
        // still good.
        let renewed = tokio::spawn(async move { session.renew(refused.as_ref()).await });
        renewed.await.map_err(|error| {
            Failure::new(Exit::Failed, format!("a login was not renewed: {error}"))
        })?
    }

    async fn renew(&self, refused: Option<&Secret>) -> Result<Tokens> {
        let present = self.kept(self.file.read()?)?;
        let lock = if is_good(&present, refused) {
            match self.file.lock_within(NOT_PRESSED).await {
                // Whoever holds it renews this token, most likely.
                Err(LockError::Held(_)) => return Ok(present),
                lock => lock?,
            }
        } else {
            self.file.lock().await?
        };
        let tokens = self.kept(lock.read()?)?;
        if is_fresh(&tokens, refused) {
            // Another process was first.
            return Ok(tokens);
        }
        let Some(refresh) = &tokens.refresh else {
            if is_good(&tokens, refused) {
                return Ok(tokens);
            }
            return Err(self.needed("the login is over"));
        };
        let asked = async {
            let provider = Provider::discover(&self.server, CLIENT).await?;
            if provider.issuer() != self.server {
                return Err(client::Error::Protocol {
                    server: self.server.clone(),
                    reason: format!("it is {} now", provider.issuer()),
                });
            }
            provider.refresh(&refresh.as_str().into()).await
        };
        let Ok(asked) = tokio::time::timeout(RENEWAL, asked).await else {
            if is_good(&tokens, refused) {
                return Ok(tokens);
            }
            let seconds = RENEWAL.as_secs();
            let message = format!("{} did not renew the login within {seconds} s", self.server);
            return Err(Failure::new(Exit::Unreachable, message)
                .remedy("try again: what it has not answered it answers once more for a minute"));
        };
        match asked {
            Ok(given) => {
                let renewed = Tokens::new(&given, Timestamp::now());
                self.keep(&lock, Some(renewed.clone()))?;
                Ok(renewed)
            }
            Err(client::Error::Grant { code, description }) if code == "invalid_grant" => {
                // It will never be good again.
                self.keep(&lock, None)?;
                Err(self.needed(&description))
            }
            // The present one is good for a while yet: the platform may be back by then.
            Err(error) if error.is_transient() && is_good(&tokens, refused) => {
                tracing::debug!(%error, "a login is not renewed yet");
                Ok(tokens)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, lock: &Locked<'_>, tokens: Option<Tokens>) -> Result<()> {
        let mut logins = lock.read()?;
        if let Some(platform) = logins.contexts.get_mut(&self.context) {
            platform.tokens = tokens;
        }
        lock.write(&logins)
    }

    fn kept(&self, mut logins: super::Logins) -> Result<Tokens> {
        logins
            .contexts
            .remove(&self.context)
            .filter(|platform| platform.server == self.server)
            .and_then(|platform| platform.tokens)
            .ok_or_else(|| self.needed("nobody is logged in"))
    }

    /// That somebody has to log in, and how.
    fn needed(&self, why: &str) -> Failure {
        Failure::new(Exit::Refused, format!("{}: {why}", self.server)).remedy(format!(
            "log in: `towpath login --context {}`",
            self.context
        ))
    }
}

#[async_trait]
impl TokenSource for Session {
    async fn token(
        &self,
        refused: Option<&Secret>,
    ) -> std::result::Result<Secret, Box<dyn StdError + Send + Sync>> {
        Ok(self.tokens(refused).await?.access.into())
    }
}

fn is_fresh(tokens: &Tokens, refused: Option<&Secret>) -> bool {
    match refused {
        Some(refused) => refused.expose() != tokens.access.as_bytes(),
        None => Timestamp::now() < tokens.renew_at,
    }
}

/// Whether the access token may still be shown.
fn is_good(tokens: &Tokens, refused: Option<&Secret>) -> bool {
    refused.is_none() && Timestamp::now() < tokens.expires
}

impl Tokens {
    /// Those that were given at `now`.
    pub(crate) fn new(given: &client::Tokens, now: Timestamp) -> Self {
        let text = |secret: &Secret| secret.expose_str().unwrap_or_default().to_owned();
        let expires = later(now, given.expires_in);
        let id = given.id.as_ref().and_then(|token| {
            let token = text(token);
            let expires = expiry(&token)?;
            Some(IdToken { token, expires })
        });
        // Whichever of both ends first.
        let end = id.as_ref().map_or(expires, |id| id.expires.min(expires));
        let life = Duration::try_from(end.duration_since(now)).unwrap_or_default();
        Self {
            access: text(&given.access),
            expires,
            renew_at: later(now, life.saturating_sub(MARGIN.min(life / 4))),
            id,
            refresh: given.refresh.as_ref().map(text),
        }
    }
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// When a token ends, as it says itself. It came from its issuer a moment ago, and is not ours to
/// verify: the API server does.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&body).ok()?;
    Timestamp::from_second(claims.exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_token(exp: i64) -> Secret {
        let body = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#));
        Secret::from(format!("e30.{body}.c2ln"))
    }

    fn given(seconds: u64, id: Option<Secret>) -> client::Tokens {
        client::Tokens {
            access: "access".into(),
            expires_in: Duration::from_secs(seconds),
            id,
            refresh: None,
        }
    }

    #[test]
    fn tokens_are_renewed_before_the_first_of_them_ends() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let hour = Tokens::new(&given(3600, Some(id_token(1_003_600))), now);
        assert_eq!(hour.renew_at.as_second(), 1_003_540);
        let shorter = Tokens::new(&given(3600, Some(id_token(1_000_600))), now);
        assert_eq!(shorter.renew_at.as_second(), 1_000_540);
        let brief = Tokens::new(&given(8, None), now);
        assert_eq!(brief.renew_at.as_second(), 1_000_006);
        let over = Tokens::new(&given(0, Some(id_token(1))), now);
        assert!(over.renew_at <= now);
    }

    #[test]
    fn an_id_token_that_says_no_end_is_none() {
        for token in ["", "a.b.c", "e30.e30.c2ln"] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
