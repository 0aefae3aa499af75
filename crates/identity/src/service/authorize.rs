//! The authorization code grant with PKCE (RFC 6749, 7636, 9207; OpenID Connect Core).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kernel::{Change, Record, Secret, anew, secret::same};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{
    Identity, TokenAnswer, clients::ClientCredentials, sessions::as_session, tokens::granted,
};
use crate::{
    clock::after,
    model::redirect_allowed,
    refusal::{Refusal, RefusalCode},
    state::{AuthorizationCode, AuthorizationRequest, Login, Session, digest, random_token},
};

/// The longest `state` and `nonce`: they are kept while the person logs in.
const LONGEST: usize = 2048;

/// A request that cannot be granted.
#[derive(Debug)]
pub enum AuthorizeRefusal {
    /// It is not known where it came from: the person is told, and nobody is sent anywhere.
    Shown(Refusal),
    /// The program is told: an address for the browser to go to.
    Sent(String),
}

impl Identity {
    /// Checks what a program asks the authorization endpoint for, by the query's parameters.
    pub(crate) async fn authorization_check(
        &self,
        parameter: impl Fn(&str) -> Option<String>,
    ) -> Result<AuthorizationRequest, AuthorizeRefusal> {
        let shown = |refusal| AuthorizeRefusal::Shown(refusal);
        let needed = |name: &str| {
            parameter(name).ok_or_else(|| {
                AuthorizeRefusal::Shown(Refusal::request(format!("`{name}` is missing")))
            })
        };
        let client = self.client(&needed("client_id")?).await.map_err(shown)?;
        let redirect_uri = needed("redirect_uri")?;
        if !redirect_allowed(&client.spec.redirect_uris, &redirect_uri) {
            return Err(shown(Refusal::request(
                "the redirect_uri is not one that is registered for this client",
            )));
        }
        let state = parameter("state");
        let refuse = |code, why: &str| {
            let refusal = Refusal::new(code, why);
            match self.authorization_refused(&redirect_uri, state.as_deref(), &refusal) {
                Ok(location) => AuthorizeRefusal::Sent(location),
                Err(refusal) => AuthorizeRefusal::Shown(refusal),
            }
        };
        let bad = |why: &str| refuse(RefusalCode::InvalidRequest, why);
        let nonce = parameter("nonce");
        if [&state, &nonce]
            .iter()
            .any(|text| text.as_ref().is_some_and(|t| t.len() > LONGEST))
        {
            return Err(bad("state or nonce is too long"));
        }
        if parameter("response_type").as_deref() != Some("code") {
            return Err(refuse(
                RefusalCode::UnsupportedResponseType,
                "the response_type must be `code`",
            ));
        }
        if parameter("response_mode").is_some_and(|mode| mode != "query") {
            return Err(bad("the response_mode must be `query`"));
        }
        if parameter("request").is_some() || parameter("request_uri").is_some() {
            return Err(bad("request objects are not taken"));
        }
        let challenge = parameter("code_challenge").unwrap_or_default();
        if parameter("code_challenge_method").as_deref() != Some("S256") || challenge.len() != 43 {
            return Err(bad(
                "PKCE is needed: code_challenge, and code_challenge_method `S256`",
            ));
        }
        Ok(AuthorizationRequest {
            client_id: client.meta.name,
            redirect_uri,
            scope: granted(&parameter("scope").unwrap_or_default()),
            state,
            nonce,
            challenge,
        })
    }

    /// Where the browser goes with a refusal for the program.
    pub(crate) fn authorization_refused(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        refusal: &Refusal,
    ) -> Result<String, Refusal> {
        self.back(
            redirect_uri,
            state,
            &[
                ("error", refusal.code.as_str()),
                ("error_description", &refusal.description),
            ],
        )
    }

    fn back(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        answer: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        let mut location = Url::parse(redirect_uri)
            .map_err(|error| Refusal::request(format!("the redirect_uri is no URL: {error}")))?;
        location
            .query_pairs_mut()
            .extend_pairs(answer)
            .extend_pairs(state.map(|state| ("state", state)))
            .append_pair("iss", &self.settings.issuer);
        Ok(location.into())
    }

    /// Gives the program a code for whoever has logged in: an address for the browser to go to.
    pub(crate) async fn authorization_grant(
        &self,
        request: &AuthorizationRequest,
        login: &Login,
    ) -> Result<String, Refusal> {
        anew(|| self.authorization_grant_once(request, login)).await
    }

    async fn authorization_grant_once(
        &self,
        request: &AuthorizationRequest,
        login: &Login,
    ) -> Result<String, Refusal> {
        let code = random_token()?;
        let location = self.back(
            &request.redirect_uri,
            request.state.as_deref(),
            &[("code", &code)],
        )?;
        let expires = after(self.clock.now(), self.settings.lifetimes.code);
        let mut change = Change::new();
        self.browser_remembers(&mut change, login).await?;
        change.keep(&Record::new(
            digest(&code),
            expires,
            AuthorizationCode {
                request: request.clone(),
                login: login.clone(),
                used_for: None,
            },
        ))?;
        self.store.commit(change).await?;
        Ok(location)
    }

    /// The tokens for a code, once. A code that comes again was stolen: the session that was made of
    /// it ends.
    pub async fn code_exchange(
        &self,
        credentials: &ClientCredentials,
        code: &Secret,
        redirect_uri: &str,
        verifier: &str,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        self.client_proved(credentials, address).await?;
        anew(|| self.code_exchange_once(&credentials.id, code, redirect_uri, verifier)).await
    }

    async fn code_exchange_once(
        &self,
        client_id: &str,
        code: &Secret,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<TokenAnswer, Refusal> {
        let unknown = || Refusal::grant("the code is not good any more: log in again");
        let name = digest(code.expose());
        let mut record = self
            .store
            .record::<AuthorizationCode>(&name)
            .await?
            .filter(|record| record.value.request.client_id == client_id)
            .ok_or_else(unknown)?;
        if let Some(sid) = &record.value.used_for {
            if let Some(session) = self.store.record::<Session>(sid).await? {
                let caller = as_session(&session);
                let mut change = Change::new().by(&caller);
                self.session_end(&mut change, &caller, &session, "authorization code reused")?;
                self.store.commit(change).await?;
            }
            return Err(Refusal::grant(
                "the code was used before: the session was ended",
            ));
        }
        if record.expires <= self.clock.now() {
            return Err(unknown());
        }
        let request = record.value.request.clone();
        if request.redirect_uri != redirect_uri {
            return Err(Refusal::grant(
                "the redirect_uri is not the one that the code was sent to",
            ));
        }
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        if !(43..=128).contains(&verifier.len()) || !same(&challenge, &request.challenge) {
            return Err(Refusal::grant(
                "the code_verifier does not fit the code_challenge",
            ));
        }
        let login = self.logged_in_still(record.value.login.clone()).await?;
        // Kept until its own end, and until then known as used.
        self.session_begin(
            login,
            client_id,
            &request.scope,
            request.nonce,
            |change, sid| {
                record.value.used_for = Some(sid.to_owned());
                change.keep(&record)
            },
        )
        .await
    }
}
