//! OpenID Connect Back-Channel Logout 1.0: an upstream says that somebody is logged out there, and what they have
//! here by that login ends.

use jiff::Timestamp;
use kernel::{Caller, Change, NewEvent, Outcome, Record, Result, Secret, anew};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Identity,
    foreign::{Expected, ForeignToken},
    oversight::Whose,
    sessions::session_key,
};
use crate::{
    clock::after,
    model::UpstreamKind,
    refusal::{Refusal, RefusalCode},
    settings::SKEW,
    source::upstream::is_id,
    state::{Browser, HeededLogout, Login, Session, digest},
};

/// What the claim `events` of a logout token has, and no other token's.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The types that a logout token may say that it has.
const TYPES: [&str; 3] = ["logout+jwt", "application/logout+jwt", "JWT"];
/// Why sessions ended of which their upstream has said so.
const LOGGED_OUT: &str = "logged out at its upstream";

/// What a logout token says.
#[derive(Debug, PartialEq, Eq)]
struct Logout {
    jti: String,
    ends: Timestamp,
    /// Who, by the upstream's id.
    sub: Option<String>,
    /// By which of their sessions there; none: by all.
    sid: Option<String>,
}

impl Logout {
    /// Reads a token that its issuer has signed (section 2.6 of the standard); refuses any other than a logout
    /// token for this client.
    fn read(token: &ForeignToken, client_id: &str) -> Result<Self, Refusal> {
        let refused = |why: &str| Err(Refusal::request(format!("the logout_token {why}")));
        let is_type = |typ: &String| TYPES.iter().any(|one| one.eq_ignore_ascii_case(typ));
        if token.typ.as_ref().is_some_and(|typ| !is_type(typ)) {
            return refused("is of another type: `logout+jwt` is right");
        }
        if !token.is_for(client_id) {
            return refused("is for another audience than the platform's client_id");
        }
        if token.seconds("iat").is_none() {
            return refused("does not say when it was signed (`iat`)");
        }
        let event = token.claims.get("events").and_then(|all| all.get(EVENT));
        if !event.is_some_and(Value::is_object) {
            return refused(&format!("has no `{EVENT}` in its `events`"));
        }
        if token.claims.contains_key("nonce") {
            return refused("has a `nonce`, as an ID token has");
        }
        let Some(jti) = token.text("jti").filter(|jti| !jti.is_empty()) else {
            return refused("has no name of its own (`jti`)");
        };
        for claim in ["sub", "sid"] {
            let is_named = token.text(claim).is_some_and(is_id);
            if token.claims.contains_key(claim) && !is_named {
                return refused(&format!(
                    "has a `{claim}` that is no 1 to 255 printable ASCII characters"
                ));
            }
        }
        let (sub, sid) = (token.text("sub"), token.text("sid"));
        if sub.is_none() && sid.is_none() {
            return refused("says neither who is logged out (`sub`) nor by which session (`sid`)");
        }
        let ends = token.seconds("exp").map(Timestamp::from_second);
        let Some(Ok(ends)) = ends else {
            return refused("has no end that there is (`exp`)");
        };
        Ok(Self {
            jti: jti.to_owned(),
            ends,
            sub: sub.map(str::to_owned),
            sid: sid.map(str::to_owned),
        })
    }
}

impl Identity {
    /// Ends the logins by the upstream `upstream` of whom its logout token says that they are logged out: in
    /// browsers, of programs, and what was begun and not finished. Each token counts once: sent again, as one is
    /// whose answer was lost, it ends nothing more.
    pub(crate) async fn backchannel_logout(
        &self,
        upstream: &str,
        token: &Secret,
        address: &str,
    ) -> Result<(), Refusal> {
        let heeded = async {
            let logout = self.logout_token(upstream, token).await?;
            anew(|| self.backchannel_logout_once(upstream, &logout)).await
        };
        match heeded.await {
            Ok(()) => Ok(self.view.current().await?),
            Err(refusal) if refusal.code == RefusalCode::InvalidRequest => {
                Err(self.secret_refused(refusal, address).await)
            }
            Err(refusal) => Err(refusal),
        }
    }

    async fn logout_token(&self, upstream: &str, token: &Secret) -> Result<Logout, Refusal> {
        let found = self.upstream_there(upstream).await?;
        let spec = found.map(|found| (found.spec.client_id, found.spec.provider));
        let Some((client_id, UpstreamKind::Oidc { issuer, .. })) = spec else {
            return Err(Refusal::request(format!(
                "there is no OpenID provider `{}` here that people log in by",
                upstream.escape_debug()
            )));
        };
        let text = token.text().map_err(|_| {
            Refusal::request("the logout_token is not one that its issuer has signed")
        })?;
        let expected = Expected {
            parameter: "logout_token",
            issuer: &issuer,
            claims: &["iss", "aud", "exp"],
        };
        let token = self.foreign_token(&expected, text).await;
        let token = token.map_err(|refusal| match refusal.code {
            RefusalCode::InvalidGrant => Refusal::request(refusal.description),
            _ => refusal,
        })?;
        Logout::read(&token, &client_id)
    }

    async fn backchannel_logout_once(
        &self,
        upstream: &str,
        logout: &Logout,
    ) -> Result<(), Refusal> {
        let heeded = digest(format!("{upstream}\n{}", logout.jti));
        if self.store.record::<HeededLogout>(&heeded).await?.is_some() {
            return Ok(());
        }
        let caller = Caller::system("identity", Uuid::now_v7());
        let mut change = Change::new().by(&caller);
        // For as long as the token would be taken.
        let until = after(after(logout.ends, SKEW), SKEW);
        change.keep(&Record::new(heeded, until, HeededLogout {}))?;
        let subject = match (&logout.sub, &logout.sid) {
            (Some(sub), _) => Some(format!("{upstream}:{sub}")),
            (None, Some(sid)) => self.subject_of_upstream_session(upstream, sid).await?,
            (None, None) => None,
        };
        if let Some(subject) = subject {
            let whose = Whose {
                subject: &subject,
                upstream_sid: logout.sid.as_deref(),
            };
            let ended = self
                .logins_end(&mut change, &caller, whose, LOGGED_OUT)
                .await?;
            // Told where there was none, too: the upstream has asked for it.
            change.event(NewEvent::caused(
                "session.backchannel-logout",
                session_key(&subject),
                "",
                &caller,
                Some(Outcome::Pass),
                json!({ "upstream": upstream, "ended": ended, "all": logout.sid.is_none() }),
            ));
        }
        self.store.commit(change).await?;
        Ok(())
    }

    /// Whose a session at an upstream is, where it has let somebody in who is logged in yet.
    async fn subject_of_upstream_session(
        &self,
        upstream: &str,
        sid: &str,
    ) -> Result<Option<String>> {
        let is_it =
            |login: &Login| login.source == upstream && login.upstream_sid.as_deref() == Some(sid);
        let browsers = self.store.records::<Browser>("").await?;
        let mut logins = browsers.into_iter().map(|browser| browser.value.login);
        if let Some(login) = logins.find(is_it) {
            return Ok(Some(login.subject));
        }
        let sessions = self.store.records::<Session>("").await?;
        let mut logins = sessions.into_iter().map(|session| session.value.login);
        Ok(logins.find(is_it).map(|login| login.subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(over: &[(&str, Value)], typ: Option<&str>) -> Result<Logout, Refusal> {
        let mut claims = json!({
            "iss": "https://login.acme.example", "aud": ["wiki", "towpath"], "iat": 100, "exp": 220,
            "jti": "one", "events": { EVENT: {} }, "sub": "ada", "sid": "a session",
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in over {
            match value {
                Value::Null => drop(claims.remove(*name)),
                value => drop(claims.insert((*name).to_owned(), value.clone())),
            }
        }
        let token = ForeignToken {
            typ: typ.map(str::to_owned),
            claims: claims.clone(),
        };
        Logout::read(&token, "towpath")
    }

    #[test]
    fn a_logout_token_says_who_or_by_which_session() {
        for typ in [None, Some("JWT"), Some("logout+jwt"), Some("Logout+JWT")] {
            let logout = read(&[], typ).unwrap();
            assert_eq!(logout.ends, Timestamp::from_second(220).unwrap());
            assert_eq!(logout.sub.as_deref(), Some("ada"), "{typ:?}");
            assert_eq!(logout.sid.as_deref(), Some("a session"), "{typ:?}");
        }
        // A time may have decimals.
        let parts = [("iat", json!(100.5)), ("exp", json!(220.75))];
        let logout = read(&parts, None).unwrap();
        assert_eq!(logout.ends, Timestamp::from_second(220).unwrap());
        let of_all = read(&[("sid", Value::Null)], None).unwrap();
        assert_eq!((of_all.sub.as_deref(), of_all.sid), (Some("ada"), None));
        let of_one = read(&[("sub", Value::Null)], None).unwrap();
        assert_eq!((of_one.sub, of_one.sid.is_some()), (None, true));
        read(&[("aud", json!("towpath"))], None).unwrap();
    }

    #[test]
    fn no_other_token_is_one() {
        for typ in ["at+jwt", "secevent+jwt", ""] {
            read(&[], Some(typ)).unwrap_err();
        }
        for (name, value) in [
            ("aud", json!("wiki")),
            ("aud", json!(["wiki"])),
            ("aud", Value::Null),
            ("iat", Value::Null),
            ("exp", Value::Null),
            ("exp", json!(i64::MAX)),
            ("exp", json!(1e300)),
            ("exp", json!("220")),
            ("jti", Value::Null),
            ("jti", json!("")),
            ("nonce", json!("a nonce")),
            ("nonce", json!("")),
            ("events", Value::Null),
            ("events", json!({})),
            ("events", json!([EVENT])),
            ("events", json!({ EVENT: null })),
            (
                "events",
                json!({ "http://schemas.openid.net/event/another": {} }),
            ),
            ("sub", json!(7)),
            ("sub", json!("")),
            ("sid", json!(["a session"])),
        ] {
            let refusal = read(&[(name, value.clone())], None).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::InvalidRequest, "{name}: {value}");
        }
        read(&[("sub", Value::Null), ("sid", Value::Null)], None).unwrap_err();
    }
}
