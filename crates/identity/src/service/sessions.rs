//! Sessions: begun by a login, renewed by refresh tokens that change with each use, ended by logout,
//! revocation, reuse, or by whoever operates the platform.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use kernel::{
    Caller, Change, ErrorKind, Key, Means, NewEvent, Outcome, Record, Result, Secret, anew,
    lease::Fence, secret::same,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Identity,
    accounts::account_named,
    as_themselves,
    clients::ClientCredentials,
    tokens::{OFFLINE, TokenAnswer, has_scope},
};
use crate::{
    clock::after,
    refusal::Refusal,
    source::SourceError,
    state::{EndedSession, Login, Person, Session, random_token},
    verify::Verified,
    view::{SESSION, SESSION_ENDED, SESSION_STARTED},
};

/// What refresh tokens begin with, so that scanners of repositories know one.
const REFRESH: &str = "twr_";

/// What the names of all sessions of a subject begin with.
pub(super) fn sessions_of(subject: &str) -> String {
    format!("{}.", Person::name_of(subject))
}

impl Identity {
    /// Begins a session for somebody who has logged in, and gives its first tokens; none where that login has
    /// ended since. What `with` adds to the change is committed with it, or not at all.
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
        let caller = as_themselves(&session.login.subject, Means::Login(sid.clone()));
        let mut change = Change::new().by(&caller);
        self.browser_remembers(&mut change, &session.login).await?;
        change.keep(&Record::new(
            &sid,
            self.session_end_of(&session),
            session.clone(),
        ))?;
        with(&mut change, &sid)?;
        change.event(NewEvent::caused(
            SESSION_STARTED,
            session_key(&sid),
            "",
            &caller,
            Some(Outcome::Pass),
            json!({ "client": client_id, "source": session.login.source }),
        ));
        let answer = self.session_tokens(&sid, &session, nonce).await?;
        self.store.commit(change).await?;
        // Whoever hears of it finds them logged in.
        self.person_heard(&session.login).await?;
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

    /// New tokens for a refresh token, which is good once: whoever comes with an old one has stolen
    /// it, or was stolen from, and the session ends for both. So it does where another client has it. The
    /// one before the newest gives the newest again for a while, since an answer may be lost on its way, or
    /// many come with it at the same moment: all get the same.
    pub async fn refresh(
        &self,
        credentials: &ClientCredentials,
        token: &Secret,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        self.client_proved(credentials, address).await?;
        let sid = token.expose_str().and_then(parse_refresh);
        let sid = sid.map_or("", |(sid, _)| sid);
        // Of those who come together one asks the source; the others are given what that one was.
        let _turn = self.renewals.of(&sid.to_owned()).await;
        anew(|| self.refresh_once(&credentials.id, token)).await
    }

    async fn refresh_once(&self, client_id: &str, token: &Secret) -> Result<TokenAnswer, Refusal> {
        let unknown = || Refusal::grant("the refresh token is not good any more: log in again");
        let (record, counter) = self.session_of(token).await?.ok_or_else(unknown)?;
        let now = self.clock.now();
        let session = &record.value;
        if session.client_id != client_id {
            let why = "the refresh token is another client's";
            return Err(self.refresh_betrayed(&record, why).await?);
        }
        if record.expires <= now {
            return Err(Refusal::grant("the session is over: log in again"));
        }
        let newest = session.counter;
        let leeway = after(session.rotated, self.settings.lifetimes.refresh_leeway);
        let again = counter + 1 == newest && now < leeway;
        if counter != newest && !again {
            let why = "the refresh token was used before";
            return Err(self.refresh_betrayed(&record, why).await?);
        }
        if again {
            // As it was given: who is in which team was asked for it, and nothing is written, so that those
            // who come with it do not overtake each other.
            return self.session_tokens(&record.name, session, None).await;
        }
        let mut next = record.clone();
        match self.membership(&session.login).await {
            Ok(login) => next.value.login = login,
            Err(error @ (SourceError::Gone(_) | SourceError::Unasked(_))) => {
                self.session_refused(&record, &error, None).await?;
                return Err(Refusal::grant(format!(
                    "{}: the session was ended",
                    error.reason()
                )));
            }
            Err(SourceError::Away(error)) => self.outage(&session.login, error)?,
        }
        // The source may have taken its time: whoever waits for the answer has as long as ever from now.
        let now = self.clock.now();
        next.value.last_used = now;
        next.value.counter += 1;
        next.value.rotated = now;
        next.expires = self.session_end_of(&next.value);
        let answer = self.session_tokens(&next.name, &next.value, None).await?;
        let (was, is) = (&record.value.login, &next.value.login);
        let caller = as_session(&next);
        let mut change = Change::new().by(&caller);
        change.keep(&next)?;
        self.session_regrouped(&mut change, &caller, &next.name, (was, is))
            .await?;
        self.store.commit(change).await?;
        self.person_heard(&next.value.login).await?;
        Ok(answer)
    }

    /// Ends a session that its source does not let go on. That the source knows its person no more is remembered
    /// with that or not at all: of somebody who logged out while it was asked, nobody can tell whether it meant more.
    pub(super) async fn session_refused(
        &self,
        record: &Record<Session>,
        why: &SourceError,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let caller = as_session(record);
        let mut change = fenced(Change::new().by(&caller), fence);
        self.session_end(&mut change, &caller, record, "refused by its source")?;
        self.upstream_forget(&mut change, record).await?;
        if let SourceError::Gone(_) = why {
            self.person_refused(&mut change, &record.value.login)
                .await?;
        }
        self.store.commit(change).await.map(drop)
    }

    /// Ends the session of a refresh token that is in the wrong hands; gives what is answered.
    async fn refresh_betrayed(&self, record: &Record<Session>, why: &str) -> Result<Refusal> {
        let caller = as_session(record);
        let mut change = Change::new().by(&caller);
        self.session_end(&mut change, &caller, record, why)?;
        self.upstream_forget(&mut change, record).await?;
        self.store.commit(change).await?;
        Ok(Refusal::grant(format!(
            "{why}: the session was ended, log in again"
        )))
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
            && same(&expected, token.expose());
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
        if account_named(&credentials.id).is_some() {
            return self.account_revoke(credentials, token, address).await;
        }
        self.client_proved(credentials, address).await?;
        Ok(anew(|| self.revoke_once(&credentials.id, token)).await?)
    }

    /// Ends one token of a service account, and no other. Whoever shows the token may: a step of a job has it
    /// without the key. A key that is shown beside it must be right.
    async fn account_revoke(
        &self,
        credentials: &ClientCredentials,
        token: &Secret,
        address: &str,
    ) -> Result<(), Refusal> {
        if credentials.secret.is_some() && self.account_proved(credentials).await?.is_none() {
            return Err(self.account_refused(address).await);
        }
        let Ok(text) = token.text() else {
            return Ok(());
        };
        let Verified { claims, caller } = match self.verifier.verify(text).await {
            Ok(verified) if verified.claims.client_id == credentials.id => verified,
            // Another's, or one that is worth nothing any more.
            Ok(_) => return Ok(()),
            Err(error) if error.kind == ErrorKind::Unauthenticated => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let caller = Caller {
            correlation: Uuid::now_v7(),
            ..caller
        };
        let team = caller.teams.first().map_or("", String::as_str);
        let mut change = Change::new().by(&caller);
        self.session_mark_ended(&mut change, &caller, team, &claims.sid, "revoked")?;
        match self.store.commit(change).await {
            // Somebody else has ended it at the same moment.
            Err(error) if error.is_overtaken() => {}
            committed => drop(committed?),
        }
        Ok(self.view.current().await?)
    }

    async fn revoke_once(&self, client_id: &str, token: &Secret) -> Result<()> {
        let Ok(text) = token.text() else {
            return Ok(());
        };
        let record = match self.session_of(token).await? {
            Some((record, _)) => Some(record),
            None => match self.verifier.verify(text).await {
                Ok(verified) => self.store.record::<Session>(&verified.claims.sid).await?,
                Err(error) if error.kind == ErrorKind::Unauthenticated => None,
                Err(error) => return Err(error),
            },
        };
        let Some(record) = record.filter(|record| record.value.client_id == client_id) else {
            return Ok(());
        };
        let caller = as_session(&record);
        let mut change = Change::new().by(&caller);
        self.session_end(&mut change, &caller, &record, "revoked")?;
        self.upstream_forget(&mut change, &record).await?;
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
        self.session_mark_ended(change, caller, "", &record.name, reason)
    }

    /// Has the access tokens with this `sid`, of automation of `team` or of a person, refused from the commit
    /// of `change` on.
    pub(super) fn session_mark_ended(
        &self,
        change: &mut Change,
        caller: &Caller,
        team: &str,
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
        change.event(NewEvent::caused(
            SESSION_ENDED,
            session_key(sid),
            team,
            caller,
            Some(Outcome::Pass),
            json!({ "reason": reason }),
        ));
        Ok(())
    }

    /// Ends all sessions of a subject. Answers how many.
    pub(super) async fn sessions_end(
        &self,
        change: &mut Change,
        caller: &Caller,
        subject: &str,
        reason: &str,
    ) -> Result<usize> {
        let mut ended = 0;
        for record in self.store.records::<Session>(&sessions_of(subject)).await? {
            if record.value.login.subject == subject {
                self.session_end(change, caller, &record, reason)?;
                ended += 1;
            }
        }
        Ok(ended)
    }
}

/// Whoever a session is of, by its tokens.
pub(super) fn as_session(record: &Record<Session>) -> Caller {
    let means = Means::Login(record.name.clone());
    as_themselves(&record.value.login.subject, means)
}

/// `change`, as a reconciler writes it.
pub(super) fn fenced(change: Change, fence: Option<&Fence>) -> Change {
    match fence {
        Some(fence) => change.fenced(fence.clone()),
        None => change,
    }
}

pub(super) fn session_key(sid: &str) -> Key {
    Key {
        kind: SESSION.into(),
        scope: String::new(),
        name: sid.into(),
    }
}

/// The refresh token of this number: it follows from what the session alone has, so that the newest
/// can be given twice.
pub(super) fn refresh_token(sid: &str, session: &Session, counter: u64) -> String {
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
