//! A login that lasts: tokens are renewed before they end, by one process at a time.

use std::{error::Error as StdError, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use client::{Provider, TokenSource};
use jiff::Timestamp;
use kernel::Secret;
use serde::Deserialize;

use super::{
    CLIENT, LockError, LoginFile, Machine, Tokens,
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
        let kept = self.kept(self.file.read()?)?;
        if let Some(tokens) = kept.fresh(refused) {
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
        let lock = match self.kept(self.file.read()?)?.good(refused) {
            Some(present) => match self.file.lock_within(NOT_PRESSED).await {
                // Whoever holds it renews this token, most likely.
                Err(LockError::Held(_)) => return Ok(present),
                lock => lock?,
            },
            None => self.file.lock().await?,
        };
        let kept = self.kept(lock.read()?)?;
        if let Some(tokens) = kept.fresh(refused) {
            // Another process was first.
            return Ok(tokens);
        }
        let good = kept.good(refused);
        let Kept { tokens, machine } = kept;
        let refresh = tokens.and_then(|tokens| tokens.refresh);
        let asked = async {
            match (&machine, &refresh) {
                (Some(machine), _) => self.ask_by(machine).await,
                (None, Some(refresh)) => self.ask_with(&lock, refresh).await,
                (None, None) => Err(Unrenewed::Yet(self.needed("the login is over"))),
            }
        };
        let Ok(asked) = tokio::time::timeout(RENEWAL, asked).await else {
            let seconds = RENEWAL.as_secs();
            let message = format!("{} did not renew the login within {seconds} s", self.server);
            let failure = Failure::new(Exit::Unreachable, message)
                .remedy("try again: what it has not answered it answers once more for a minute");
            return good.ok_or(failure);
        };
        match (asked, good) {
            (Ok(given), _) => {
                let renewed = Tokens::new(&given, Timestamp::now())?;
                self.keep(&lock, Some(renewed.clone()))?;
                Ok(renewed)
            }
            // The present one is good for a while yet.
            (Err(Unrenewed::Yet(failure)), Some(good)) => {
                tracing::debug!(message = failure.message, "a login is not renewed yet");
                Ok(good)
            }
            (Err(Unrenewed::Yet(failure) | Unrenewed::Ever(failure)), _) => Err(failure),
        }
    }

    /// New tokens for a refresh token. Where it is not taken it will never be good again, and is forgotten.
    async fn ask_with(
        &self,
        lock: &Locked<'_>,
        refresh: &str,
    ) -> std::result::Result<client::Tokens, Unrenewed> {
        let asked = match self.provider().await {
            Ok(provider) => provider.refresh(&refresh.into()).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(given) => Ok(given),
            Err(client::Error::Grant { code, description }) if code == "invalid_grant" => {
                self.keep(lock, None).map_err(Unrenewed::Ever)?;
                Err(Unrenewed::Ever(self.needed(&description)))
            }
            // The platform may be back before the present one ends.
            Err(error) if error.is_transient() => Err(Unrenewed::Yet(error.into())),
            Err(error) => Err(Unrenewed::Ever(error.into())),
        }
    }

    /// New tokens for a service account. A file whose key or token is not good now may have the next one
    /// soon.
    async fn ask_by(&self, machine: &Machine) -> std::result::Result<client::Tokens, Unrenewed> {
        let account = &machine.service_account;
        let shown = machine.proof.shown(account).await;
        let shown = shown.map_err(Unrenewed::Yet)?;
        let asked = match self.provider().await {
            Ok(provider) => shown.tokens(&provider, account).await,
            Err(error) => Err(error),
        };
        asked.map_err(|error| Unrenewed::Yet(shown.explained(account, error)))
    }

    async fn provider(&self) -> client::Result<Provider> {
        let provider = Provider::discover(&self.server, CLIENT).await?;
        if provider.issuer() != self.server {
            return Err(client::Error::Protocol {
                server: self.server.clone(),
                reason: format!("it is {} now", provider.issuer()),
            });
        }
        Ok(provider)
    }

    fn keep(&self, lock: &Locked<'_>, tokens: Option<Tokens>) -> Result<()> {
        let mut logins = lock.read()?;
        if let Some(platform) = logins.contexts.get_mut(&self.context) {
            platform.tokens = tokens;
        }
        lock.write(&logins)
    }

    fn kept(&self, mut logins: super::Logins) -> Result<Kept> {
        logins
            .contexts
            .remove(&self.context)
            .filter(|platform| platform.server == self.server)
            .map(|platform| Kept {
                tokens: platform.tokens,
                machine: platform.machine,
            })
            .filter(|kept| kept.tokens.is_some() || kept.machine.is_some())
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

/// What the file holds of one login.
struct Kept {
    tokens: Option<Tokens>,
    machine: Option<Machine>,
}

impl Kept {
    /// The tokens, where it is not time for others.
    fn fresh(&self, refused: Option<&Secret>) -> Option<Tokens> {
        let is_fresh = |tokens: &&Tokens| match refused {
            Some(refused) => refused.expose() != tokens.access.as_bytes(),
            None => Timestamp::now() < tokens.renew_at,
        };
        self.tokens.as_ref().filter(is_fresh).cloned()
    }

    /// The tokens, where the access token may still be shown.
    fn good(&self, refused: Option<&Secret>) -> Option<Tokens> {
        let is_good = |tokens: &&Tokens| refused.is_none() && Timestamp::now() < tokens.expires;
        self.tokens.as_ref().filter(is_good).cloned()
    }
}

/// Why there are no new tokens.
enum Unrenewed {
    /// For now: the present ones may be used while they are good.
    Yet(Failure),
    /// For good.
    Ever(Failure),
}

impl Tokens {
    /// Those that were given at `now`.
    pub(crate) fn new(given: &client::Tokens, now: Timestamp) -> Result<Self> {
        let text = |secret: &Secret| secret.text().map(str::to_owned);
        let expires = later(now, given.expires_in);
        let id = given.id.as_ref().map(text).transpose()?;
        let id = id.and_then(|token| {
            let expires = expiry(&token)?;
            Some(IdToken { token, expires })
        });
        // Whichever of both ends first.
        let end = id.as_ref().map_or(expires, |id| id.expires.min(expires));
        let life = Duration::try_from(end.duration_since(now)).unwrap_or_default();
        Ok(Self {
            access: text(&given.access)?,
            expires,
            renew_at: later(now, life.saturating_sub(MARGIN.min(life / 4))),
            id,
            refresh: given.refresh.as_ref().map(text).transpose()?,
        })
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
        let hour = Tokens::new(&given(3600, Some(id_token(1_003_600))), now).unwrap();
        assert_eq!(hour.renew_at.as_second(), 1_003_540);
        let shorter = Tokens::new(&given(3600, Some(id_token(1_000_600))), now).unwrap();
        assert_eq!(shorter.renew_at.as_second(), 1_000_540);
        let brief = Tokens::new(&given(8, None), now).unwrap();
        assert_eq!(brief.renew_at.as_second(), 1_000_006);
        let over = Tokens::new(&given(0, Some(id_token(1))), now).unwrap();
        assert!(over.renew_at <= now);
    }

    #[test]
    fn an_id_token_that_says_no_end_is_none() {
        for token in ["", "a.b.c", "e30.e30.c2ln"] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }
}
