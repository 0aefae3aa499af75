//! Tools that are kept in step with teams.

use delivery::api::ListQuery;
use kernel::{Page, Resource};
use reqwest::Method;
use teams::{
    api::NewIntegration,
    model::{Integration, IntegrationState},
};

use crate::{Client, Result};

impl Client {
    /// `GET platforms/integrations`
    pub async fn integrations(&self, page: &ListQuery) -> Result<Page<Resource<Integration>>> {
        self.call(Method::GET, &["platforms", "integrations"])
            .query(page)
            .page()
            .await
    }

    /// `GET platforms/integrations/{name}`
    pub async fn integration(&self, name: &str) -> Result<Resource<Integration>> {
        self.call(Method::GET, &["platforms", "integrations", name])
            .resource()
            .await
    }

    /// `PUT platforms/integrations/{name}`: makes it, or writes what it should be, at once; how far it is with
    /// each team then, [`Client::integration_teams`] says. With `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where its type would be another.
    pub async fn put_integration(
        &self,
        name: &str,
        new: &NewIntegration,
        revision: Option<i64>,
    ) -> Result<Resource<Integration>> {
        self.call(Method::PUT, &["platforms", "integrations", name])
            .if_match(revision)
            .json(new)
            .resource()
            .await
    }

    /// `DELETE platforms/integrations/{name}`, done at once: the tool stays as it is, and is looked at no more.
    pub async fn delete_integration(&self, name: &str) -> Result<()> {
        self.call(Method::DELETE, &["platforms", "integrations", name])
            .done()
            .await
    }

    /// `GET platforms/integrations/{name}/teams`: how far it is with each team.
    pub async fn integration_teams(
        &self,
        name: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<IntegrationState>>> {
        self.call(Method::GET, &["platforms", "integrations", name, "teams"])
            .query(page)
            .page()
            .await
    }

    /// `GET teams/{team}/integrations`: how far the tools are with a team.
    pub async fn team_integrations(
        &self,
        team: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<IntegrationState>>> {
        self.call(Method::GET, &["teams", team, "integrations"])
            .query(page)
            .page()
            .await
    }
}
