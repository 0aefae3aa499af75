//! Environments, their roles, and what is in them.

use delivery::{
    api::{
        Data, EnvironmentChange, EnvironmentSummary, GraphAnswer, ListQuery, NewDeployment,
        NewEnvironment, PinQuery, PlanAnswer, PolicyDecision, Removal, Rollback,
    },
    model::{Deployment, Environment, EnvironmentRole},
};
use kernel::{Page, Resource};
use reqwest::Method;

use crate::{Client, Result};

impl Client {
    /// `GET environments`
    pub async fn environments(&self, page: &ListQuery) -> Result<Page<Resource<Environment>>> {
        self.call(Method::GET, &["environments"])
            .query(page)
            .page()
            .await
    }

    /// `POST environments`, done at once.
    ///
    /// # Errors
    /// `Conflict` where the name is taken. `Forbidden` also where the name is kept for another team.
    pub async fn create_environment(&self, new: &NewEnvironment) -> Result<Resource<Environment>> {
        self.call(Method::POST, &["environments"])
            .json(new)
            .resource()
            .await
    }

    /// `GET environments/{env}`
    pub async fn environment(&self, name: &str) -> Result<Resource<Environment>> {
        self.call(Method::GET, &["environments", name])
            .resource()
            .await
    }

    /// `PATCH environments/{env}`: what is given is changed, at once. With `revision`, only while it is at that
    /// revision.
    ///
    /// # Errors
    /// `Invalid` also while it is being removed, and where one of a protected role would end by itself. `Forbidden`
    /// also where its role is protected, and the caller may not take it out of that.
    pub async fn change_environment(
        &self,
        name: &str,
        change: &EnvironmentChange,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        self.call(Method::PATCH, &["environments", name])
            .if_match(revision)
            .json(change)
            .resource()
            .await
    }

    /// `DELETE environments/{env}/pins`: lifts the pins of these resource types, or all, from the next
    /// deployment on.
    ///
    /// # Errors
    /// `NotFound` also where nothing of such a type is pinned.
    pub async fn unpin(&self, name: &str, types: &[String]) -> Result<Resource<Environment>> {
        let query = PinQuery {
            types: (!types.is_empty()).then(|| types.join(",")),
        };
        self.call(Method::DELETE, &["environments", name, "pins"])
            .query(&query)
            .resource()
            .await
    }

    /// `DELETE environments/{env}`: asks for the removal of it and of everything in it; it is done once the
    /// environment is not found any more. What holds data goes with [`Data::Remove`] alone, for ever. With `revision`,
    /// only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where something in it holds data, with [`Data::Keep`]. `Forbidden` also where its role is
    /// protected.
    pub async fn delete_environment(
        &self,
        name: &str,
        data: Data,
        revision: Option<i64>,
    ) -> Result<()> {
        self.call(Method::DELETE, &["environments", name])
            .query(&Removal { data })
            .if_match(revision)
            .done()
            .await
    }

    /// `GET environments/{env}/summary`
    pub async fn environment_summary(&self, name: &str) -> Result<EnvironmentSummary> {
        self.call(Method::GET, &["environments", name, "summary"])
            .read()
            .await
    }

    /// `GET environments/{env}/graph`
    pub async fn graph(&self, name: &str) -> Result<GraphAnswer> {
        self.call(Method::GET, &["environments", name, "graph"])
            .read()
            .await
    }

    /// `GET environment-roles`
    pub async fn environment_roles(
        &self,
        page: &ListQuery,
    ) -> Result<Page<Resource<EnvironmentRole>>> {
        self.call(Method::GET, &["environment-roles"])
            .query(page)
            .page()
            .await
    }

    /// `DELETE environment-roles/{name}`, done at once. With `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also while something has it, and where it comes with the platform.
    pub async fn delete_environment_role(&self, name: &str, revision: Option<i64>) -> Result<()> {
        self.call(Method::DELETE, &["environment-roles", name])
            .if_match(revision)
            .done()
            .await
    }

    /// `POST environments/{env}/plans`: what a deployment would do. What would keep policy from letting it be done is
    /// part of the answer.
    ///
    /// # Errors
    /// `Invalid` where the workloads cannot be deployed, with all `problems`. `Conflict` where the environment is being
    /// removed, or is not as [`NewDeployment::create_environment`] takes it to be.
    pub async fn plan(&self, environment: &str, new: &NewDeployment) -> Result<PlanAnswer> {
        self.call(Method::POST, &["environments", environment, "plans"])
            .json(new)
            .read()
            .await
    }

    /// `POST environments/{env}/deployments`: begins a deployment; follow it by [`Client::deployment`] and
    /// [`Client::events`]. A replacement by which data would be lost is no error: it is held until it is accepted
    /// ([`NewDeployment::accept`]), and all else is done.
    ///
    /// # Errors
    /// As [`Client::plan`]. `Forbidden` also where policy refuses it, with all `problems`. `Conflict` also while a
    /// workload or a resource of it is being removed.
    pub async fn deploy(
        &self,
        environment: &str,
        new: &NewDeployment,
    ) -> Result<Resource<Deployment>> {
        self.call(Method::POST, &["environments", environment, "deployments"])
            .json(new)
            .resource()
            .await
    }

    /// `GET environments/{env}/deployments`
    pub async fn deployments(
        &self,
        environment: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<Deployment>>> {
        self.call(Method::GET, &["environments", environment, "deployments"])
            .query(page)
            .page()
            .await
    }

    /// `GET environments/{env}/deployments/{name}/decision`: what policy was asked, and what it said.
    pub async fn deployment_decision(
        &self,
        environment: &str,
        name: &str,
    ) -> Result<PolicyDecision> {
        let path = ["environments", environment, "deployments", name, "decision"];
        self.call(Method::GET, &path).read().await
    }

    /// `GET environments/{env}/deployments/{name}`
    pub async fn deployment(&self, environment: &str, name: &str) -> Result<Resource<Deployment>> {
        let path = ["environments", environment, "deployments", name];
        self.call(Method::GET, &path).resource().await
    }

    /// `POST environments/{env}/rollbacks`: begins a return to an earlier deployment, by a new one, and is
    /// followed as one of [`Client::deploy`].
    ///
    /// # Errors
    /// As [`Client::deploy`]. `NotFound` also where that deployment does not have the workload. `Conflict` also where
    /// it was never good, where it runs already, and where there is none to return to.
    pub async fn rollback(
        &self,
        environment: &str,
        rollback: &Rollback,
    ) -> Result<Resource<Deployment>> {
        self.call(Method::POST, &["environments", environment, "rollbacks"])
            .json(rollback)
            .resource()
            .await
    }
}
