//! A team's secrets.

use kernel::Page;
use reqwest::Method;
use secrets::{
    api::{PutSecret, RevealedSecret, RotateSecrets, RotatedSecrets, SecretsQuery, ValueQuery},
    model::{SecretInfo, SecretRef},
};

use crate::{Client, Result};

fn path(secret: &SecretRef) -> [&str; 4] {
    let (team, name) = (secret.team.as_str(), secret.name.as_str());
    ["teams", team, "secrets", name]
}

impl Client {
    /// `GET teams/{team}/secrets`: what is known of them, without their values.
    pub async fn secrets(&self, team: &str, query: &SecretsQuery) -> Result<Page<SecretInfo>> {
        self.call(Method::GET, &["teams", team, "secrets"])
            .query(query)
            .read()
            .await
    }

    /// `GET teams/{team}/secrets/{name}`: what is known of one, without its value.
    pub async fn secret(&self, secret: &SecretRef) -> Result<SecretInfo> {
        self.call(Method::GET, &path(secret)).read().await
    }

    /// `GET teams/{team}/secrets/{name}/value`: of the newest version, or of this one. Recorded.
    ///
    /// # Errors
    /// `NotFound` also where it has no such version.
    pub async fn secret_value(
        &self,
        secret: &SecretRef,
        version: Option<u64>,
    ) -> Result<RevealedSecret> {
        let [teams, team, secrets, name] = path(secret);
        self.call(Method::GET, &[teams, team, secrets, name, "value"])
            .query(&ValueQuery { version })
            .read()
            .await
    }

    /// `PUT teams/{team}/secrets/{name}`: a further version, at once. With `expected`, only while that is the
    /// newest; 0: while there is none.
    ///
    /// # Errors
    /// `Conflict` where another version than `expected` is the newest, and where it is the platform's own: a deploy
    /// credential.
    pub async fn put_secret(
        &self,
        secret: &SecretRef,
        put: &PutSecret,
        expected: Option<u64>,
    ) -> Result<SecretInfo> {
        self.call(Method::PUT, &path(secret))
            .if_match(expected.map(|version| i64::try_from(version).unwrap_or(i64::MAX)))
            .json(put)
            .read()
            .await
    }

    /// `DELETE teams/{team}/secrets/{name}`, with all versions, for ever and at once.
    ///
    /// # Errors
    /// `Conflict` where it is the platform's own: a deploy credential.
    pub async fn delete_secret(&self, secret: &SecretRef) -> Result<()> {
        self.call(Method::DELETE, &path(secret)).done().await
    }

    /// `POST teams/{team}/secret-rotations`: new values for what lies at `path`, where the platform draws them;
    /// done at once.
    ///
    /// # Errors
    /// `NotFound` where there is none at `path`. Where not one could be rotated, as the first of them failed; where
    /// some could not, the answer says so of each.
    pub async fn rotate_secrets(&self, team: &str, path: &str) -> Result<RotatedSecrets> {
        let body = RotateSecrets { path: path.into() };
        self.call(Method::POST, &["teams", team, "secret-rotations"])
            .json(&body)
            .read()
            .await
    }
}
