//! Vault's Transit engine: encrypts the platform's key by one that never leaves Vault.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::{Error, Result, Secret, sealer::Kms};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    VaultConfig,
    client::{Answer, Client},
    wire::Wrapped,
};

/// A key of the Transit engine, mounted at `transit`.
pub struct Transit {
    client: Client,
    url: String,
    key: String,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: String,
}

impl Transit {
    /// The key `key` of the Vault that `config` names. Asks nothing of it yet.
    pub fn new(config: &VaultConfig, key: &str) -> Result<Self> {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.is_empty() || !key.chars().all(inner) {
            return Err(Error::invalid(
                "the name of a Transit key is letters, digits, `-`, `_` and `.`",
            )
            .remedy("name one that `vault list transit/keys` lists"));
        }
        Ok(Self {
            client: Client::new(config)?,
            url: config.url.clone(),
            key: key.into(),
        })
    }

    fn missing(&self) -> Error {
        Error::unavailable(format!("{} does not exist", self.name())).remedy(format!(
            "make it: vault secrets enable transit; vault write -f transit/keys/{}",
            self.key
        ))
    }
}

#[async_trait]
impl Kms for Transit {
    fn name(&self) -> String {
        format!("Transit key `{}` of {}", self.key, self.url)
    }

    async fn wrap(&self, key: &Secret) -> Result<String> {
        let path = format!("transit/encrypt/{}", self.key);
        let body = json!({ "plaintext": STANDARD.encode(key.expose()) });
        match self
            .client
            .call(Method::POST, &path, &[], Some(&body))
            .await?
        {
            Answer::Done(Wrapped {
                data: Encrypted { ciphertext },
            }) => Ok(ciphertext),
            _ => Err(self.missing()),
        }
    }

    async fn unwrap(&self, wrapped: &Secret) -> Result<Secret> {
        let path = format!("transit/decrypt/{}", self.key);
        let body = json!({ "ciphertext": wrapped.text()? });
        let answer = self
            .client
            .call(Method::POST, &path, &[], Some(&body))
            .await?;
        let Answer::Done(Wrapped {
            data: Decrypted { plaintext },
        }) = answer
        else {
            return Err(self.missing());
        };
        STANDARD
            .decode(plaintext)
            .map(Secret::new)
            .map_err(|_| Error::internal("Vault's Transit engine answered no base64", self.name()))
    }
}
