//! Clients: those that Towpath has itself, and those that the organization adds.

use kernel::{Caller, Change, ErrorKind, Resource, Result, Secret, Store};

use super::Identity;
use crate::{
    model::{OidcClient, OidcClientSpec},
    refusal::{Refusal, RefusalCode},
    state::same,
};

/// The name of a client's secret among its secrets: only its digest is kept.
pub(super) const SECRET: &str = "secret";
/// The CLI's `client_id`.
pub const CLI: &str = "towpath-cli";

/// Makes the CLI's client, where there is none.
pub(super) async fn install(store: &Store) -> Result<()> {
    if store.get::<OidcClient>("", CLI).await?.is_some() {
        return Ok(());
    }
    let loopback = ["http://127.0.0.1/callback", "http://[::1]/callback"];
    let client = Resource::<OidcClient>::new(
        "",
        CLI,
        OidcClientSpec {
            description: "Towpath's command line".into(),
            redirect_uris: loopback.map(str::to_owned).to_vec(),
            device_grant: true,
            ..OidcClientSpec::default()
        },
    );
    let mut change = Change::new().by(&Caller::system("identity", uuid::Uuid::now_v7()));
    change.create(&client)?;
    match store.commit(change).await {
        Ok(_) => Ok(()),
        // Another replica was first.
        Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
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

impl Identity {
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
        let gates = Self::secret_gates(&credentials.id, address);
        self.attempts_left(&gates).await?;
        let kept = self.store.secret(client.meta.uid, SECRET).await?;
        let good = match (&kept, &credentials.secret) {
            (Some(kept), Some(given)) => same(
                kept.expose_str().unwrap_or_default(),
                &crate::state::digest(given.expose_str().unwrap_or_default()),
            ),
            _ => false,
        };
        if good {
            return Ok(client);
        }
        self.attempt_failed(&gates).await?;
        Err(Refusal::new(
            RefusalCode::InvalidClient,
            "the client's secret is missing or wrong",
        ))
    }
}
