//! Signing: what a session's tokens say, and for how long.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kernel::{CallerKind, Result, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Identity, sessions::refresh_token};
use crate::{
    clock::after,
    jose::claims::{ACCESS_TOKEN, AccessClaims, ID_TOKEN, IdClaims},
    model::may_be_issued,
    refusal::Refusal,
    state::Session,
};

/// The scope that asks for a refresh token.
pub(super) const OFFLINE: &str = "offline_access";
/// The scopes there are; others are passed over, as OpenID Connect wants it.
const SCOPES: [&str; 4] = ["openid", "profile", "email", OFFLINE];

/// What the token endpoint answers.
#[derive(Clone, Serialize)]
pub struct TokenAnswer {
    /// For this platform's API.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// For the program, and for Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// For the next answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What was granted of what was asked for.
    pub scope: String,
    /// What sort of token it is, where one was exchanged (RFC 8693).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<&'static str>,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What is known of the caller of a token, beyond the token itself: the answer of `userinfo`.
pub(super) struct Signing<'a> {
    pub subject: &'a str,
    pub client_id: &'a str,
    pub sid: &'a str,
    pub scope: &'a str,
    pub kind: CallerKind,
    pub environment: Option<String>,
    pub name: Option<String>,
    pub groups: &'a [String],
    pub group_ids: BTreeMap<String, String>,
    pub expires: Timestamp,
}

/// The scopes that were asked for and that there are, each once.
pub(super) fn granted(asked: &str) -> String {
    let asked: Vec<_> = asked.split_ascii_whitespace().collect();
    let known: Vec<_> = SCOPES
        .into_iter()
        .filter(|scope| asked.contains(scope))
        .collect();
    known.join(" ")
}

pub(super) fn has_scope(scopes: &str, scope: &str) -> bool {
    scopes.split(' ').any(|one| one == scope)
}

/// The groups that tokens may name.
pub(super) fn issuable(mut groups: Vec<String>) -> Vec<String> {
    groups.retain(|group| may_be_issued(group));
    groups.sort();
    groups.dedup();
    groups
}

/// `SOURCE:GROUP`: what another source calls the same is another group.
fn by_source(source: &str, groups: &[String]) -> Vec<String> {
    let named = |group: &String| format!("{source}:{group}");
    groups.iter().map(named).collect()
}

impl Identity {
    /// Signs the tokens of a session as it is now.
    pub(super) async fn session_tokens(
        &self,
        sid: &str,
        session: &Session,
        nonce: Option<String>,
    ) -> Result<TokenAnswer, Refusal> {
        let now = self.clock.now();
        let lifetimes = &self.settings.lifetimes;
        let login = &session.login;
        // No token outlives the seven days; nor, where the upstream is down, what was last known of it.
        let mut last = after(session.created, lifetimes.session);
        if login.evaluated < now {
            last = last.min(after(login.evaluated, lifetimes.upstream_grace));
        }
        let access_end = after(now, lifetimes.access_token).min(last);
        let groups = issuable(login.groups.clone());
        let profile = has_scope(&session.scope, "profile");
        let access_token = self
            .access_token(Signing {
                subject: &login.subject,
                client_id: &session.client_id,
                sid,
                scope: &session.scope,
                kind: CallerKind::Person,
                environment: None,
                name: Some(login.name.clone()),
                groups: &groups,
                group_ids: login.group_ids.clone(),
                expires: access_end,
            })
            .await?;
        let id_token = if has_scope(&session.scope, "openid") {
            let half = &Sha256::digest(&access_token)[..16];
            let claims = IdClaims {
                iss: self.settings.issuer.clone(),
                sub: login.subject.clone(),
                aud: session.client_id.clone(),
                iat: now.as_second(),
                exp: after(now, lifetimes.id_token).min(last).as_second(),
                auth_time: login.at.as_second(),
                sid: sid.into(),
                at_hash: URL_SAFE_NO_PAD.encode(half),
                nonce,
                preferred_username: profile.then(|| login.name.clone()),
                email: login
                    .email
                    .clone()
                    .filter(|_| has_scope(&session.scope, "email")),
                source_groups: by_source(&login.source, &groups),
                groups: groups.clone(),
            };
            Some(self.sign(ID_TOKEN, &claims, &groups).await?)
        } else {
            None
        };
        Ok(TokenAnswer {
            access_token,
            token_type: "Bearer",
            expires_in: seconds_between(now, access_end),
            id_token,
            refresh_token: session
                .refreshable
                .then(|| refresh_token(sid, session, session.counter)),
            scope: session.scope.clone(),
            issued_token_type: None,
        })
    }

    /// Signs an access token.
    pub(super) async fn access_token(&self, what: Signing<'_>) -> Result<String> {
        let mut group_ids = what.group_ids;
        group_ids.retain(|name, _| what.groups.contains(name));
        let claims = AccessClaims {
            iss: self.settings.issuer.clone(),
            sub: what.subject.into(),
            aud: self.settings.audience.clone(),
            client_id: what.client_id.into(),
            iat: self.clock.now().as_second(),
            exp: what.expires.as_second(),
            jti: Uuid::now_v7().simple().to_string(),
            sid: what.sid.into(),
            scope: what.scope.into(),
            kind: what.kind,
            environment: what.environment,
            preferred_username: what.name,
            groups: what.groups.to_vec(),
            group_ids,
        };
        self.sign(ACCESS_TOKEN, &claims, what.groups).await
    }

    async fn sign(
        &self,
        typ: &'static str,
        claims: &impl Serialize,
        teams: &[String],
    ) -> Result<String> {
        self.keys_ready().await?;
        let signing = self.view.known().signing.clone();
        let key = signing
            .ok_or_else(|| kernel::Error::internal("there is no signing key", "KeyRing/tokens"))?;
        let unwritable = |error| kernel::Error::internal("claims could not be written", error);
        let mut all: Map<String, Value> = match serde_json::to_value(claims).map_err(unwritable)? {
            Value::Object(all) => all,
            other => {
                return Err(kernel::Error::internal(
                    "claims are no object",
                    other.to_string(),
                ));
            }
        };
        all.insert(self.settings.teams_claim.clone(), json!(teams));
        // A millisecond of a core.
        tokio::task::spawn_blocking(move || key.sign(typ, &all))
            .await
            .map_err(|error| kernel::Error::internal("a token could not be signed", error))?
    }

    /// What a token says of whoever shows it: `userinfo`.
    pub async fn userinfo(&self, token: &Secret) -> Result<Value> {
        let verified = self.verifier.verify(token.text()?).await?;
        let claims = verified.claims;
        let mut groups = verified.caller.groups;
        groups.extend(verified.caller.teams);
        let teams = issuable(groups);
        let mut answer = json!({ "sub": claims.sub, "groups": teams });
        if has_scope(&claims.scope, "profile") {
            answer["preferred_username"] = json!(claims.preferred_username);
        }
        if has_scope(&claims.scope, "email")
            && let Some(session) = self.store.record::<Session>(&claims.sid).await?
            && let Some(email) = session.value.login.email
        {
            answer["email"] = json!(email);
        }
        answer[&self.settings.teams_claim] = json!(teams);
        Ok(answer)
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}
