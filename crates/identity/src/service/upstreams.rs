//! Upstreams: configured, visited, and asked for groups.

use std::time::Duration;

use kernel::{
    Caller, Change, Error, ErrorKind, Name, NewEvent, Outcome, Query, Record, Resource, Result,
    Secret, Store, anew,
};
use serde_json::json;
use tokio::time::Instant;

use super::{Entered, Identity, access::of_platform, sessions::sessions_of};
use crate::{
    clock::{Clock, after},
    model::{Upstream, UpstreamKind, UpstreamSpec},
    refusal::{Refusal, RefusalCode},
    source::{
        Membership, SourceError,
        github::GitHub,
        local::LOCAL,
        oidc::Oidc,
        upstream::{UpstreamSource, Visit},
    },
    state::{Browser, Login, Session, UpstreamGrant, UpstreamVisit, digest, random_token},
    verify::ACCOUNT,
};

/// The name of our secret at an upstream among its secrets.
pub(super) const SECRET: &str = "client-secret";
/// The name of the token that lists its groups.
pub(super) const DIRECTORY: &str = "directory-token";

/// What is kept beside an upstream, where it is given. It has no `Debug`.
#[derive(Default)]
pub struct UpstreamSecrets {
    /// Our secret there.
    pub client_secret: Option<Secret>,
    /// What lists its groups and their members: a token of the organization's.
    pub directory_token: Option<Secret>,
}

impl Identity {
    /// Makes an upstream, or writes what one should be. A secret that is given replaces the one before; a
    /// directory token too, and an empty one takes it away.
    pub async fn upstream_put(
        &self,
        caller: &Caller,
        name: &str,
        spec: UpstreamSpec,
        secrets: UpstreamSecrets,
        revision: Option<i64>,
    ) -> Result<Resource<Upstream>> {
        self.may_change(caller, &of_platform::<Upstream>(name))
            .await?;
        let name = Name::new(name)?;
        self.upstream_check(&name, &spec)?;
        let lists = matches!(spec.provider, UpstreamKind::Github { .. });
        if !lists
            && secrets
                .directory_token
                .as_ref()
                .is_some_and(|t| !t.expose().is_empty())
        {
            return Err(Error::invalid(
                "an OpenID provider lists no groups: a directory token is for GitHub",
            )
            .remedy("leave `directoryToken` out"));
        }
        anew(|| async {
            let mut change = Change::new().by(caller);
            let (written, _) = self
                .upstream_into(&mut change, caller, &name, &spec, &secrets, revision)
                .await?;
            self.store.commit(change).await?.resource(&written.key())
        })
        .await
    }

    /// Refuses what cannot be an upstream.
    pub(super) fn upstream_check(&self, name: &Name, spec: &UpstreamSpec) -> Result<()> {
        if [LOCAL, ACCOUNT, "system"].contains(&name.as_str()) {
            return Err(
                Error::invalid(format!("an upstream cannot be called `{name}`"))
                    .remedy("its name begins the names of its people: choose the organization's"),
            );
        }
        match &spec.provider {
            UpstreamKind::Oidc { issuer, .. } => drop(self.outbound.check(issuer)?),
            UpstreamKind::Github { url, api_url, .. } => {
                self.outbound.check(url)?;
                self.outbound.check(api_url)?;
            }
        }
        Ok(())
    }

    /// Writes an upstream into `change`; answers it, and whether it is new.
    pub(super) async fn upstream_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        name: &Name,
        spec: &UpstreamSpec,
        secrets: &UpstreamSecrets,
        revision: Option<i64>,
    ) -> Result<(Resource<Upstream>, bool)> {
        let mut upstream = match self.store.get::<Upstream>("", name.as_str()).await? {
            Some(going) if going.is_deleting() => {
                return Err(
                    Error::conflict(format!("the upstream `{name}` is being removed"))
                        .remedy("make it anew when `towpath upstream list` shows it no more"),
                );
            }
            Some(upstream) => upstream,
            None => Resource::new("", name.as_str(), spec.clone()),
        };
        upstream.meta.require_revision(revision)?;
        upstream.spec = spec.clone();
        let is_new = change.put(&upstream)?;
        let sealed = [
            (SECRET, &secrets.client_secret),
            (DIRECTORY, &secrets.directory_token),
        ];
        for (name, secret) in sealed {
            if let Some(secret) = secret.clone() {
                change.seal(upstream.meta.uid, name, secret);
            }
        }
        change.event(NewEvent::caused(
            "upstream.changed",
            upstream.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({
                "secret": secrets.client_secret.is_some(),
                "directoryToken": secrets.directory_token.is_some(),
            }),
        ));
        Ok((upstream, is_new))
    }

    /// Removes an upstream: nobody logs in by it any more, its people's sessions end at their next refresh or when
    /// they are next asked for ([`Identity::people_ask`]), and what it said of them counts no more. It is there,
    /// deleting, until that is forgotten as well ([`Identity::upstream_end`]). Asking twice is the same as asking
    /// once.
    pub async fn upstream_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_platform::<Upstream>(name))
            .await?;
        anew(|| async {
            let upstream = self.store.expect::<Upstream>("", name).await?;
            upstream.meta.require_revision(revision)?;
            if upstream.is_deleting() {
                return Ok(());
            }
            let mut change = Change::new().by(caller);
            change.delete(&upstream)?;
            change.event(NewEvent::caused(
                "upstream.removed",
                upstream.key(),
                "",
                caller,
                Some(Outcome::Pass),
                json!({}),
            ));
            self.store.commit(change).await?;
            self.view.current().await
        })
        .await
    }

    /// The upstream of this name, unless there is none, or it is being removed.
    pub(super) async fn upstream_there(&self, name: &str) -> Result<Option<Resource<Upstream>>> {
        let found = self.store.get::<Upstream>("", name).await?;
        Ok(found.filter(|upstream| !upstream.is_deleting()))
    }

    /// The upstreams that people may choose from: name and title.
    pub(super) async fn upstreams(&self) -> Result<Vec<(String, String)>> {
        let all = self.store.list_all::<Upstream>(&Query::default()).await?;
        Ok(all
            .into_iter()
            .filter(|upstream| !upstream.is_deleting())
            .map(|upstream| (upstream.meta.name, upstream.spec.title))
            .collect())
    }

    /// What asks the upstream of this name. None where there is none.
    async fn upstream(&self, name: &str) -> Result<Option<Box<dyn UpstreamSource>>> {
        let Some(upstream) = self.upstream_there(name).await? else {
            return Ok(None);
        };
        let secret = self.store.secret(upstream.meta.uid, SECRET).await?;
        let (outbound, client_id) = (self.outbound.clone(), upstream.spec.client_id);
        Ok(Some(match upstream.spec.provider {
            UpstreamKind::Oidc {
                issuer,
                groups_claim,
                scopes,
            } => Box::new(Oidc {
                outbound,
                client_id,
                client_secret: secret,
                issuer,
                groups_claim,
                scopes,
                fresh: self.settings.lifetimes.device,
                now: self.clock.now(),
            }),
            UpstreamKind::Github { org, url, api_url } => Box::new(GitHub {
                outbound,
                client_id,
                client_secret: secret.unwrap_or_else(|| Secret::from("")),
                org,
                url,
                api_url,
            }),
        }))
    }

    /// The source of people who have logged in by the upstream `name`.
    pub(super) async fn upstream_source(
        &self,
        name: &str,
    ) -> std::result::Result<Box<dyn UpstreamSource>, SourceError> {
        let found = self.upstream(name).await.map_err(SourceError::Away)?;
        found.ok_or_else(|| SourceError::Unasked(format!("nobody logs in by `{name}` any more")))
    }

    /// The groups of somebody who has logged in by an upstream, as it says now.
    pub(super) async fn upstream_membership(
        &self,
        login: &Login,
    ) -> std::result::Result<Membership, SourceError> {
        let asking = Asking {
            source: self.upstream_source(&login.source).await?,
            login: login.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
        };
        // In a task of its own: where whoever asked goes away, what the upstream has given in place of
        // the token before must still be kept.
        match tokio::spawn(asking.ask()).await {
            Ok(membership) => membership,
            Err(error) => Err(SourceError::Away(Error::internal(
                "an upstream was not asked to the end",
                error,
            ))),
        }
    }

    /// Forgets what asks the upstream for the groups of a session that ends with `change`, unless its
    /// browser or another session asks with the same.
    pub(super) async fn upstream_forget(
        &self,
        change: &mut Change,
        ended: &Record<Session>,
    ) -> Result<()> {
        let login = &ended.value.login;
        let Some(name) = &login.upstream else {
            return Ok(());
        };
        if let Some(browser) = &login.browser
            && self.store.record::<Browser>(browser).await?.is_some()
        {
            return Ok(());
        }
        let prefix = sessions_of(&login.subject);
        let others = self.store.records::<Session>(&prefix).await?;
        let is_used = others.iter().any(|other| {
            other.name != ended.name && other.value.login.upstream.as_ref() == Some(name)
        });
        if !is_used && let Some(grant) = self.store.record::<UpstreamGrant>(name).await? {
            change.take(&grant);
        }
        Ok(())
    }

    fn callback(&self, upstream: &str) -> String {
        format!("{}/login/{upstream}/callback", self.settings.issuer)
    }

    /// Sends a person from a login page to an upstream: an address for the browser to go to.
    pub(crate) async fn upstream_visit(
        &self,
        name: &str,
        page: &str,
        cookie: Option<&str>,
        address: &str,
    ) -> Result<String, Refusal> {
        self.login_page(page, cookie).await?;
        self.opening(address)?;
        let upstream = self.upstream(name).await?.ok_or_else(|| {
            Refusal::request(format!("nobody logs in by `{}` here", name.escape_debug()))
        })?;
        let visit = Visit {
            state: random_token()?,
            nonce: random_token()?,
            verifier: random_token()?,
            redirect_uri: self.callback(name),
        };
        let location = upstream.visit(&visit).await?;
        let expires = after(self.clock.now(), self.settings.lifetimes.login);
        let mut change = kernel::Change::new();
        change.keep(&Record::new(
            digest(&visit.state),
            expires,
            UpstreamVisit {
                page: page.into(),
                upstream: name.into(),
                nonce: visit.nonce,
                verifier: visit.verifier,
            },
        ))?;
        self.store.commit(change).await?;
        Ok(location.into())
    }

    /// Takes in a person who comes back from an upstream.
    pub(crate) async fn upstream_arrived(
        &self,
        name: &str,
        state: &str,
        outcome: std::result::Result<Secret, String>,
        cookie: Option<&str>,
    ) -> Result<Entered, Refusal> {
        let unknown = || Refusal::request("nobody was sent there from here: begin again");
        let record = self.store.record::<UpstreamVisit>(&digest(state)).await?;
        let record = record
            .filter(|record| record.value.upstream == name && record.expires > self.clock.now())
            .ok_or_else(unknown)?;
        // The browser that was sent, and no other: a link cannot log somebody in as somebody else.
        let page = self.login_page(&record.value.page, cookie).await?;
        let mut change = kernel::Change::new();
        change.take(&record);
        match self.store.commit(change).await {
            Ok(_) => {}
            // Somebody came back by the same link before.
            Err(error) if error.kind == ErrorKind::Conflict => return Err(unknown()),
            Err(error) => return Err(error.into()),
        }
        let code = outcome.map_err(|why| {
            Refusal::new(
                RefusalCode::AccessDenied,
                format!("`{name}` refused the login: {why}"),
            )
        })?;
        let upstream = self.upstream(name).await?.ok_or_else(unknown)?;
        let visit = Visit {
            state: state.into(),
            nonce: record.value.nonce,
            verifier: record.value.verifier,
            redirect_uri: self.callback(name),
        };
        let log_place = self.store.head().await?;
        let arrival = upstream.arrived(&visit, code).await?;
        let (login, token) = arrival.login(name, self.clock.now(), log_place)?;
        self.login_enter(page, login, token).await
    }
}

/// How long one refresh may use an upstream's token before others take it for killed: longer than a
/// request may take.
const TAKEN: Duration = Duration::from_secs(60);

/// Between two looks whether it is free.
const LOOK: Duration = Duration::from_millis(20);

/// One question to an upstream about somebody's groups.
struct Asking {
    source: Box<dyn UpstreamSource>,
    login: Login,
    store: Store,
    clock: Clock,
}

impl Asking {
    async fn ask(self) -> std::result::Result<Membership, SourceError> {
        let Some(name) = &self.login.upstream else {
            return self.source.groups(&self.login, None).await;
        };
        let Some(grant) = self.take(name).await.map_err(SourceError::Away)? else {
            // Whoever was not asked has refused nobody.
            return Err(SourceError::Unasked(
                "this login has ended meanwhile: log in again".into(),
            ));
        };
        let token = Secret::from(grant.value.token.as_str());
        let answer = self.source.groups(&self.login, Some(&token)).await;
        let new = match &answer {
            Ok(membership) => membership
                .upstream_token
                .as_ref()
                .and_then(Secret::expose_str),
            Err(_) => None,
        };
        let given_back = self.give_back(name, new).await;
        // What was answered counts; but with a new token that is lost, nobody could ask again.
        match given_back {
            Err(error) if new.is_some() => Err(SourceError::Away(error)),
            Err(error) => {
                tracing::warn!(
                    chain = error.chain(),
                    "an upstream's token stays taken for a while"
                );
                answer
            }
            Ok(()) => answer,
        }
    }

    /// The token, for this refresh alone. None where there is none.
    async fn take(&self, name: &str) -> Result<Option<Record<UpstreamGrant>>> {
        let begun = Instant::now();
        loop {
            let Some(mut grant) = self.store.record::<UpstreamGrant>(name).await? else {
                return Ok(None);
            };
            let now = self.clock.now();
            let free = grant.value.taken_until.is_none_or(|until| until <= now);
            if free {
                grant.value.taken_until = Some(after(now, TAKEN));
                let mut change = Change::new();
                change.keep(&grant)?;
                match self.store.commit(change).await {
                    Ok(_) => return Ok(Some(grant)),
                    // Another refresh was first.
                    Err(error) if error.kind == ErrorKind::Conflict => {}
                    Err(error) => return Err(error),
                }
            }
            if begun.elapsed() > TAKEN {
                return Err(Error::unavailable(
                    "another refresh waits for the upstream for long",
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Lets others have the token, or the one that has come in its place.
    async fn give_back(&self, name: &str, new: Option<&str>) -> Result<()> {
        anew(|| async {
            let Some(mut grant) = self.store.record::<UpstreamGrant>(name).await? else {
                // Logged out meanwhile.
                return Ok(());
            };
            grant.value.taken_until = None;
            if let Some(new) = new {
                new.clone_into(&mut grant.value.token);
            }
            let mut change = Change::new();
            change.keep(&grant)?;
            self.store.commit(change).await.map(drop)
        })
        .await
    }
}
