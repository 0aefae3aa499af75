//! Clients: those that Towpath has itself, and those that the organization adds.

use kernel::{
    Caller, Change, Error, ErrorKind, Name, NewEvent, Outcome, Resource, Result, Secret, Store,
    anew, outbound::why_no_url, secret::same,
};
use serde::Serialize;
use serde_json::json;
use url::Url;

use super::{Identity, access::of_platform};
use crate::{
    model::{OidcClient, OidcClientSpec},
    refusal::{Refusal, RefusalCode},
    settings::is_loopback,
    state::{digest, random_token},
};

/// The name of a client's secret among its secrets: only its digest is kept.
pub(super) const SECRET: &str = "secret";
/// The CLI's `client_id`.
pub const CLI: &str = "towpath-cli";
/// The portal's `client_id`.
pub const PORTAL: &str = "towpath-portal";
/// Where the portal is sent codes, below the issuer.
pub const PORTAL_CALLBACK: &str = "/portal/callback";

/// Makes the clients that Towpath has itself, where there are none. The portal is where the issuer is, and
/// nowhere else: its client is brought there when that moves.
pub(super) async fn install(store: &Store, issuer: &str) -> Result<()> {
    let loopback = ["http://127.0.0.1/callback", "http://[::1]/callback"];
    let cli = OidcClientSpec {
        description: "Towpath's command line".into(),
        redirect_uris: loopback.map(str::to_owned).to_vec(),
        device_grant: true,
        ..OidcClientSpec::default()
    };
    let portal = OidcClientSpec {
        description: "Towpath's portal".into(),
        redirect_uris: vec![format!("{issuer}{PORTAL_CALLBACK}")],
        ..OidcClientSpec::default()
    };
    install_one(store, CLI, cli, |_| false).await?;
    let moved = {
        let there = portal.redirect_uris.clone();
        move |before: &OidcClientSpec| before.redirect_uris != there
    };
    install_one(store, PORTAL, portal, moved).await
}

/// Makes the client `name`, or has it be so again where what there is `differs`.
async fn install_one(
    store: &Store,
    name: &str,
    spec: OidcClientSpec,
    differs: impl Fn(&OidcClientSpec) -> bool,
) -> Result<()> {
    let mut change = Change::new().by(&Caller::system("identity", uuid::Uuid::now_v7()));
    match store.get::<OidcClient>("", name).await? {
        None => change.create(&Resource::<OidcClient>::new("", name, spec))?,
        Some(mut client) if differs(&client.spec) => {
            client.spec = spec;
            change.spec(&client)?;
        }
        Some(_) => return Ok(()),
    }
    match store.commit(change).await {
        Ok(_) => Ok(()),
        // Another replica was first.
        Err(error) if matches!(error.kind, ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A secret that was drawn for a client, whole, once: it is not kept. It has no `Debug`.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewSecret {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
}

/// What a client is called where people decide on it: its description may be another's as well, its name
/// is its own.
pub(super) fn called(client: &Resource<OidcClient>) -> String {
    match client.spec.description.as_str() {
        "" => client.meta.name.clone(),
        description => format!("{description} ({})", client.meta.name),
    }
}

/// What a client says of itself.
#[derive(Clone, Default)]
pub struct ClientCredentials {
    /// Its `client_id`.
    pub id: String,
    /// Its secret, where it has one.
    pub secret: Option<Secret>,
}

/// Refuses what cannot be a client.
pub(super) fn client_check(spec: &OidcClientSpec) -> Result<()> {
    let uris = spec
        .redirect_uris
        .iter()
        .chain(&spec.post_logout_redirect_uris);
    for uri in uris {
        let url = Url::parse(uri).map_err(|error| {
            Error::invalid(format!("`{uri}` is not a URL: {}", why_no_url(error)))
        })?;
        let plain = url.scheme() == "http" && is_loopback(&url);
        if (url.scheme() != "https" && !plain) || url.fragment().is_some() {
            return Err(Error::invalid(format!(
                "`{uri}` is neither https nor on the loopback interface, or has a fragment"
            )));
        }
    }
    Ok(())
}

impl Identity {
    /// Makes a client, or writes what one should be.
    pub async fn client_put(
        &self,
        caller: &Caller,
        name: &str,
        spec: OidcClientSpec,
        revision: Option<i64>,
    ) -> Result<Resource<OidcClient>> {
        self.may_change(caller, &of_platform::<OidcClient>(name))
            .await?;
        let name = Name::new(name)?;
        client_check(&spec)?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let (written, _) = self
                .client_into(&mut change, caller, &name, &spec, revision)
                .await?;
            self.store.commit(change).await?.resource(&written.key())
        })
        .await
    }

    /// Writes a client into `change`; answers it, and whether it is new.
    pub(super) async fn client_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        name: &Name,
        spec: &OidcClientSpec,
        revision: Option<i64>,
    ) -> Result<(Resource<OidcClient>, bool)> {
        let before = self.store.get::<OidcClient>("", name.as_str()).await?;
        let mut client = before.unwrap_or_else(|| Resource::new("", name.as_str(), spec.clone()));
        client.meta.require_revision(revision)?;
        client.spec = spec.clone();
        let is_new = change.put(&client)?;
        let done = Some(Outcome::Pass);
        change.event(NewEvent::caused(
            "client.changed",
            client.key(),
            "",
            caller,
            done,
            json!({}),
        ));
        Ok((client, is_new))
    }

    /// Removes a client: its sessions end at their next refresh.
    pub async fn client_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_platform::<OidcClient>(name))
            .await?;
        anew(|| async {
            let client = self.store.expect::<OidcClient>("", name).await?;
            client.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            change.remove(&client)?;
            let done = Some(Outcome::Pass);
            change.event(NewEvent::caused(
                "client.removed",
                client.key(),
                "",
                caller,
                done,
                json!({}),
            ));
            self.store.commit(change).await?;
            Ok(())
        })
        .await
    }

    /// Draws a secret for a confidential client, in place of the one before.
    pub async fn client_secret(&self, caller: &Caller, name: &str) -> Result<NewSecret> {
        self.may_change(caller, &of_platform::<OidcClient>(name))
            .await?;
        let client_secret = random_token()?;
        anew(|| async {
            let mut client = self.store.expect::<OidcClient>("", name).await?;
            if !client.spec.confidential {
                return Err(
                    Error::conflict(format!("`{name}` is public: it keeps no secret"))
                        .remedy("a program on a server is confidential: say so in its spec"),
                );
            }
            client.status.has_secret = true;
            let mut change = Change::new().by(caller);
            change.status(&client)?;
            change.seal(
                client.meta.uid,
                SECRET,
                Secret::from(digest(&client_secret)),
            );
            let done = Some(Outcome::Pass);
            change.event(NewEvent::caused(
                "client.secret-drawn",
                client.key(),
                "",
                caller,
                done,
                json!({}),
            ));
            self.store.commit(change).await?;
            Ok(())
        })
        .await?;
        Ok(NewSecret {
            client_id: name.to_owned(),
            client_secret,
        })
    }

    /// The client `id`, whoever asks.
    pub(super) async fn client(&self, id: &str) -> Result<Resource<OidcClient>, Refusal> {
        let found = self.store.get::<OidcClient>("", id).await?;
        found.filter(|client| !client.is_deleting()).ok_or_else(|| {
            Refusal::new(
                RefusalCode::InvalidClient,
                "there is no client with this client_id",
            )
        })
    }

    /// The client that asks, having proved that it is: a confidential one by its secret.
    pub(super) async fn client_proved(
        &self,
        credentials: &ClientCredentials,
        address: &str,
    ) -> Result<Resource<OidcClient>, Refusal> {
        let client = self.client(&credentials.id).await?;
        if !client.spec.confidential {
            return Ok(client);
        }
        let kept = self.store.secret(client.meta.uid, SECRET).await?;
        let good = match (&kept, &credentials.secret) {
            (Some(kept), Some(given)) => same(kept.expose(), digest(given.expose())),
            _ => false,
        };
        if good {
            return Ok(client);
        }
        let refusal = Refusal::new(
            RefusalCode::InvalidClient,
            "the client's secret is missing or wrong",
        );
        Err(self.secret_refused(refusal, address).await)
    }
}
