//! Any OpenID Connect provider, by `openidconnect`.

use std::{collections::BTreeMap, pin::Pin};

use async_trait::async_trait;
use kernel::{Error, Result, Secret};
use openidconnect::{
    AccessToken, AdditionalClaims, AsyncHttpClient, AuthorizationCode, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, NonceVerifier, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardErrorResponse, StandardTokenResponse, SubjectIdentifier, TokenResponse as _,
    UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
        CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::{
    Membership, SourceError, TeamSource,
    upstream::{Arrival, ArrivalError, UpstreamSource, Visit},
};
use crate::{
    outbound::{Failed, Outbound},
    state::Login,
};

/// Claims beyond the standard's: the groups are among them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Others {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Others {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        Others,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type ErrorAnswer = StandardErrorResponse<CoreErrorResponseType>;
type Client = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    ErrorAnswer,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// An OpenID provider.
pub(crate) struct Oidc {
    pub outbound: Outbound,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub issuer: String,
    pub groups_claim: String,
    pub scopes: Vec<String>,
    /// How long a login is its own proof of the groups, where there is no token to ask with.
    pub fresh: std::time::Duration,
    pub now: jiff::Timestamp,
}

/// What `openidconnect` sends its requests by.
struct Http {
    outbound: Outbound,
    who: String,
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Failed>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.outbound.call(&self.who, request))
    }
}

/// What a set of tokens says of somebody.
struct Said {
    id: String,
    name: String,
    email: Option<String>,
    groups: Vec<String>,
    /// The session there.
    sid: Option<String>,
}

/// What came of asking for tokens.
enum Trouble {
    Refused(String),
    Away(Error),
}

impl Oidc {
    fn http(&self) -> Http {
        Http {
            outbound: self.outbound.clone(),
            who: self.issuer.clone(),
        }
    }

    /// What the provider says of itself and its keys, read anew for each login and each time that somebody is asked
    /// for: by keys of before a rotation, what it signs would be taken for forged, and end a session.
    async fn client(&self) -> Result<Client> {
        let broken = |why: String| Error::unavailable(format!("{}: {why}", self.issuer));
        let issuer =
            IssuerUrl::new(self.issuer.clone()).map_err(|error| broken(error.to_string()))?;
        let http = self.http();
        let metadata = CoreProviderMetadata::discover_async(issuer, &http)
            .await
            .map_err(|error| {
                broken("its discovery document cannot be used".into()).caused_by(error)
            })?;
        let secret = self.client_secret.as_ref().map(Secret::text).transpose()?;
        Ok(Client::from_provider_metadata(
            metadata,
            ClientId::new(self.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.to_owned())),
        ))
    }

    /// Who a set of tokens is of. Whatever the ID token does not say is asked at `userinfo`.
    async fn said(
        &self,
        client: &Client,
        tokens: &Tokens,
        nonce: impl NonceVerifier,
        expected: Option<&str>,
    ) -> Result<Said, Trouble> {
        let refused = |why: &str| Trouble::Refused(format!("{}: {why}", self.issuer));
        let mut said = None;
        if let Some(id_token) = tokens.id_token() {
            let claims = id_token
                .claims(&client.id_token_verifier(), nonce)
                .map_err(|error| refused(&format!("its ID token does not hold: {error}")))?;
            let others = &claims.additional_claims().all;
            said = Some(Said {
                id: claims.subject().to_string(),
                name: claims
                    .preferred_username()
                    .map(|name| name.to_string())
                    .unwrap_or_default(),
                // An address that nobody has proved to have may be another's.
                email: claims
                    .email()
                    .filter(|_| claims.email_verified() != Some(false))
                    .map(|email| email.to_string()),
                groups: groups(others, &self.groups_claim),
                sid: others.get("sid").and_then(Value::as_str).map(str::to_owned),
            });
            if others.contains_key(&self.groups_claim) {
                return self.checked(said, expected);
            }
        }
        let subject = said
            .as_ref()
            .map(|said| said.id.as_str())
            .or(expected)
            .map(str::to_owned);
        if client.user_info_url().is_some() {
            let told = self
                .user_info(client, tokens.access_token(), subject)
                .await?;
            said = Some(match said {
                Some(said) => Said {
                    groups: told.groups,
                    ..said
                },
                None => told,
            });
        }
        self.checked(said, expected)
    }

    fn checked(&self, said: Option<Said>, expected: Option<&str>) -> Result<Said, Trouble> {
        let said = said.ok_or_else(|| {
            Trouble::Refused(format!(
                "{}: it does not say who has logged in",
                self.issuer
            ))
        })?;
        if expected.is_some_and(|expected| expected != said.id) {
            return Err(Trouble::Refused(format!(
                "{}: somebody else has come back",
                self.issuer
            )));
        }
        Ok(said)
    }

    async fn user_info(
        &self,
        client: &Client,
        token: &AccessToken,
        subject: Option<String>,
    ) -> Result<Said, Trouble> {
        let away = |error: Box<dyn std::error::Error + Send + Sync>| {
            let error = Error::unavailable(format!("{} does not tell the groups", self.issuer))
                .caused_by(error);
            Trouble::Away(error)
        };
        let http = self.http();
        let claims: UserInfoClaims<Others, CoreGenderClaim> = client
            .user_info(token.clone(), subject.map(SubjectIdentifier::new))
            .map_err(|error| away(error.into()))?
            .request_async(&http)
            .await
            .map_err(|error| away(error.to_string().into()))?;
        Ok(Said {
            id: claims.subject().to_string(),
            name: claims
                .preferred_username()
                .map(|name| name.to_string())
                .unwrap_or_default(),
            email: claims
                .email()
                .filter(|_| claims.email_verified() != Some(false))
                .map(|email| email.to_string()),
            groups: groups(&claims.additional_claims().all, &self.groups_claim),
            sid: None,
        })
    }

    fn trouble(&self, error: RequestTokenError<Failed, ErrorAnswer>) -> Trouble {
        match error {
            RequestTokenError::ServerResponse(answer)
                if *answer.error() == CoreErrorResponseType::InvalidGrant =>
            {
                Trouble::Refused(format!("{} refused: {answer}", self.issuer))
            }
            // Our own secret, or the provider itself, is in trouble: that says nothing of the person.
            RequestTokenError::ServerResponse(answer) => Trouble::Away(Error::unavailable(
                format!("{} did not answer whether they may: {answer}", self.issuer),
            )),
            RequestTokenError::Request(Failed(error)) => Trouble::Away(error),
            other => Trouble::Away(
                Error::unavailable(format!("{} answered what is not understood", self.issuer))
                    .caused_by(other.to_string()),
            ),
        }
    }
}

/// The groups in a claim: a list of texts, or one text.
fn groups(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => vec![],
    }
}

#[async_trait]
impl TeamSource for Oidc {
    async fn groups(
        &self,
        login: &Login,
        token: Option<&Secret>,
    ) -> Result<Membership, SourceError> {
        let Some(token) = token.and_then(Secret::expose_str) else {
            let until = crate::clock::after(login.at, self.fresh);
            if self.now < until {
                let groups = login.groups.clone();
                return Ok(Membership {
                    groups,
                    ..Membership::default()
                });
            }
            return Err(SourceError::Unasked(format!(
                "{} gives no refresh token, so that your teams cannot be asked for: log in again",
                self.issuer
            )));
        };
        let source = |trouble| match trouble {
            Trouble::Refused(why) => SourceError::Gone(why),
            Trouble::Away(error) => SourceError::Away(error),
        };
        let client = self.client().await.map_err(SourceError::Away)?;
        let token = RefreshToken::new(token.to_owned());
        let http = self.http();
        let tokens = client
            .exchange_refresh_token(&token)
            .map_err(|error| {
                SourceError::Away(Error::unavailable("no token endpoint").caused_by(error))
            })?
            .request_async(&http)
            .await
            .map_err(|error| source(self.trouble(error)))?;
        let (_, id) = login.subject.split_once(':').unwrap_or_default();
        // A refreshed ID token answers no request: it has no nonce, or that of the login.
        let any = |_: Option<&Nonce>| Ok(());
        let said = self
            .said(&client, &tokens, any, Some(id))
            .await
            .map_err(source)?;
        Ok(Membership {
            name: None,
            groups: said.groups,
            group_ids: BTreeMap::new(),
            upstream_token: tokens
                .refresh_token()
                .map(|token| Secret::from(token.secret().as_str())),
        })
    }
}

#[async_trait]
impl UpstreamSource for Oidc {
    async fn visit(&self, visit: &Visit) -> Result<Url> {
        let client = self.client().await?;
        let redirect = RedirectUrl::new(visit.redirect_uri.clone())
            .map_err(|error| Error::internal("our own address is no URL", error))?;
        let verifier = PkceCodeVerifier::new(visit.verifier.clone());
        let (state, nonce) = (visit.state.clone(), visit.nonce.clone());
        let scopes = ["profile", "email", "offline_access"]
            .into_iter()
            .map(str::to_owned);
        let (url, ..) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(scopes.chain(self.scopes.iter().cloned()).map(Scope::new))
            .url();
        Ok(url)
    }

    async fn arrived(&self, visit: &Visit, code: Secret) -> Result<Arrival, ArrivalError> {
        let arrival = |trouble| match trouble {
            Trouble::Refused(why) => ArrivalError::Refused(why),
            Trouble::Away(error) => ArrivalError::Away(error),
        };
        let client = self.client().await?;
        let redirect = RedirectUrl::new(visit.redirect_uri.clone())
            .map_err(|error| Error::internal("our own address is no URL", error))?;
        let code = AuthorizationCode::new(code.text()?.to_owned());
        let http = self.http();
        let tokens = client
            .exchange_code(code)
            .map_err(|error| Error::unavailable("no token endpoint").caused_by(error))?
            .set_pkce_verifier(PkceCodeVerifier::new(visit.verifier.clone()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect))
            .request_async(&http)
            .await
            .map_err(|error| arrival(self.trouble(error)))?;
        let nonce = Nonce::new(visit.nonce.clone());
        let said = self
            .said(&client, &tokens, &nonce, None)
            .await
            .map_err(arrival)?;
        let name = [
            said.name,
            said.email.clone().unwrap_or_default(),
            said.id.clone(),
        ]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
        Ok(Arrival {
            id: said.id,
            name,
            email: said.email,
            groups: said.groups,
            group_ids: BTreeMap::new(),
            token: tokens.refresh_token().map(|token| token.secret().clone()),
            sid: said.sid,
        })
    }
}
