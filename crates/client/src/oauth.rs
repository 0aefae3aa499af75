//! Logging in at the platform's own OpenID provider: the device grant (RFC 8628), authorization code with
//! PKCE (RFC 6749, 7636), keys of service accounts, tokens of other issuers (RFC 8693), refresh, revocation,
//! logout.

mod wire;

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Secret, outbound::why_no_url, secret::same};
use reqwest::Url;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use self::wire::{answer, ask, ask_once};
use crate::{Error, Result, http_client, is_loopback, local_http};

/// What is asked for: who one is, for programs and for Kubernetes, and to stay logged in.
const SCOPE: &str = "openid profile email offline_access";

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A platform's provider, as it describes itself, and the public client that logs in there.
#[derive(Debug, Clone)]
pub struct Provider {
    http: reqwest::Client,
    client_id: String,
    metadata: Metadata,
}

/// The part of the discovery document that is needed.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: String,
    device_authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    #[serde(default)]
    end_session_endpoint: String,
}

/// What one login by authorization code is begun with, and finished: the provider gives `state` and `nonce`
/// back, and tokens to nobody but who knows the `verifier`.
#[derive(Clone)]
pub struct CodeLogin {
    /// Where the code is sent.
    pub redirect_uri: String,
    /// Comes back with the code.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// PKCE: 43 to 128 letters that nobody guesses.
    pub verifier: Secret,
}

/// A login that waits for somebody to approve it in a browser.
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// What the program asks with.
    pub device_code: Secret,
    /// What the person compares, or types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// Until both codes end, from now.
    pub expires_in: Duration,
    /// Between two polls.
    pub interval: Duration,
}

/// What has become of a device's login.
#[derive(Debug)]
pub enum DeviceState {
    /// Nobody has decided yet.
    Pending,
    /// Asked too often: wait longer from now on.
    SlowDown,
    /// Approved.
    Approved(Tokens),
}

/// What the provider gives.
#[derive(Clone)]
pub struct Tokens {
    /// For the platform's API.
    pub access: Secret,
    /// Until it ends, from now.
    pub expires_in: Duration,
    /// Who one is, for Kubernetes.
    pub id: Option<Secret>,
    /// For the next ones.
    pub refresh: Option<Secret>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct DeviceAnswer {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    /// Five seconds where the provider says nothing (RFC 8628, section 3.2).
    #[serde(default = "five")]
    interval: u64,
}

fn five() -> u64 {
    5
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

impl From<TokenAnswer> for Tokens {
    fn from(answer: TokenAnswer) -> Self {
        Self {
            access: answer.access_token.into(),
            expires_in: Duration::from_secs(answer.expires_in),
            id: answer.id_token.map(Secret::from),
            refresh: answer.refresh_token.map(Secret::from),
        }
    }
}

impl Provider {
    /// The provider of the platform at `server`. Where the platform says that users reach it at another
    /// address, that address is asked, and has to say so too: nobody can name another's issuer, and be
    /// handed its tokens.
    ///
    /// # Errors
    /// [`Error::Address`] where a login would leave this machine unencrypted. [`Error::Protocol`] where the other
    /// address names yet another issuer.
    pub async fn discover(server: &str, client_id: &str) -> Result<Self> {
        let found = Self::at(server, client_id).await?;
        let issuer = found.issuer().to_owned();
        if issuer == server.trim_end_matches('/') {
            return Ok(found);
        }
        let confirmed = Self::at(&issuer, client_id).await?;
        if confirmed.issuer() != issuer {
            return Err(Error::Protocol {
                server: issuer,
                reason: format!("it says that its issuer is {}", confirmed.issuer()),
            });
        }
        Ok(confirmed)
    }

    async fn at(server: &str, client_id: &str) -> Result<Self> {
        let base = secure(server)?;
        let http = http_client(&base).map_err(|error| Error::Address {
            server: server.into(),
            reason: error.to_string(),
        })?;
        let metadata = discovery(&http, server).await?;
        for endpoint in [
            &metadata.issuer,
            &metadata.device_authorization_endpoint,
            &metadata.token_endpoint,
            &metadata.revocation_endpoint,
        ] {
            secure(endpoint)?;
        }
        Ok(Self {
            http,
            client_id: client_id.into(),
            metadata,
        })
    }

    /// The provider of the platform that this program is part of, asked at `here`: an address of this very
    /// machine, to which nothing travels over a network, whatever the platform's own address is. Browsers
    /// are sent to that one.
    pub async fn beside(here: &str, client_id: &str) -> Result<Self> {
        let http = local_http(client_id).map_err(|error| Error::Address {
            server: here.into(),
            reason: error.to_string(),
        })?;
        let mut metadata: Metadata = discovery(&http, here).await?;
        let issuer = metadata.issuer.clone();
        for endpoint in [
            &mut metadata.token_endpoint,
            &mut metadata.revocation_endpoint,
            &mut metadata.end_session_endpoint,
        ] {
            let path = endpoint.strip_prefix(&issuer).unwrap_or_default();
            *endpoint = format!("{}{path}", here.trim_end_matches('/'));
        }
        Ok(Self {
            http,
            client_id: client_id.into(),
            metadata,
        })
    }

    /// What tokens name as their issuer: the address at which users reach the platform.
    pub fn issuer(&self) -> &str {
        &self.metadata.issuer
    }

    /// Begins the login of this program.
    pub async fn device_start(&self) -> Result<DeviceCode> {
        let fields = [("client_id", self.client_id.as_str()), ("scope", SCOPE)];
        let answer: DeviceAnswer = self
            .post(&self.metadata.device_authorization_endpoint, &fields)
            .await?;
        Ok(DeviceCode {
            device_code: answer.device_code.into(),
            user_code: answer.user_code,
            verification_uri: answer.verification_uri,
            verification_uri_complete: answer.verification_uri_complete,
            expires_in: Duration::from_secs(answer.expires_in),
            interval: Duration::from_secs(answer.interval),
        })
    }

    /// Asks what has become of it.
    ///
    /// # Errors
    /// [`Error::Grant`] where somebody has said no (`access_denied`), or the code has ended (`expired_token`).
    pub async fn device_poll(&self, device_code: &Secret) -> Result<DeviceState> {
        let fields = [
            ("grant_type", DEVICE_GRANT),
            ("client_id", self.client_id.as_str()),
            ("device_code", device_code.text()?),
        ];
        match self
            .post::<TokenAnswer>(&self.metadata.token_endpoint, &fields)
            .await
        {
            Ok(answer) => Ok(DeviceState::Approved(answer.into())),
            Err(Error::Grant { code, .. }) if code == "authorization_pending" => {
                Ok(DeviceState::Pending)
            }
            Err(Error::Grant { code, .. }) if code == "slow_down" => Ok(DeviceState::SlowDown),
            Err(error) => Err(error),
        }
    }

    /// Where a browser is sent, for somebody to log in.
    pub fn authorization_url(&self, login: &CodeLogin) -> Result<String> {
        let endpoint = &self.metadata.authorization_endpoint;
        let mut url = Url::parse(endpoint).map_err(|error| Error::Address {
            server: endpoint.clone(),
            reason: why_no_url(error),
        })?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(login.verifier.expose()));
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &login.redirect_uri),
            ("scope", SCOPE),
            ("state", &login.state),
            ("nonce", &login.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url.into())
    }

    /// The tokens for the code that came back. The ID token came from its issuer itself a moment ago
    /// (OpenID Connect Core, section 3.1.3.7): what it is about is checked, and not its signature.
    ///
    /// # Errors
    /// [`Error::Grant`] where the code is not good any more (`invalid_grant`). [`Error::Protocol`] where the ID token
    /// is not of this login.
    pub async fn code_exchange(&self, login: &CodeLogin, code: &Secret) -> Result<Tokens> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", self.client_id.as_str()),
            ("code", code.text()?),
            ("redirect_uri", &login.redirect_uri),
            ("code_verifier", login.verifier.text()?),
        ];
        // Once: who shows a code again is taken for a thief, and the session ends.
        let request = self.http.post(&self.metadata.token_endpoint).form(&fields);
        let answer: TokenAnswer = ask_once(self.issuer(), request).await?;
        let id = answer.id_token.as_deref().and_then(claims);
        let ours = id.is_some_and(|id| {
            id.iss == self.metadata.issuer
                && id.aud == self.client_id
                && same(&id.nonce, &login.nonce)
        });
        if !ours {
            return Err(Error::Protocol {
                server: self.issuer().into(),
                reason: "an ID token that is not of this login".into(),
            });
        }
        Ok(answer.into())
    }

    /// Ends the session that an ID token is of, and all else that began in the same browser (OpenID Connect
    /// RP-Initiated Logout), without the browser's help.
    pub async fn end_session(&self, id: &Secret) -> Result<()> {
        let fields = [
            ("client_id", self.client_id.as_str()),
            ("id_token_hint", id.text()?),
        ];
        let endpoint = &self.metadata.end_session_endpoint;
        answer(self.issuer(), || self.http.post(endpoint).form(&fields))
            .await
            .map(drop)
    }

    /// New tokens for a refresh token, which is used up by that.
    ///
    /// # Errors
    /// [`Error::Grant`] where the session is over, or the token was used before (`invalid_grant`).
    pub async fn refresh(&self, refresh: &Secret) -> Result<Tokens> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", self.client_id.as_str()),
            ("refresh_token", refresh.text()?),
        ];
        let answer: TokenAnswer = self.post(&self.metadata.token_endpoint, &fields).await?;
        Ok(answer.into())
    }

    /// A token for a service account, `TEAM/NAME`, by one of its keys (RFC 6749, section 4.4). It is renewed by
    /// asking again.
    ///
    /// # Errors
    /// [`Error::Grant`] where there is no such account, or it is not one of its keys (`invalid_client`).
    pub async fn client_credentials(&self, account: &str, key: &Secret) -> Result<Tokens> {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", account),
            ("client_secret", key.text()?),
        ];
        let answer: TokenAnswer = self.post(&self.metadata.token_endpoint, &fields).await?;
        Ok(answer.into())
    }

    /// A token for a service account, `TEAM/NAME`, by one of an issuer that its team trusts for it (RFC
    /// 8693). It does not outlive that one.
    ///
    /// # Errors
    /// [`Error::Grant`] where nothing that the team trusts takes the token (`invalid_grant`).
    pub async fn exchange(&self, account: &str, token: &Secret) -> Result<Tokens> {
        let fields = [
            ("grant_type", EXCHANGE),
            ("client_id", account),
            ("subject_token_type", JWT),
            ("subject_token", token.text()?),
        ];
        let answer: TokenAnswer = self.post(&self.metadata.token_endpoint, &fields).await?;
        Ok(answer.into())
    }

    /// Ends the session that a token is of (RFC 7009).
    pub async fn revoke(&self, token: &Secret) -> Result<()> {
        let fields = [
            ("client_id", self.client_id.as_str()),
            ("token", token.text()?),
        ];
        let request = || {
            self.http
                .post(&self.metadata.revocation_endpoint)
                .form(&fields)
        };
        answer(self.issuer(), request).await.map(drop)
    }

    async fn post<T: DeserializeOwned>(&self, url: &str, fields: &[(&str, &str)]) -> Result<T> {
        ask(self.issuer(), || self.http.post(url).form(fields)).await
    }
}

async fn discovery(http: &reqwest::Client, server: &str) -> Result<Metadata> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        server.trim_end_matches('/')
    );
    ask(server, || http.get(&url)).await
}

/// What an ID token says that a login looks at.
#[derive(Deserialize)]
struct IdClaims {
    iss: String,
    aud: String,
    #[serde(default)]
    nonce: String,
}

fn claims(token: &str) -> Option<IdClaims> {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&body).ok()
}

/// A URL to which tokens may go: by TLS, or not beyond this machine.
fn secure(url: &str) -> Result<Url> {
    let address = |reason: String| Error::Address {
        server: url.into(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| address(why_no_url(error)))?;
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if is_loopback(&parsed) => Ok(parsed),
        _ => Err(address(
            "a login goes by https, or by http to this machine".into(),
        )),
    }
}
