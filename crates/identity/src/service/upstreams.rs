//! Upstreams: configured, visited, and asked for groups.

use kernel::{
    Caller, Change, Error, Name, NewEvent, Outcome, Query, Record, Resource, Result, Secret, anew,
};
use serde_json::json;

use super::{Entered, Identity, authorize_platform, written};
use crate::{
    clock::after,
    model::{Upstream, UpstreamKind, UpstreamSpec},
    refusal::{Refusal, RefusalCode},
    source::{
        Membership, SourceError,
        github::GitHub,
        local::LOCAL,
        oidc::Oidc,
        upstream::{UpstreamSource, Visit},
    },
    state::{Login, UpstreamGrant, UpstreamVisit, digest, random_token},
    verify::ACCOUNT,
};

/// The name of our secret at an upstream among its secrets.
const SECRET: &str = "client-secret";

impl Identity {
    /// Makes an upstream, or writes what one should be. A secret that is given replaces the one before.
    pub async fn upstream_put(
        &self,
        caller: &Caller,
        name: &str,
        spec: UpstreamSpec,
        secret: Option<Secret>,
        revision: Option<i64>,
    ) -> Result<Resource<Upstream>> {
        authorize_platform(caller, "change where people log in")?;
        let name = Name::new(name)?;
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
        anew(|| async {
            let before = self.store.get::<Upstream>("", name.as_str()).await?;
            let is_new = before.is_none();
            let mut upstream = match before {
                Some(upstream) => upstream,
                None => Resource::new("", name.as_str(), spec.clone()),
            };
            upstream.meta.require_revision(revision)?;
            upstream.spec = spec.clone();
            let mut change = Change::new().by(caller);
            if is_new {
                change.create(&upstream)?;
            } else {
                change.spec(&upstream)?;
            }
            if let Some(secret) = secret.clone() {
                change.seal(upstream.meta.uid, SECRET, secret);
            }
            change.event(NewEvent::caused(
                "upstream.changed",
                upstream.key(),
                "",
                caller,
                Some(Outcome::Pass),
                json!({ "secret": secret.is_some() }),
            ));
            written(self.store.commit(change).await?)
        })
        .await
    }

    /// Removes an upstream: its people's sessions end at their next refresh.
    pub async fn upstream_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        authorize_platform(caller, "change where people log in")?;
        let upstream = self.store.expect::<Upstream>("", name).await?;
        upstream.meta.require_revision(revision)?;
        let mut change = Change::new().by(caller);
        change.remove(&upstream)?;
        change.event(NewEvent::caused(
            "upstream.removed",
            upstream.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({}),
        ));
        self.store.commit(change).await?;
        Ok(())
    }

    /// The upstreams that people may choose from: name and title.
    pub(super) async fn upstreams(&self) -> Result<Vec<(String, String)>> {
        let all = self.store.list_all::<Upstream>(&Query::default()).await?;
        Ok(all
            .into_iter()
            .map(|upstream| (upstream.meta.name, upstream.spec.title))
            .collect())
    }

    /// The upstream of this name. None where there is none.
    async fn upstream(&self, name: &str) -> Result<Option<Box<dyn UpstreamSource>>> {
        let Some(upstream) = self.store.get::<Upstream>("", name).await? else {
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
        found.ok_or_else(|| SourceError::Gone(format!("nobody logs in by `{name}` any more")))
    }

    /// The groups of somebody who has logged in by an upstream, as it says now.
    pub(super) async fn upstream_membership(
        &self,
        login: &Login,
    ) -> std::result::Result<Membership, SourceError> {
        let source = self.upstream_source(&login.source).await?;
        let mut asked_with = None;
        loop {
            let grant = match &login.upstream {
                Some(name) => {
                    let found = self.store.record::<UpstreamGrant>(name).await;
                    found.map_err(SourceError::Away)?
                }
                None => None,
            };
            let version = grant.as_ref().map(|grant| grant.version);
            let token = grant
                .as_ref()
                .map(|grant| Secret::from(grant.value.token.as_str()));
            match source.groups(login, token.as_ref()).await {
                Ok(membership) => {
                    if let (Some(grant), Some(token)) = (grant, &membership.upstream_token) {
                        self.upstream_token_keep(grant, token).await?;
                    }
                    return Ok(membership);
                }
                // Another session may have used the token in between, and have a newer one.
                Err(SourceError::Gone(_)) if version.is_some() && version != asked_with => {
                    asked_with = version;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn upstream_token_keep(
        &self,
        mut grant: Record<UpstreamGrant>,
        token: &str,
    ) -> std::result::Result<(), SourceError> {
        token.clone_into(&mut grant.value.token);
        let mut change = kernel::Change::new();
        let kept = change.keep(&grant);
        let kept = match kept {
            Ok(()) => self.store.commit(change).await.map(drop),
            Err(error) => Err(error),
        };
        match kept {
            // Another session's token is as good.
            Err(error) if error.kind == kernel::ErrorKind::Conflict => Ok(()),
            kept => kept.map_err(SourceError::Away),
        }
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
    ) -> Result<String, Refusal> {
        self.login_page(page, cookie).await?;
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
        self.store.commit(change).await.map_err(|_| unknown())?;
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
        let arrival = upstream.arrived(&visit, code).await?;
        let (login, token) = arrival.login(name, self.clock.now());
        self.login_enter(page, login, token).await
    }
}
