//! Workloads with their logs, and resources with their outputs.

use delivery::{
    api::{Data, ListQuery, LogParams, OutputsQuery, Removal, RenderedRelease, ResourceOutputs},
    engine::LogLine,
    model::{Remnant, ResourceInstance, Workload},
};
use kernel::{Page, Resource};
use reqwest::Method;

use crate::{
    Client, Result,
    sse::{Events, Source},
};

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

    /// `DELETE environments/{env}/workloads/{name}`: asks for the removal; it is done once the
    /// workload is not found any more.
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
    pub async fn workload_release(&self, environment: &str, name: &str) -> Result<RenderedRelease> {
        let path = ["environments", environment, "workloads", name, "release"];
        self.call(Method::GET, &path).read().await
    }

    /// `GET environments/{env}/workloads/{name}/logs`: the lines that are there.
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
    pub fn follow_logs(
        &self,
        environment: &str,
        name: &str,
        params: &LogParams,
    ) -> Events<LogLine> {
        let mut query = vec![("follow", "true".to_owned())];
        query.extend(params.container.clone().map(|c| ("container", c)));
        query.extend(params.release.map(|r| ("release", r.to_string())));
        query.extend(params.tail.map(|t| ("tail", t.to_string())));
        let path = ["environments", environment, "workloads", name, "logs"];
        Events::ending(self, Source::new(&path, query))
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

    /// `GET environments/{env}/resources/{name}`
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

    /// `DELETE environments/{env}/resources/{name}`: asks for the removal, data too.
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

    /// `POST environments/{env}/resources/{name}/rotate`: asks for new credentials.
    pub async fn rotate_resource(
        &self,
        environment: &str,
        name: &str,
    ) -> Result<Resource<ResourceInstance>> {
        let path = ["environments", environment, "resources", name, "rotate"];
        self.call(Method::POST, &path).resource().await
    }

    /// `POST environments/{env}/resources/{name}/abandon`: gives up what cannot be removed.
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
