//! Teams, who is in them, and their namespaces.

use delivery::api::ListQuery;
use kernel::{Page, Resource};
use reqwest::Method;
use teams::{
    api::{
        Confirm, Members, NamespaceFields, NewNamespace, NewTeam, Offboard, Onboarding,
        OnboardingOverview, Since, TeamFields,
    },
    model::{Namespace, Team},
};

use crate::{Client, Result};

impl Client {
    /// `GET platforms/teams`
    pub async fn teams(&self, page: &ListQuery) -> Result<Page<Resource<Team>>> {
        self.call(Method::GET, &["platforms", "teams"])
            .query(page)
            .page()
            .await
    }

    /// `POST platforms/teams`: asks for it; it is done once the team's conditions are met.
    ///
    /// # Errors
    /// `Conflict` where the name is taken. `Forbidden` also where there are things of a team of that name already,
    /// which operators alone give away.
    pub async fn onboard_team(&self, new: &NewTeam) -> Result<Resource<Team>> {
        self.call(Method::POST, &["platforms", "teams"])
            .json(new)
            .resource()
            .await
    }

    /// `GET platforms/teams/{team}`
    pub async fn team(&self, name: &str) -> Result<Resource<Team>> {
        self.call(Method::GET, &["platforms", "teams", name])
            .resource()
            .await
    }

    /// `PATCH platforms/teams/{team}`: what is given is changed, at once. With `revision`, only while it is at
    /// that revision.
    ///
    /// # Errors
    /// `Conflict` also where it was offboarded, and where its namespaces would take more than its allowance.
    /// `Forbidden` also where it is somebody's, who alone may give it to others. `Unavailable` also where its source
    /// cannot be asked whose it is.
    pub async fn change_team(
        &self,
        name: &str,
        fields: &TeamFields,
        revision: Option<i64>,
    ) -> Result<Resource<Team>> {
        self.call(Method::PATCH, &["platforms", "teams", name])
            .if_match(revision)
            .json(fields)
            .resource()
            .await
    }

    /// `DELETE platforms/teams/{team}`: asks for the end of it: at once it gives nobody anything, and it is done
    /// once the team is not found any more. What is its goes, data too; what is protected stays unless
    /// [`Offboard::include`] says `prod`.
    ///
    /// # Errors
    /// `Invalid` where [`Offboard::confirm`] is not its name: that says what data goes.
    pub async fn offboard_team(&self, name: &str, how: &Offboard) -> Result<Resource<Team>> {
        self.call(Method::DELETE, &["platforms", "teams", name])
            .query(how)
            .resource()
            .await
    }

    /// `POST platforms/teams/{team}/sync`: asks for a look at everything of it.
    pub async fn sync_team(&self, name: &str) -> Result<Resource<Team>> {
        self.call(Method::POST, &["platforms", "teams", name, "sync"])
            .resource()
            .await
    }

    /// `GET platforms/teams/{team}/members`
    pub async fn team_members(&self, name: &str) -> Result<Members> {
        self.call(Method::GET, &["platforms", "teams", name, "members"])
            .read()
            .await
    }

    /// `GET platforms/teams/{team}/onboarding`
    pub async fn team_onboarding(&self, name: &str) -> Result<Onboarding> {
        self.call(Method::GET, &["platforms", "teams", name, "onboarding"])
            .read()
            .await
    }

    /// `GET platforms/onboarding`
    pub async fn onboarding(&self, since: &Since) -> Result<OnboardingOverview> {
        self.call(Method::GET, &["platforms", "onboarding"])
            .query(since)
            .read()
            .await
    }

    /// `PUT platforms/teams/{team}/members/{user}`, done at once.
    ///
    /// # Errors
    /// `Conflict` where the platform does not keep the team's group, or has reserved it. `Invalid` where there is no
    /// such user.
    pub async fn add_member(&self, team: &str, user: &str) -> Result<()> {
        self.call(Method::PUT, &["platforms", "teams", team, "members", user])
            .done()
            .await
    }

    /// `DELETE platforms/teams/{team}/members/{user}`: their access to it ends at once.
    ///
    /// # Errors
    /// `NotFound` also where they are not in it. `Conflict` as in [`Client::add_member`].
    pub async fn remove_member(&self, team: &str, user: &str) -> Result<()> {
        let path = ["platforms", "teams", team, "members", user];
        self.call(Method::DELETE, &path).done().await
    }

    /// `GET teams/{team}/namespaces`
    pub async fn namespaces(
        &self,
        team: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<Namespace>>> {
        self.call(Method::GET, &["teams", team, "namespaces"])
            .query(page)
            .page()
            .await
    }

    /// `POST teams/{team}/namespaces`: asks for it; it is done once the namespace is ready.
    ///
    /// # Errors
    /// `Conflict` where the name is taken, the team's allowance is used up, or the team is no customer.
    pub async fn create_namespace(
        &self,
        team: &str,
        new: &NewNamespace,
    ) -> Result<Resource<Namespace>> {
        self.call(Method::POST, &["teams", team, "namespaces"])
            .json(new)
            .resource()
            .await
    }

    /// `GET teams/{team}/namespaces/{namespace}`
    pub async fn namespace(&self, team: &str, name: &str) -> Result<Resource<Namespace>> {
        self.call(Method::GET, &["teams", team, "namespaces", name])
            .resource()
            .await
    }

    /// `PATCH teams/{team}/namespaces/{namespace}`: what is given is changed, at once, whatever its revision.
    ///
    /// # Errors
    /// `Conflict` while it is being removed, where its role would be another, and where the team's allowance does not
    /// reach that far.
    pub async fn change_namespace(
        &self,
        team: &str,
        name: &str,
        fields: &NamespaceFields,
    ) -> Result<Resource<Namespace>> {
        self.call(Method::PATCH, &["teams", team, "namespaces", name])
            .json(fields)
            .resource()
            .await
    }

    /// `DELETE teams/{team}/namespaces/{namespace}`: asks for the removal with everything in it, data too; it is
    /// done once the namespace is not found any more. `confirm` is its name once more.
    ///
    /// # Errors
    /// `Invalid` where `confirm` is not its name: that says what data goes. `Conflict` where it is one of the team's
    /// standard namespaces.
    pub async fn delete_namespace(
        &self,
        team: &str,
        name: &str,
        confirm: Option<&str>,
    ) -> Result<Resource<Namespace>> {
        let confirm = Confirm {
            confirm: confirm.map(str::to_owned),
        };
        self.call(Method::DELETE, &["teams", team, "namespaces", name])
            .query(&confirm)
            .resource()
            .await
    }
}
