//! Sessions: what a browser's cookie stands for. Their tokens are sealed in the store, so that they outlive a
//! restart and any replica has them; a browser never sees one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use client::{Provider, TokenSource, Tokens};
use jiff::Timestamp;
use kernel::{
    Change, Record, Secret, Transient, anew,
    secret::{digest, random_token},
};
use serde::{Deserialize, Serialize};

use crate::{Portal, failure::Lost};

/// How long before its end a token is renewed: a call that is under way, and clocks that differ. Of a token
/// that lives for less than four times that, a quarter of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// Somebody's session in a browser. Named by the digest of its cookie. It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    access: String,
    refresh: Option<String>,
    id: Option<String>,
    renew_at: Timestamp,
    /// When the access token ends.
    expires: Timestamp,
}

impl Transient for Session {
    const KIND: &'static str = "portal-session";
}

impl Session {
    fn new(tokens: &Tokens, now: Timestamp) -> kernel::Result<Self> {
        let text = |secret: &Secret| secret.text().map(str::to_owned);
        let life = tokens.expires_in;
        Ok(Self {
            access: text(&tokens.access)?,
            refresh: tokens.refresh.as_ref().map(text).transpose()?,
            id: tokens.id.as_ref().map(text).transpose()?,
            renew_at: later(now, life.saturating_sub(MARGIN.min(life / 4))),
            expires: later(now, life),
        })
    }

    /// The same with what the provider gives for its refresh token.
    fn renewed(&self, tokens: &Tokens, now: Timestamp) -> kernel::Result<Self> {
        let new = Self::new(tokens, now)?;
        Ok(Self {
            refresh: new.refresh.or_else(|| self.refresh.clone()),
            id: new.id.or_else(|| self.id.clone()),
            ..new
        })
    }

    /// Whether its access token is to be shown. `refused`: the one that the platform has just refused.
    fn is_fresh(&self, refused: Option<&Secret>) -> bool {
        match refused {
            Some(refused) => refused.expose() != self.access.as_bytes(),
            None => Timestamp::now() < self.renew_at,
        }
    }
}

fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What forms of the session with this cookie carry: it follows from the cookie, and the cookie not from it.
pub(crate) fn csrf(cookie: &str) -> String {
    digest(format!("towpath portal csrf: {cookie}"))
}

impl Portal {
    /// Begins a session with tokens that a login has just given; answers its cookie, which is always another:
    /// nobody can have known it before.
    pub(crate) async fn session_begin(&self, tokens: &Tokens) -> kernel::Result<String> {
        let (cookie, now) = (random_token()?, Timestamp::now());
        let ends = later(now, self.settings.session);
        let mut change = Change::new();
        change.keep(&Record::new(
            digest(&cookie),
            ends,
            Session::new(tokens, now)?,
        ))?;
        self.store.commit(change).await?;
        Ok(cookie)
    }

    /// The session with this cookie, where there is one.
    pub(crate) async fn session(&self, cookie: &str) -> kernel::Result<Option<Record<Session>>> {
        self.session_named(&digest(cookie)).await
    }

    async fn session_named(&self, name: &str) -> kernel::Result<Option<Record<Session>>> {
        let found = self.store.record::<Session>(name).await?;
        Ok(found.filter(|record| record.expires > Timestamp::now()))
    }

    /// Ends the session with this cookie, and with it the login at the provider: what else was logged in from
    /// the same browser, too. Where the provider does not answer it ends here all the same.
    pub(crate) async fn session_end(&self, cookie: &str) -> Result<(), Lost> {
        let Some(record) = self.session(cookie).await.map_err(Lost::Store)? else {
            return Ok(());
        };
        let session = record.value;
        self.session_forget(&record.name).await?;
        let told = async {
            let provider = self.provider().await?;
            match (session.id, session.refresh) {
                (Some(id), _) => provider.end_session(&id.into()).await,
                (None, Some(refresh)) => provider.revoke(&refresh.into()).await,
                (None, None) => provider.revoke(&session.access.into()).await,
            }
        };
        told.await.map_err(Lost::Provider)
    }

    /// Ends the session with this cookie alone: another has begun in the same browser.
    pub(crate) async fn session_replace(&self, cookie: &str) -> Result<(), Lost> {
        let Some(record) = self.session(cookie).await.map_err(Lost::Store)? else {
            return Ok(());
        };
        self.session_forget(&record.name).await?;
        let session = record.value;
        let token = session.refresh.unwrap_or(session.access);
        let told = async { self.provider().await?.revoke(&token.into()).await };
        told.await.map_err(Lost::Provider)
    }

    /// Removes a session, however often it changes meanwhile.
    async fn session_forget(&self, name: &str) -> Result<(), Lost> {
        let forgotten = anew(|| async {
            let Some(record) = self.store.record::<Session>(name).await? else {
                return Ok(());
            };
            let mut change = Change::new();
            change.take(&record);
            self.store.commit(change).await.map(drop)
        });
        forgotten.await.map_err(Lost::Store)
    }

    /// The access token of a session, renewed where its time has come.
    async fn session_token(
        self: Arc<Self>,
        name: String,
        refused: Option<Secret>,
    ) -> Result<Secret, Lost> {
        let found = self.session_named(&name).await.map_err(Lost::Store)?;
        let found = found.ok_or(Lost::Over)?;
        if found.value.is_fresh(refused.as_ref()) {
            return Ok(found.value.access.into());
        }
        // In a task of its own: a browser that goes away must not lose the only refresh token that is good.
        let renewing =
            tokio::spawn(async move { self.session_renew(&name, refused.as_ref()).await });
        renewing.await.map_err(|error| {
            Lost::Store(kernel::Error::internal("a session was not renewed", error))
        })?
    }

    async fn session_renew(&self, name: &str, refused: Option<&Secret>) -> Result<Secret, Lost> {
        // Held over a call to the provider: one that does not answer holds up this session and no other.
        let _turn = self.turns.of(&name.to_owned()).await;
        // Where another replica renews it meanwhile, or it is ended: the provider gives the same again for a minute,
        // so that neither has lost anything.
        anew(|| self.session_renew_once(name, refused)).await
    }

    async fn session_renew_once(
        &self,
        name: &str,
        refused: Option<&Secret>,
    ) -> Result<Secret, Lost> {
        let found = self.session_named(name).await.map_err(Lost::Store)?;
        let mut record = found.ok_or(Lost::Over)?;
        if record.value.is_fresh(refused) {
            // Another tab was first, or another replica.
            return Ok(record.value.access.into());
        }
        let asked = async {
            let provider: &Provider = self.provider().await?;
            match &record.value.refresh {
                Some(refresh) => provider.refresh(&refresh.as_str().into()).await.map(Some),
                None => Ok(None),
            }
        };
        let tokens = match asked.await {
            Ok(Some(tokens)) => tokens,
            Ok(None) => return self.session_over(name).await,
            Err(client::Error::Grant { code, description }) if code == "invalid_grant" => {
                tracing::debug!(description, "a session of the portal is over");
                return self.session_over(name).await;
            }
            // Good for a while yet: the provider may be back by then.
            Err(error)
                if error.is_transient()
                    && refused.is_none()
                    && Timestamp::now() < record.value.expires =>
            {
                tracing::debug!(%error, "a session of the portal is not renewed yet");
                return Ok(record.value.access.into());
            }
            Err(error) => return Err(Lost::Provider(error)),
        };
        let renewed = record.value.renewed(&tokens, Timestamp::now());
        record.value = renewed.map_err(Lost::Store)?;
        let mut change = Change::new();
        change.keep(&record).map_err(Lost::Store)?;
        self.store.commit(change).await.map_err(Lost::Store)?;
        Ok(tokens.access)
    }

    async fn session_over(&self, name: &str) -> Result<Secret, Lost> {
        self.session_forget(name).await?;
        Err(Lost::Over)
    }
}

/// Gives the tokens of one session to the client.
pub(crate) struct SessionTokens {
    portal: Arc<Portal>,
    /// As it was when the request came.
    record: Record<Session>,
}

impl SessionTokens {
    pub(crate) fn new(portal: Arc<Portal>, record: Record<Session>) -> Self {
        Self { portal, record }
    }
}

#[async_trait]
impl TokenSource for SessionTokens {
    async fn token(
        &self,
        refused: Option<&Secret>,
    ) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
        let session = &self.record.value;
        if session.is_fresh(refused) {
            return Ok(session.access.as_str().into());
        }
        let (portal, name) = (self.portal.clone(), self.record.name.clone());
        Ok(portal.session_token(name, refused.cloned()).await?)
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        extract::State,
        http::header,
        response::{IntoResponse as _, Response},
        routing::{get, post},
    };
    use kernel::{Sealer, Store};
    use tokio::{net::TcpListener, sync::Notify, time::timeout};

    use super::*;
    use crate::Settings;

    fn tokens(seconds: u64, refresh: Option<&str>) -> Tokens {
        Tokens {
            access: "access".into(),
            expires_in: Duration::from_secs(seconds),
            id: None,
            refresh: refresh.map(Secret::from),
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let renewed = |seconds| {
            Session::new(&tokens(seconds, None), now)
                .unwrap()
                .renew_at
                .as_second()
        };
        assert_eq!(renewed(3600), 1_003_540);
        assert_eq!(renewed(8), 1_000_006);
        assert_eq!(renewed(0), 1_000_000);
    }

    #[test]
    fn what_is_not_given_anew_stays() {
        let now = Timestamp::now();
        let session = Session::new(&tokens(60, Some("one")), now).unwrap();
        assert_eq!(
            session
                .renewed(&tokens(60, None), now)
                .unwrap()
                .refresh
                .as_deref(),
            Some("one")
        );
        let next = session.renewed(&tokens(60, Some("two")), now).unwrap();
        assert_eq!(next.refresh.as_deref(), Some("two"));
    }

    fn json(body: String) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    async fn token(State(asked): State<Arc<Notify>>, body: String) -> Response {
        if body.contains("refresh_token=stuck") {
            asked.notify_one();
            std::future::pending::<()>().await;
        }
        json(r#"{"access_token":"new","expires_in":60,"refresh_token":"next"}"#.into())
    }

    /// A provider that never answers who comes with the refresh token `stuck`, and says that they came.
    async fn provider(asked: Arc<Notify>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = format!("http://{}", listener.local_addr().unwrap());
        let metadata = format!(
            r#"{{"issuer":"{here}","device_authorization_endpoint":"{here}/device",
                "token_endpoint":"{here}/token","revocation_endpoint":"{here}/revoke"}}"#
        );
        let routes = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || async move { json(metadata) }),
            )
            .route("/token", post(token))
            .with_state(asked);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        here
    }

    #[tokio::test]
    async fn a_provider_that_does_not_answer_holds_up_no_other_session() {
        let asked = Arc::new(Notify::new());
        let api = provider(asked.clone()).await;
        let database = testkit::Database::of_test().await;
        let store = Store::open(&database.url(), Sealer::generate().unwrap()).await;
        let settings = Settings {
            issuer: api.clone(),
            api,
            client_id: "towpath-portal".into(),
            redirect_uri: "http://127.0.0.1/portal/callback".into(),
            session: Duration::from_hours(1),
        };
        let portal = Arc::new(Portal::new(store.unwrap(), settings));
        let now = Timestamp::now();
        // Names of the same bytes, one as good as the other.
        for (name, refresh) in [("ab", "stuck"), ("ba", "good")] {
            let session = Session::new(&tokens(0, Some(refresh)), now).unwrap();
            let ends = later(now, Duration::from_hours(1));
            let mut change = Change::new();
            change.keep(&Record::new(name, ends, session)).unwrap();
            portal.store.commit(change).await.unwrap();
        }
        let stuck = tokio::spawn(portal.clone().session_token("ab".into(), None));
        let soon = Duration::from_secs(20);
        timeout(soon, asked.notified()).await.unwrap();
        let other = timeout(soon, portal.clone().session_token("ba".into(), None)).await;
        let token = other.unwrap().unwrap();
        assert_eq!(token.expose_str(), Some("new"));
        stuck.abort();
    }

    #[test]
    fn a_form_is_of_one_session() {
        assert_ne!(csrf("one"), csrf("two"));
        assert!(!csrf("one").contains("one"));
    }
}
