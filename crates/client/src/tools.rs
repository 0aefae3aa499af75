//! The register of tools.

use delivery::api::ListQuery;
use kernel::{Document, Page};
use reqwest::Method;
use teams::api::ToolView;

use crate::{Client, Result, request::protocol};

impl Client {
    /// `GET platforms/tools`: each with what is found about it.
    pub async fn tools(&self, page: &ListQuery) -> Result<Page<ToolView>> {
        let call = self.call(Method::GET, &["platforms", "tools"]).query(page);
        let page: Page<Document> = call.read().await?;
        let items = page.items.into_iter().map(ToolView::read);
        Ok(Page {
            items: items
                .collect::<kernel::Result<_>>()
                .map_err(|e| protocol(self, e.chain()))?,
            next: page.next,
        })
    }

    /// `GET platforms/tools/{name}`
    pub async fn tool(&self, name: &str) -> Result<ToolView> {
        let call = self.call(Method::GET, &["platforms", "tools", name]);
        let document: Document = call.read().await?;
        ToolView::read(document).map_err(|e| protocol(self, e.chain()))
    }

    /// `DELETE platforms/tools/{name}`, done at once: the tool stays as it is, and nobody is reminded of its
    /// credentials.
    pub async fn delete_tool(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["platforms", "tools", name])
            .done()
            .await
    }
}
