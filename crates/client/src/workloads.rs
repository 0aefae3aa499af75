//! Workloads with their logs, and resources with their outputs.

use delivery::{
    api::{Data, ListQuery, LogParams, OutputsQuery, Removal, RenderedRelease, ResourceOutputs},
    engine::LogLine,
    model::{Remnant, ResourceInstance, Workload},
};
use kernel::{Page, Resource};
use reqwest::Method;

use crate::{Client, Result, sse::Events};

impl Client {
    /// `GET environments/{env}/workloads`
    pub async fn workloads(
        &self,
        environment: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<Workload>>> {
        self.call(Method::GET, &["environments", environment, "workloads"])
            .query(page)
            .page()
            .await
    }

    /// `GET environments/{env}/workloads/{name}`
    pub async fn workload(&self, environment: &str, name: &str) -> Result<Resource<Workload>> {
        self.call(
            Method::GET,
            &["environments", environment, "workloads", name],
        )
        .resource()
        .await
    }

    /// `DELETE environments/{env}/workloads/{name}`: asks for the removal of it, its routes, and what nobody
    /// else uses; it is done once the workload is not found any more. With [`Data::Keep`] what holds data stays,
    /// and is found again by a later deployment; with [`Data::Remove`] it goes for ever. With `revision`, only
    /// while it is at that revision.
    ///
    /// # Errors
    /// `Forbidden` also with [`Data::Remove`], where the role of the environment is protected.
    pub async fn delete_workload(
        &self,
        environment: &str,
        name: &str,
        data: Data,
        revision: Option<i64>,
    ) -> Result<()> {
        self.call(
            Method::DELETE,
            &["environments", environment, "workloads", name],
        )
        .query(&Removal { data })
        .if_match(revision)
        .done()
        .await
    }

    /// `GET environments/{env}/workloads/{name}/release`: what the engine is handed, without secrets.
    ///
    /// # Errors
    /// `Conflict` while something that it uses is not there yet.
    pub async fn workload_release(&self, environment: &str, name: &str) -> Result<RenderedRelease> {
        let path = ["environments", environment, "workloads", name, "release"];
        self.call(Method::GET, &path).read().await
    }

    /// `GET environments/{env}/workloads/{name}/logs`: the lines that are there.
    ///
    /// # Errors
    /// `NotFound` also where it has no such release or container.
    pub async fn logs(
        &self,
        environment: &str,
        name: &str,
        params: &LogParams,
    ) -> Result<Vec<LogLine>> {
        let path = ["environments", environment, "workloads", name, "logs"];
        self.call(Method::GET, &path)
            .query(&LogParams {
                follow: false,
                ..params.clone()
            })
            .read()
            .await
    }

    /// The same with `follow`: goes on as lines come, until the connection ends.
    ///
    /// # Errors
    /// At the first [`Events::next`], as [`Client::logs`].
    pub fn follow_logs(
        &self,
        environment: &str,
        name: &str,
        params: &LogParams,
    ) -> Events<LogLine> {
        let path = ["environments", environment, "workloads", name, "logs"];
        Events::ending(self.call(Method::GET, &path).query(&LogParams {
            follow: true,
            ..params.clone()
        }))
    }

    /// `GET environments/{env}/resources`
    pub async fn resources(
        &self,
        environment: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<ResourceInstance>>> {
        self.call(Method::GET, &["environments", environment, "resources"])
            .query(page)
            .page()
            .await
    }

    /// `GET environments/{env}/resources/{name}`: by its name, by what it is in the graph
    /// (`postgres.default#notes.db`), or by what a workload calls it, where only one does.
    ///
    /// # Errors
    /// `Conflict` where several workloads call one so: that holds of every call that names a resource.
    pub async fn resource(
        &self,
        environment: &str,
        name: &str,
    ) -> Result<Resource<ResourceInstance>> {
        self.call(
            Method::GET,
            &["environments", environment, "resources", name],
        )
        .resource()
        .await
    }

    /// `DELETE environments/{env}/resources/{name}`: asks for the removal of what nothing uses; it is done once
    /// the resource is not found any more. One that holds data goes with [`Data::Remove`] alone, for ever. With
    /// `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also while something uses it, and where it holds data, with [`Data::Keep`]. `Forbidden` also where it
    /// holds data, and the role of the environment is protected.
    pub async fn delete_resource(
        &self,
        environment: &str,
        name: &str,
        data: Data,
        revision: Option<i64>,
    ) -> Result<()> {
        self.call(
            Method::DELETE,
            &["environments", environment, "resources", name],
        )
        .query(&Removal { data })
        .if_match(revision)
        .done()
        .await
    }

    /// `POST environments/{env}/resources/{name}/rotate`: asks for new credentials; the old ones end once every
    /// workload runs with the new.
    ///
    /// # Errors
    /// `Conflict` also while it is being removed.
    pub async fn rotate_resource(
        &self,
        environment: &str,
        name: &str,
    ) -> Result<Resource<ResourceInstance>> {
        let path = ["environments", environment, "resources", name, "rotate"];
        self.call(Method::POST, &path).resource().await
    }

    /// `POST environments/{env}/resources/{name}/abandon`: gives up, at once, what cannot be removed; what may
    /// be left of it is the remnant that is answered. With `revision`, only while it is at that revision.
    ///
    /// # Errors
    /// `Conflict` also where its removal was not asked for, or does not fail.
    pub async fn abandon_resource(
        &self,
        environment: &str,
        name: &str,
        revision: Option<i64>,
    ) -> Result<Resource<Remnant>> {
        let path = ["environments", environment, "resources", name, "abandon"];
        self.call(Method::POST, &path)
            .if_match(revision)
            .resource()
            .await
    }

    /// `GET environments/{env}/resources/{name}/outputs`, with the value of the secret that
    /// `reveal` names.
    ///
    /// # Errors
    /// `NotFound` also where it has no secret output of that name.
    pub async fn resource_outputs(
        &self,
        environment: &str,
        name: &str,
        reveal: Option<&str>,
    ) -> Result<ResourceOutputs> {
        let path = ["environments", environment, "resources", name, "outputs"];
        self.call(Method::GET, &path)
            .query(&OutputsQuery {
                reveal: reveal.map(Into::into),
            })
            .read()
            .await
    }
}
