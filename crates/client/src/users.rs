//! Users and groups of the local source.

use delivery::api::ListQuery;
use kernel::{Document, Page};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{Client, Result};

impl Client {
    /// `GET identity/users`
    pub async fn users(&self, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &["identity", "users"])
            .query(query)
            .read()
            .await
    }

    /// `GET identity/users/{name}`
    pub async fn user(&self, name: &str) -> Result<Document> {
        self.call(Method::GET, &["identity", "users", name])
            .read()
            .await
    }

    /// `PUT identity/users/{name}`: what a user should be, at once; without a password the present one stays,
    /// with one every session that began with another ends. With `revision`, only while it is at that revision.
    pub async fn put_user(
        &self,
        name: &str,
        spec: &Value,
        password: Option<&str>,
        revision: Option<i64>,
    ) -> Result<Document> {
        self.call(Method::PUT, &["identity", "users", name])
            .if_match(revision)
            .json(&json!({ "spec": spec, "password": password }))
            .read()
            .await
    }

    /// `DELETE identity/users/{name}`, done at once: every session of theirs ends, and they are in no group any
    /// more.
    pub async fn delete_user(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["identity", "users", name])
            .done()
            .await
    }

    /// `GET identity/groups`
    pub async fn groups(&self, query: &ListQuery) -> Result<Page<Document>> {
        self.call(Method::GET, &["identity", "groups"])
            .query(query)
            .read()
            .await
    }

    /// `GET identity/groups/{name}`
    pub async fn group(&self, name: &str) -> Result<Document> {
        self.call(Method::GET, &["identity", "groups", name])
            .read()
            .await
    }

    /// `PUT identity/groups/{name}`: who belongs to a group, from the next call on. With `revision`, only while
    /// it is at that revision.
    ///
    /// # Errors
    /// `Invalid` also where it names somebody who is no user.
    pub async fn put_group(
        &self,
        name: &str,
        spec: &Value,
        revision: Option<i64>,
    ) -> Result<Document> {
        self.call(Method::PUT, &["identity", "groups", name])
            .if_match(revision)
            .json(spec)
            .read()
            .await
    }

    /// `PUT identity/groups/{name}/members/{user}`: the group is made where it is not there.
    ///
    /// # Errors
    /// `Invalid` where there is no such user.
    pub async fn put_group_member(&self, name: &str, user: &str) -> Result<()> {
        let path = ["identity", "groups", name, "members", user];
        self.call(Method::PUT, &path).done().await
    }

    /// `DELETE identity/groups/{name}/members/{user}`
    ///
    /// # Errors
    /// `NotFound` also where they are not in it.
    pub async fn delete_group_member(&self, name: &str, user: &str) -> Result<()> {
        let path = ["identity", "groups", name, "members", user];
        self.call(Method::DELETE, &path).done().await
    }

    /// `DELETE identity/groups/{name}`, done at once: who was in it by that alone is refused from the next call
    /// on.
    ///
    /// # Errors
    /// `Invalid` where it is a team's, and `confirm` is not its name once more.
    pub async fn delete_group(&self, name: &str, confirm: Option<&str>) -> Result<()> {
        self.call(Method::DELETE, &["identity", "groups", name])
            .query(&[("confirm", confirm)])
            .done()
            .await
    }
}
