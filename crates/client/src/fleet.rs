//! Clusters.

use ::fleet::{api::NewCluster, model::Cluster};
use kernel::{Page, Resource, http::PageQuery};
use reqwest::Method;

use crate::{Client, Result};

impl Client {
    /// `GET clusters`
    pub async fn clusters(&self, page: &PageQuery) -> Result<Page<Resource<Cluster>>> {
        self.call(Method::GET, &["clusters"])
            .query(page)
            .page()
            .await
    }

    /// `GET clusters/{name}`
    pub async fn cluster(&self, name: &str) -> Result<Resource<Cluster>> {
        self.call(Method::GET, &["clusters", name]).resource().await
    }

    /// `PUT clusters/{name}`: makes it known, or writes what is said of it, whole and at once. With `revision`,
    /// only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where another is the default already.
    pub async fn put_cluster(
        &self,
        name: &str,
        new: &NewCluster,
        revision: Option<i64>,
    ) -> Result<Resource<Cluster>> {
        self.call(Method::PUT, &["clusters", name])
            .if_match(revision)
            .json(new)
            .resource()
            .await
    }

    /// `DELETE clusters/{name}`, done at once; the cluster itself is not touched. With `revision`, only while it
    /// is at that revision.
    pub async fn delete_cluster(&self, name: &str, revision: Option<i64>) -> Result<()> {
        self.call(Method::DELETE, &["clusters", name])
            .if_match(revision)
            .done()
            .await
    }
}
