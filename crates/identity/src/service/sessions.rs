//! Sessions: begun by a login, renewed by refresh tokens that change with each use, ended by logout,
//! revocation, reuse, or by whoever operates the platform.

use std::time::Duration;

use jiff::Timestamp;
use kernel::{Caller, CallerKind, Change, Key, Outcome, Record, Result, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Identity, as_themselves, clients::ClientCredentials, event};
use crate::{
    clock::after,
    jose::claims::{ACCESS_TOKEN, AccessClaims, ID_TOKEN, IdClaims},
    model::may_be_issued,
    refusal::{Refusal, RefusalCode},
    source::{SourceError, TeamSource, local::LOCAL},
    state::{EndedSession, Login, Session, digest, random_token, same},
    view::SESSION_ENDED,
};

/// What refresh tokens begin with, so that scanners of repositories know one.
const REFRESH: &str = "twr_";
/// The scope that asks for a refresh token.
const OFFLINE: &str = "offline_access";
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

/// What the names of all sessions of a subject begin with.
pub(super) fn sessions_of(subject: &str) -> String {
    format!("{}.", &digest(subject)[..16])
}

/// The groups that tokens may name.
pub(super) fn issuable(mut groups: Vec<String>) -> Vec<String> {
    groups.retain(|group| may_be_issued(group));
    groups.sort();
    groups.dedup();
    groups
}

impl Identity {
    /// Begins a session for somebody who has logged in, and gives its first tokens. What `with` adds
    /// to the change is committed with it, or not at all.
    pub(super) async fn session_begin(
        &self,
        login: Login,
        client_id: &str,
        scope: &str,
        nonce: Option<String>,
        with: impl FnOnce(&mut Change, &str) -> Result<()>,
    ) -> Result<TokenAnswer, Refusal> {
        let now = self.clock.now();
        let sid = format!("{}{}", sessions_of(&login.subject), Uuid::now_v7().simple());
        let session = Session {
            client_id: client_id.into(),
            scope: scope.into(),
            created: now,
            last_used: now,
            refreshable: has_scope(scope, OFFLINE),
            counter: 1,
            seed: random_token()?,
            rotated: now,
            login,
        };
        let caller = as_themselves(&session.login.subject);
        let mut change = Change::new().by(&caller);
        change.keep(&Record::new(
            &sid,
            self.session_end_of(&session),
            session.clone(),
        ))?;
        with(&mut change, &sid)?;
        change.event(event(
            "session.started",
            session_key(&sid),
            "",
            &caller,
            Some(Outcome::Pass),
            json!({ "client": client_id, "source": session.login.source }),
        ));
        let answer = self.session_tokens(&sid, &session, nonce).await?;
        self.store.commit(change).await?;
        Ok(answer)
    }

    /// When the session is over if nobody uses it from now on.
    fn session_end_of(&self, session: &Session) -> Timestamp {
        let lifetimes = &self.settings.lifetimes;
        if !session.refreshable {
            return after(
                session.created,
                lifetimes.access_token.max(lifetimes.id_token),
            );
        }
        after(session.created, lifetimes.session)
            .min(after(session.last_used, lifetimes.session_idle))
    }

    /// Signs the tokens of a session as it is now.
    async fn session_tokens(
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

    /// New tokens for a refresh token, which is good once: whoever comes with an old one has stolen
    /// it, or was stolen from, and the session ends for both.
    pub async fn refresh(
        &self,
        credentials: &ClientCredentials,
        token: &Secret,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        self.client_proved(credentials, address).await?;
        Self::anew(|| self.refresh_once(&credentials.id, token)).await
    }

    async fn refresh_once(&self, client_id: &str, token: &Secret) -> Result<TokenAnswer, Refusal> {
        let unknown = || Refusal::grant("the refresh token is not good any more: log in again");
        let (record, counter) = self.session_of(token).await?.ok_or_else(unknown)?;
        let now = self.clock.now();
        let session = &record.value;
        if session.client_id != client_id {
            return Err(Refusal::grant("the refresh token is another client's"));
        }
        if record.expires <= now {
            return Err(Refusal::grant("the session is over: log in again"));
        }
        let newest = session.counter;
        let leeway = after(session.rotated, self.settings.lifetimes.refresh_leeway);
        let again = counter + 1 == newest && now < leeway;
        if counter != newest && !again {
            let caller = as_themselves(&session.login.subject);
            let mut change = Change::new().by(&caller);
            self.session_end(&mut change, &caller, &record, "refresh token reused")?;
            self.store.commit(change).await?;
            return Err(Refusal::grant(
                "the refresh token was used before: the session was ended, log in again",
            ));
        }
        let mut next = record.clone();
        match self.membership(&session.login).await {
            Ok(login) => next.value.login = login,
            Err(SourceError::Gone(why)) => {
                let caller = as_themselves(&session.login.subject);
                let mut change = Change::new().by(&caller);
                self.session_end(&mut change, &caller, &record, "refused by its source")?;
                self.store.commit(change).await?;
                return Err(Refusal::grant(format!("{why}: the session was ended")));
            }
            Err(SourceError::Away(error)) => self.outage(&session.login, error)?,
        }
        next.value.last_used = now;
        if !again {
            next.value.counter += 1;
            next.value.rotated = now;
        }
        next.expires = self.session_end_of(&next.value);
        let answer = self.session_tokens(&next.name, &next.value, None).await?;
        let mut change = Change::new();
        change.keep(&next)?;
        self.store.commit(change).await?;
        Ok(answer)
    }

    /// Whether a session may go on although its source cannot be asked.
    fn outage(&self, login: &Login, error: kernel::Error) -> Result<(), Refusal> {
        let until = after(login.evaluated, self.settings.lifetimes.upstream_grace);
        if self.clock.now() < until {
            tracing::warn!(
                source = login.source,
                chain = error.chain(),
                "a session goes on without its source"
            );
            return Ok(());
        }
        Err(Refusal {
            cause: Some(error),
            retry_after: Some(Duration::from_secs(30)),
            ..Refusal::new(
                RefusalCode::TemporarilyUnavailable,
                format!(
                    "`{}` cannot be asked which teams you are in, and was last asked at {}: try \
                     again when it is back; you need not log in anew",
                    login.source, login.evaluated
                ),
            )
        })
    }

    /// Somebody who logged in a moment ago, with their groups as they are now.
    pub(super) async fn logged_in_still(&self, login: Login) -> Result<Login, Refusal> {
        match self.membership(&login).await {
            Ok(login) => Ok(login),
            Err(SourceError::Gone(why)) => Err(Refusal::grant(why)),
            Err(SourceError::Away(error)) => {
                self.outage(&login, error)?;
                Ok(login)
            }
        }
    }

    /// The same login with its groups as they are now.
    pub(super) async fn membership(&self, login: &Login) -> Result<Login, SourceError> {
        let membership = match login.source.as_str() {
            LOCAL => self.local.groups(login, None).await?,
            _ => self.upstream_membership(login).await?,
        };
        Ok(Login {
            groups: issuable(membership.groups),
            evaluated: self.clock.now(),
            ..login.clone()
        })
    }

    /// The session that a refresh token is of, and the token's number. None where it is not one of
    /// ours, or where the session has gone.
    async fn session_of(&self, token: &Secret) -> Result<Option<(Record<Session>, u64)>> {
        let Some((sid, counter)) = token.expose_str().and_then(parse_refresh) else {
            return Ok(None);
        };
        let Some(record) = self.store.record::<Session>(sid).await? else {
            return Ok(None);
        };
        let expected = refresh_token(sid, &record.value, counter);
        let genuine = record.value.refreshable
            && counter <= record.value.counter
            && same(&expected, token.expose_str().unwrap_or_default());
        Ok(genuine.then_some((record, counter)))
    }

    /// Revokes a token (RFC 7009): the session that it belongs to ends. What is not one of ours, or
    /// another client's, is passed over, as the standard wants it.
    pub async fn revoke(
        &self,
        credentials: &ClientCredentials,
        token: &Secret,
        address: &str,
    ) -> Result<(), Refusal> {
        self.client_proved(credentials, address).await?;
        Ok(Self::anew(|| self.revoke_once(&credentials.id, token)).await?)
    }

    /// What a token says of whoever shows it: `userinfo`.
    pub async fn userinfo(&self, token: &Secret) -> Result<Value> {
        let verified = self
            .verifier
            .verify(token.expose_str().unwrap_or_default())
            .await?;
        let claims = verified.claims;
        let teams = issuable(verified.caller.teams);
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

    async fn revoke_once(&self, client_id: &str, token: &Secret) -> Result<()> {
        let text = token.expose_str().unwrap_or_default();
        let record = match self.session_of(token).await? {
            Some((record, _)) => Some(record),
            None => match self.verifier.verify(text).await {
                Ok(verified) => self.store.record::<Session>(&verified.claims.sid).await?,
                Err(_) => None,
            },
        };
        let Some(record) = record.filter(|record| record.value.client_id == client_id) else {
            return Ok(());
        };
        let caller = as_themselves(&record.value.login.subject);
        let mut change = Change::new().by(&caller);
        self.session_end(&mut change, &caller, &record, "revoked")?;
        self.store.commit(change).await?;
        self.view.current().await
    }

    /// Ends one session: its refresh tokens, and on this platform its access tokens, from the commit
    /// of `change` on.
    pub(super) fn session_end(
        &self,
        change: &mut Change,
        caller: &Caller,
        record: &Record<Session>,
        reason: &str,
    ) -> Result<()> {
        change.take(record);
        self.session_mark_ended(change, caller, &record.name, reason)
    }

    /// Has the access tokens with this `sid` refused from the commit of `change` on.
    pub(super) fn session_mark_ended(
        &self,
        change: &mut Change,
        caller: &Caller,
        sid: &str,
        reason: &str,
    ) -> Result<()> {
        let until = after(self.clock.now(), self.settings.lifetimes.longest_token());
        let reason = reason.to_owned();
        change.keep(&Record::new(
            sid,
            until,
            EndedSession {
                reason: reason.clone(),
            },
        ))?;
        change.event(event(
            SESSION_ENDED.trim_start_matches("dev.towpath."),
            session_key(sid),
            "",
            caller,
            Some(Outcome::Pass),
            json!({ "reason": reason }),
        ));
        Ok(())
    }

    /// Ends all sessions of a subject.
    pub(super) async fn sessions_end(
        &self,
        change: &mut Change,
        caller: &Caller,
        subject: &str,
        reason: &str,
    ) -> Result<()> {
        for record in self.store.records::<Session>(&sessions_of(subject)).await? {
            if record.value.login.subject == subject {
                self.session_end(change, caller, &record, reason)?;
            }
        }
        Ok(())
    }
}

fn session_key(sid: &str) -> Key {
    Key {
        kind: "Session".into(),
        scope: String::new(),
        name: sid.into(),
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}

/// The refresh token of this number: it follows from what the session alone has, so that the newest
/// can be given twice.
fn refresh_token(sid: &str, session: &Session, counter: u64) -> String {
    let mac = Secret::from(session.seed.as_str()).derive(&format!("refresh/{sid}/{counter}"), 32);
    format!(
        "{REFRESH}{sid}.{counter}.{}",
        URL_SAFE_NO_PAD.encode(mac.expose())
    )
}

fn parse_refresh(token: &str) -> Option<(&str, u64)> {
    let (rest, _mac) = token.strip_prefix(REFRESH)?.rsplit_once('.')?;
    let (sid, counter) = rest.rsplit_once('.')?;
    Some((sid, counter.parse().ok()?))
}
