//! The web portal: pages for people who would rather fill in a form.
//!
//! It is a client of the HTTP API like any other. Whoever visits logs in at the platform's own provider, by
//! authorization code with PKCE; what they do is done by their own access token, through the crate `client`,
//! and so the API's rules, its refusals and its audit trail are the portal's. Tokens stay on the server's side,
//! sealed in the store; a browser holds a cookie that stands for them, and no script runs in it.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod address;
mod failure;
pub mod http;
mod login;
mod pages;
mod session;
mod visitor;

use std::{sync::OnceLock, time::Duration};

use client::{Client, Provider};
use kernel::{Store, Turns};
use tokio::sync::OnceCell;

use self::failure::Failure;

/// The source of users and groups that the platform keeps itself.
const LOCAL: &str = "local";

/// What the portal is told by who starts it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where this very process serves the API: an address of this machine.
    pub api: String,
    /// Where users reach the platform, and what tokens name as their issuer.
    pub issuer: String,
    /// The portal's `client_id` at the provider.
    pub client_id: String,
    /// Where the provider sends codes: registered for that client.
    pub redirect_uri: String,
    /// How long a session lasts at the most: as long as the provider's do.
    pub session: Duration,
}

impl Settings {
    /// Whether browsers reach the platform by TLS.
    fn is_secure(&self) -> bool {
        self.issuer.starts_with("https://")
    }
}

/// The portal. One for the whole process; costs nothing before somebody visits.
pub struct Portal {
    store: Store,
    settings: Settings,
    client: OnceLock<Client>,
    provider: OnceCell<Provider>,
    /// Who renews a session has its turn, by the session's name: tabs of one browser do not all ask for the same.
    turns: Turns<String>,
}

impl Portal {
    /// What it says that it is.
    const PROGRAM: &str = concat!("towpath-portal/", env!("CARGO_PKG_VERSION"));

    /// Wires the portal to where its sessions are kept.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self {
            store,
            settings,
            client: OnceLock::new(),
            provider: OnceCell::new(),
            turns: Turns::default(),
        }
    }

    /// The client of the API, which calls for nobody yet.
    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = Client::beside(&self.settings.api, Self::PROGRAM)?;
        Ok(self.client.get_or_init(|| made))
    }

    /// The platform's provider.
    async fn provider(&self) -> Result<&Provider, client::Error> {
        let (api, id) = (&self.settings.api, &self.settings.client_id);
        self.provider
            .get_or_try_init(|| Provider::beside(api, id))
            .await
    }
}
