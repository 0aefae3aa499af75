//! What calls by itself: a team's service accounts with their keys, and the tokens of other issuers that
//! stand for them.

use delivery::api::ListQuery;
use kernel::{Document, Page};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Client, Result};

/// A key that was drawn, whole, this once. It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawnKey {
    /// Names it.
    pub id: String,
    /// The `client_id` that goes with it: `TEAM/NAME`.
    pub client_id: String,
    /// The key itself.
    pub client_secret: String,
    /// The keys that are valid from now on, the newest first.
    pub valid: Vec<String>,
    /// The key that has ended because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

fn accounts<'a>(team: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    of_team(team, "service-accounts", below)
}

fn trusts<'a>(team: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    of_team(team, "workload-trusts", below)
}

fn of_team<'a>(team: &'a str, what: &'a str, below: &[&'a str]) -> Vec<&'a str> {
    let base = ["identity", "teams", team, what];
    base.into_iter().chain(below.iter().copied()).collect()
}

impl Client {
    /// `GET identity/teams/{team}/service-accounts`
    pub async fn service_accounts(&self, team: &str, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &accounts(team, &[]))
            .query(query)
            .read()
            .await
    }

    /// `GET identity/teams/{team}/service-accounts/{name}`: with its keys' ids, and no key.
    pub async fn service_account(&self, team: &str, name: &str) -> Result<Document> {
        self.call(Method::GET, &accounts(team, &[name]))
            .read()
            .await
    }

    /// `PUT identity/teams/{team}/service-accounts/{name}`: makes it, or writes what it should be, at once. With
    /// `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where it would be for something else than it was made for.
    pub async fn put_service_account(
        &self,
        team: &str,
        name: &str,
        spec: &Value,
        revision: Option<i64>,
    ) -> Result<Document> {
        self.call(Method::PUT, &accounts(team, &[name]))
            .if_match(revision)
            .json(spec)
            .read()
            .await
    }

    /// `DELETE identity/teams/{team}/service-accounts/{name}`, done at once, as its keys and tokens end.
    ///
    /// # Errors
    /// `Conflict` while a trust stands for it.
    pub async fn delete_service_account(&self, team: &str, name: &str) -> Result<()> {
        self.call(Method::DELETE, &accounts(team, &[name]))
            .done()
            .await
    }

    /// `POST identity/teams/{team}/service-accounts/{name}/keys`: draws a key, which is answered this once. Two
    /// are valid; the older of two that were there ends.
    pub async fn draw_key(&self, team: &str, name: &str) -> Result<DrawnKey> {
        self.call(Method::POST, &accounts(team, &[name, "keys"]))
            .read()
            .await
    }

    /// `DELETE identity/teams/{team}/service-accounts/{name}/keys/{key}`: it and its tokens end at once.
    pub async fn revoke_key(&self, team: &str, name: &str, key: &str) -> Result<()> {
        self.call(Method::DELETE, &accounts(team, &[name, "keys", key]))
            .done()
            .await
    }

    /// `GET identity/teams/{team}/workload-trusts`
    pub async fn workload_trusts(&self, team: &str, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &trusts(team, &[]))
            .query(query)
            .read()
            .await
    }

    /// `GET identity/teams/{team}/workload-trusts/{name}`
    pub async fn workload_trust(&self, team: &str, name: &str) -> Result<Document> {
        self.call(Method::GET, &trusts(team, &[name])).read().await
    }

    /// `PUT identity/teams/{team}/workload-trusts/{name}`: makes it, or writes what it should be, at once. With
    /// `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Invalid` also where its claims leave nobody out. `NotFound` where its account is not there.
    pub async fn put_workload_trust(
        &self,
        team: &str,
        name: &str,
        spec: &Value,
        revision: Option<i64>,
    ) -> Result<Document> {
        self.call(Method::PUT, &trusts(team, &[name]))
            .if_match(revision)
            .json(spec)
            .read()
            .await
    }

    /// `DELETE identity/teams/{team}/workload-trusts/{name}`, done at once: tokens that were given for it end at
    /// the next call.
    pub async fn delete_workload_trust(&self, team: &str, name: &str) -> Result<()> {
        self.call(Method::DELETE, &trusts(team, &[name]))
            .done()
            .await
    }
}
