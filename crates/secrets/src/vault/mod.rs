//! HashiCorp Vault, or OpenBao: teams' secrets in its key-value store (KV version 2).

mod client;
mod keep;
mod transit;
mod wire;

use std::{fmt, sync::Arc};

use kernel::{Error, Name, Result, Secret, Store};
use reqwest::Url;
use tokio::sync::Semaphore;

use self::client::Client;
pub use self::transit::Transit;
use crate::model::SecretRef;

/// How the platform proves itself to Vault.
#[derive(Clone)]
pub enum Login {
    /// By a token that somebody keeps alive.
    Token(Secret),
    /// By the auth method AppRole, which gives tokens that end.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// The role's id.
        role_id: String,
        /// The secret id that goes with it.
        secret_id: Secret,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::AppRole { .. } => "AppRole",
        })
    }
}

/// Where Vault is, and what of it is ours.
#[derive(Debug, Clone)]
pub struct VaultConfig {
    /// `https://vault.example.com:8200`.
    pub url: String,
    /// The namespace, where Vault has some.
    pub namespace: Option<String>,
    /// How the platform proves itself.
    pub login: Login,
    /// Where the key-value store is mounted: `secret`.
    pub mount: String,
    /// The path of a team's secrets there, with `{team}` in place of its name: `towpath/{team}`.
    pub path: String,
}

impl VaultConfig {
    /// What stands for the team's name in [`VaultConfig::path`].
    pub const TEAM: &str = "{team}";

    /// The usual places, at `url`.
    pub fn new(url: impl Into<String>, login: Login) -> Self {
        Self {
            url: url.into(),
            namespace: None,
            login,
            mount: "secret".into(),
            path: "towpath/{team}".into(),
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<()> {
        self.address()?;
        let words = |path: &str| {
            !path.is_empty() && path.split('/').all(|word| !matches!(word, "" | "." | ".."))
        };
        if !words(&self.mount) || !words(&self.path) {
            return Err(
                Error::invalid("mount and path in Vault are words joined by single `/`")
                    .remedy("give a mount like `secret`, and a path like `towpath/{team}`"),
            );
        }
        let of_team = |word: &str| word.contains(Self::TEAM);
        if self.path.split('/').filter(|word| of_team(word)).count() != 1 {
            return Err(Error::invalid(
                "the path of teams' secrets in Vault has no place for the team's name, or several",
            )
            .remedy("give a path like `towpath/{team}`"));
        }
        Ok(())
    }

    fn address(&self) -> Result<Url> {
        let wrong = |why: &str| {
            Error::invalid(format!("Vault's address {why}"))
                .remedy("give it as https://HOST:PORT, without a user or password")
        };
        let url = Url::parse(&self.url).map_err(|_| wrong("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds a user or password"));
        }
        Ok(url)
    }
}

/// Secrets in Vault. What others read or write there by Vault's own means is the same.
///
/// A value is the field `value` of its version's data, which is how others read it; one that is no text
/// is in base64, and `encoding` says so. What is said of a secret is in its custom metadata.
#[derive(Clone)]
pub struct Vault {
    client: Client,
    /// The platform's store: events.
    store: Store,
    mount: String,
    path: String,
    /// Looks at single secrets that lists have under way.
    looks: Arc<Semaphore>,
}

impl Vault {
    /// Secrets where `config` says. Asks nothing of Vault yet; events go into `store`.
    pub fn new(config: &VaultConfig, store: Store) -> Result<Self> {
        config.check()?;
        Ok(Self {
            client: Client::new(config)?,
            store,
            mount: config.mount.clone(),
            path: config.path.clone(),
            looks: Arc::new(Semaphore::new(keep::AT_ONCE)),
        })
    }

    /// The path of a team's secrets below `part` (`data` or `metadata`) of the mount.
    fn team_path(&self, part: &str, team: &Name) -> String {
        let path = self.path.replace(VaultConfig::TEAM, team.as_str());
        format!("{}/{part}/{path}", self.mount)
    }

    /// The path of one secret.
    fn secret_path(&self, part: &str, secret: &SecretRef) -> String {
        format!("{}/{}", self.team_path(part, &secret.team), secret.name)
    }
}
