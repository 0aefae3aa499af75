//! A person at a login page, and the browser that remembers them.

use kernel::{Caller, Change, Means, Record, Secret, anew, secret::same};

use super::{
    Identity, as_themselves, clients::called, device::shown_as_typed, sessions::as_session,
};
use crate::{
    clock::after,
    jose::IdClaims,
    refusal::{Refusal, RefusalCode},
    source::local::LOCAL,
    state::{Browser, Login, LoginPage, Session, Then, UpstreamGrant, digest, random_token},
};

/// A login page, as it is shown. It has no `Debug`: its form is answered by whoever has its secret.
pub struct LoginForm {
    /// Goes into the form.
    pub csrf: String,
    /// What the person logs in for.
    pub purpose: Purpose,
    /// Where the browser is sent after the login, where that is another site.
    pub redirect_uri: Option<String>,
    /// Whether there is a form for name and password.
    pub local: bool,
    /// Upstreams: name and title.
    pub upstreams: Vec<(String, String)>,
}

/// What somebody logs in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A program, by what it is called.
    Program(String),
    /// To look at a device's request: of this code, where one was given.
    Device(Option<String>),
}

/// What somebody has filled in. It has no `Debug`: there is a password in it.
pub(crate) struct Filled<'a> {
    pub(crate) name: &'a str,
    pub(crate) password: Secret,
    /// Where it comes from.
    pub(crate) address: &'a str,
    /// What the browser was given at an earlier login.
    pub(crate) device: Option<&'a str>,
}

/// Somebody who is in.
pub struct Entered {
    /// The browser's cookie from now on.
    pub(crate) cookie: String,
    /// By which the browser is known the next time that somebody enters a password in it.
    pub(crate) device: Option<String>,
    pub(crate) login: Login,
    pub(crate) then: Then,
}

/// Why sessions ended whose person has said so.
const LOGGED_OUT: &str = "logged out";

fn stale() -> Refusal {
    Refusal::request("this login page is no longer good: go back to the program, and begin again")
}

impl Identity {
    /// Opens a login page for the browser with this cookie; gives the page's name in addresses.
    pub(crate) async fn login_open(
        &self,
        then: Then,
        cookie: &str,
        address: &str,
    ) -> Result<String, Refusal> {
        self.opening(address)?;
        let page = random_token()?;
        let record = Record::new(
            digest(&page),
            after(self.clock.now(), self.settings.lifetimes.login),
            LoginPage {
                then,
                cookie: digest(cookie),
                csrf: random_token()?,
            },
        );
        let mut change = Change::new();
        change.keep(&record)?;
        self.store.commit(change).await?;
        Ok(page)
    }

    /// The page, for the browser that it was opened for and no other.
    pub(super) async fn login_page(
        &self,
        page: &str,
        cookie: Option<&str>,
    ) -> Result<Record<LoginPage>, Refusal> {
        let record = self.store.record::<LoginPage>(&digest(page)).await?;
        record
            .filter(|record| record.expires > self.clock.now())
            .filter(|record| {
                cookie.is_some_and(|cookie| same(&record.value.cookie, digest(cookie)))
            })
            .ok_or_else(stale)
    }

    /// What the page shows.
    pub(crate) async fn login_form(
        &self,
        page: &str,
        cookie: Option<&str>,
    ) -> Result<LoginForm, Refusal> {
        let page = self.login_page(page, cookie).await?.value;
        let (purpose, redirect_uri) = match &page.then {
            Then::Authorize(request) => {
                let client = self.client(&request.client_id).await?;
                let client = Purpose::Program(called(&client));
                (client, Some(request.redirect_uri.clone()))
            }
            // Which program it is, whoever is logged in is told: codes are not tried out here.
            Then::Device { user_code } => (Purpose::Device(shown_as_typed(user_code)), None),
        };
        Ok(LoginForm {
            csrf: page.csrf,
            purpose,
            redirect_uri,
            local: self.settings.local_login,
            upstreams: self.upstreams().await?,
        })
    }

    /// Logs somebody in with the password of a local user.
    pub(crate) async fn login_password(
        &self,
        page: &str,
        cookie: Option<&str>,
        csrf: &str,
        filled: Filled<'_>,
    ) -> Result<Entered, Refusal> {
        let page = self.login_page(page, cookie).await?;
        if !same(&page.value.csrf, csrf) {
            return Err(stale());
        }
        if !self.settings.local_login {
            return Err(Refusal::request("nobody logs in with a password here"));
        }
        let Filled {
            name,
            password,
            address,
            device,
        } = filled;
        let place = self.place(name, address, device).await?;
        let gates = Self::password_gates(name, address, &place);
        let (local, named) = (self.local.clone(), name.to_owned());
        let check = async move { local.verify(&named, password).await };
        let login = Box::pin(self.attempt(gates, check)).await?.ok_or_else(|| {
            Refusal::new(
                RefusalCode::AccessDenied,
                "the name or the password is wrong",
            )
        })?;
        let device = self.place_remember(name, address, &place).await?;
        let mut entered = self.login_enter(page, login, None).await?;
        entered.device = Some(device);
        Ok(entered)
    }

    /// The browser remembers whoever has proved who they are; the page is used up.
    pub(super) async fn login_enter(
        &self,
        page: Record<LoginPage>,
        mut login: Login,
        upstream_token: Option<String>,
    ) -> Result<Entered, Refusal> {
        let cookie = random_token()?;
        let name = digest(&cookie);
        login.browser = Some(name.clone());
        let expires = after(self.clock.now(), self.settings.lifetimes.browser);
        let mut change = Change::new().by(&as_themselves(&login.subject, Means::Browser));
        change.take(&page);
        if let Some(token) = upstream_token {
            // For as long as a session may last that begins at the browser's last moment.
            let until = after(expires, self.settings.lifetimes.session);
            let grant = Record::new(
                random_token()?,
                until,
                UpstreamGrant {
                    token,
                    taken_until: None,
                },
            );
            change.keep(&grant)?;
            login.upstream = Some(grant.name);
        }
        change.keep(&Record::new(
            name,
            expires,
            Browser {
                login: login.clone(),
            },
        ))?;
        match self.store.commit(change).await {
            Ok(_) => Ok(Entered {
                cookie,
                device: None,
                login,
                then: page.value.then,
            }),
            Err(error) if error.kind == kernel::ErrorKind::Conflict => Err(stale()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever has logged in in this browser, and may still.
    pub(crate) async fn browser(&self, cookie: Option<&str>) -> Result<Option<Login>, Refusal> {
        let Some(cookie) = cookie else {
            return Ok(None);
        };
        let record = self.store.record::<Browser>(&digest(cookie)).await?;
        let now = self.clock.now();
        let login = record
            .filter(|record| record.expires > now)
            .map(|record| record.value.login);
        self.view.current().await?;
        Ok(login.filter(|login| {
            login.source != LOCAL || self.view.known().login_groups(login).is_some()
        }))
    }

    /// Commits `change`, which lets somebody in by a login, only while its browser remembers that: what is let in
    /// by a login that has ended is nobody's. It is written over what was there, so that of two who end the login
    /// and go on with it one looks again.
    pub(super) async fn browser_remembers(
        &self,
        change: &mut Change,
        login: &Login,
    ) -> Result<(), Refusal> {
        let Some(name) = &login.browser else {
            return Ok(());
        };
        let browser = self.store.record::<Browser>(name).await?.ok_or_else(|| {
            Refusal::grant("the login in the browser that allowed this has ended: log in again")
        })?;
        Ok(change.keep(&browser)?)
    }

    /// What a form of this browser must bring back: another site does not know it.
    pub(crate) fn browser_csrf(cookie: &str) -> String {
        digest(format!("csrf\n{cookie}"))
    }

    /// Now, as lifetimes are measured.
    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Ends what began in this browser: its own session, those of all programs that it has let in, and what waits
    /// to be let in (see [`Identity::browser_remembers`]).
    pub(crate) async fn browser_end(&self, cookie: &str) -> Result<(), Refusal> {
        let name = digest(cookie);
        let Some(browser) = self.store.record::<Browser>(&name).await? else {
            return Ok(());
        };
        let caller = as_themselves(&browser.value.login.subject, Means::Browser);
        anew(|| self.browser_end_once(&caller, &name, LOGGED_OUT)).await?;
        Ok(self.view.current().await?)
    }

    /// The same for a browser by the name of its record. Answers how many sessions that ended.
    async fn browser_end_once(
        &self,
        caller: &Caller,
        name: &str,
        reason: &str,
    ) -> kernel::Result<usize> {
        let Some(browser) = self.store.record::<Browser>(name).await? else {
            return Ok(0);
        };
        let login = &browser.value.login;
        let mut change = Change::new().by(caller);
        change.take(&browser);
        let mut ended = 0;
        let prefix = super::sessions::sessions_of(&login.subject);
        for record in self.store.records::<Session>(&prefix).await? {
            if record.value.login.browser.as_deref() == Some(name) {
                self.session_end(&mut change, caller, &record, reason)?;
                ended += 1;
            }
        }
        // Nothing is left that would ask the upstream again.
        if let Some(grant) = &login.upstream
            && let Some(grant) = self.store.record::<UpstreamGrant>(grant).await?
        {
            change.take(&grant);
        }
        self.store.commit(change).await?;
        Ok(ended)
    }

    /// What an ID token says whose session is to end, and for which client it was. The token may have
    /// expired, and is verified otherwise.
    pub(crate) fn logout_hint(&self, hint: &Secret) -> Result<IdClaims, Refusal> {
        hint.text()
            .and_then(|hint| self.verifier.id_token_hint(hint))
            .map_err(|error| Refusal::request(error.message))
    }

    /// Ends a session, and what else began in the same browser (RP-initiated logout).
    pub(crate) async fn logout(&self, sid: &str) -> Result<(), Refusal> {
        let Some(record) = self.store.record::<Session>(sid).await? else {
            return Ok(());
        };
        let caller = as_session(&record);
        anew(|| self.logout_once(&caller, sid, LOGGED_OUT)).await?;
        Ok(self.view.current().await?)
    }

    /// The same, by whoever may. Answers how many sessions that ended.
    pub(super) async fn logout_once(
        &self,
        caller: &Caller,
        sid: &str,
        reason: &str,
    ) -> kernel::Result<usize> {
        let Some(record) = self.store.record::<Session>(sid).await? else {
            return Ok(0);
        };
        if let Some(browser) = &record.value.login.browser
            && self.store.record::<Browser>(browser).await?.is_some()
        {
            return self.browser_end_once(caller, browser, reason).await;
        }
        let mut change = Change::new().by(caller);
        self.session_end(&mut change, caller, &record, reason)?;
        self.upstream_forget(&mut change, &record).await?;
        self.store.commit(change).await?;
        Ok(1)
    }

    /// Where a browser may be sent after a logout: nowhere but where the client has said.
    pub(crate) async fn logout_target(&self, client: &str, asked: &str) -> Result<String, Refusal> {
        let client = self.client(client).await?;
        let allowed = client
            .spec
            .post_logout_redirect_uris
            .iter()
            .any(|one| one == asked);
        allowed.then(|| asked.to_owned()).ok_or_else(|| {
            Refusal::request("the post_logout_redirect_uri is not registered for this client")
        })
    }
}
