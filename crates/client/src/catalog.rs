//! Starter kits, and the repositories that they make.

use ::catalog::{
    api::{NewRepository, Repository},
    model::StarterKit,
};
use delivery::api::ListQuery;
use kernel::{Page, Resource};
use reqwest::Method;

use crate::{Client, Result};

impl Client {
    /// `GET starter-kits`
    pub async fn starter_kits(&self, page: &ListQuery) -> Result<Page<Resource<StarterKit>>> {
        self.call(Method::GET, &["starter-kits"])
            .query(page)
            .page()
            .await
    }

    /// `GET starter-kits/{name}`
    pub async fn starter_kit(&self, name: &str) -> Result<Resource<StarterKit>> {
        self.call(Method::GET, &["starter-kits", name])
            .resource()
            .await
    }

    /// `DELETE starter-kits/{name}`, done at once; one that came with the platform comes back at its next start.
    /// With `revision`, only while it is at that revision.
    pub async fn delete_starter_kit(&self, name: &str, revision: Option<i64>) -> Result<()> {
        self.call(Method::DELETE, &["starter-kits", name])
            .if_match(revision)
            .done()
            .await
    }

    /// `POST starter-kits/{name}/repositories`: the files of a new repository. The platform keeps none of it.
    ///
    /// # Errors
    /// `Invalid` also where the kit has no such option.
    pub async fn new_repository(&self, kit: &str, request: &NewRepository) -> Result<Repository> {
        self.call(Method::POST, &["starter-kits", kit, "repositories"])
            .json(request)
            .read()
            .await
    }
}
