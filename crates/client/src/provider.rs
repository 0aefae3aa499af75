//! What the platform's OpenID provider is told: programs that log people in, and where people are.

use delivery::api::ListQuery;
use kernel::{Document, Page, Secret};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Client, Result};

/// A secret that was drawn for a program, whole, this once. It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgramSecret {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
}

/// What is kept sealed beside an upstream; what is not given stays.
#[derive(Default)]
pub struct UpstreamSecrets {
    /// The platform's secret there.
    pub secret: Option<Secret>,
    /// What lists its groups and their members; an empty one takes the present one away.
    pub directory_token: Option<Secret>,
}

impl Client {
    /// `GET identity/clients`
    pub async fn oidc_clients(&self, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &["identity", "clients"])
            .query(query)
            .read()
            .await
    }

    /// `GET identity/clients/{name}`
    pub async fn oidc_client(&self, name: &str) -> Result<Document> {
        self.call(Method::GET, &["identity", "clients", name])
            .read()
            .await
    }

    /// `PUT identity/clients/{name}`: makes a program known, or writes what it may do, at once. With `revision`,
    /// only while it is at that revision.
    pub async fn put_oidc_client(
        &self,
        name: &str,
        spec: &Value,
        revision: Option<i64>,
    ) -> Result<Document> {
        self.call(Method::PUT, &["identity", "clients", name])
            .if_match(revision)
            .json(spec)
            .read()
            .await
    }

    /// `DELETE identity/clients/{name}`, done at once: its sessions end at their next refresh.
    pub async fn delete_oidc_client(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["identity", "clients", name])
            .done()
            .await
    }

    /// `POST identity/clients/{name}/secrets`: draws a secret, in place of the one before, which ends at once.
    ///
    /// # Errors
    /// `Conflict` where the program is public.
    pub async fn draw_client_secret(&self, name: &str) -> Result<ProgramSecret> {
        self.call(Method::POST, &["identity", "clients", name, "secrets"])
            .read()
            .await
    }

    /// `GET identity/upstreams`
    pub async fn upstreams(&self, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &["identity", "upstreams"])
            .query(query)
            .read()
            .await
    }

    /// `GET identity/upstreams/{name}`
    pub async fn upstream(&self, name: &str) -> Result<Document> {
        self.call(Method::GET, &["identity", "upstreams", name])
            .read()
            .await
    }

    /// `PUT identity/upstreams/{name}`: makes it, or writes what it should be, at once. With `revision`, only
    /// while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also while it is being removed.
    pub async fn put_upstream(
        &self,
        name: &str,
        spec: &Value,
        secrets: &UpstreamSecrets,
        revision: Option<i64>,
    ) -> Result<Document> {
        let text = |secret: &Option<Secret>| {
            let text = secret.as_ref().map(Secret::text).transpose();
            text.map(|text| text.map(str::to_owned))
        };
        self.call(Method::PUT, &["identity", "upstreams", name])
            .if_match(revision)
            .json(&json!({
                "spec": spec,
                "secret": text(&secrets.secret)?,
                "directoryToken": text(&secrets.directory_token)?,
            }))
            .read()
            .await
    }

    /// `DELETE identity/upstreams/{name}`: asks for the removal; nobody logs in by it from now on, its people's
    /// sessions end at their next refresh or when the platform next asks for them (within about ten minutes), and it
    /// is done once it is not found any more.
    pub async fn delete_upstream(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["identity", "upstreams", name])
            .done()
            .await
    }
}
