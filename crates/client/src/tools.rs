//! The register of tools.

use delivery::api::ListQuery;
use kernel::{Page, Resource};
use reqwest::Method;
use teams::model::Tool;

use crate::{Client, Result};

impl Client {
    /// `GET platforms/tools`: each with what is found about it.
    pub async fn tools(&self, page: &ListQuery) -> Result<Page<Resource<Tool>>> {
        self.call(Method::GET, &["platforms", "tools"])
            .query(page)
            .page()
            .await
    }

    /// `GET platforms/tools/{name}`
    pub async fn tool(&self, name: &str) -> Result<Resource<Tool>> {
        self.call(Method::GET, &["platforms", "tools", name])
            .resource()
            .await
    }

    /// `DELETE platforms/tools/{name}`: the tool stays as it is.
    pub async fn delete_tool(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["platforms", "tools", name])
            .done()
            .await
    }
}
