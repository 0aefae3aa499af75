//! Workloads: removed, and their logs read.

use futures::stream::BoxStream;
use kernel::{Caller, Change, Error, NewEvent, Query, Resource, Result, Secret, anew};
use serde_json::json;

use super::{
    Delivery,
    access::{WORKLOAD_DELETE, WORKLOAD_LOGS},
    confidence::Confidence,
    outputs,
};
use crate::{
    engine::{LogLine, LogQuery},
    model::{Deployment, ResourceInstance, Workload},
};

impl Delivery {
    /// Asks for the removal of a workload, its routes, and the resources that nobody else uses.
    /// What holds data stays unless `with_data`.
    pub async fn workload_delete(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Workload>> {
        anew(|| self.workload_delete_once(caller, environment, name, with_data, revision)).await
    }

    async fn workload_delete_once(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Workload>> {
        let place = self
            .environment_for::<Workload>(caller, WORKLOAD_DELETE, environment, name)
            .await?;
        let room = place.environment;
        if with_data {
            self.refuse_if_protected(&room, "lose data").await?;
        }
        let mut workload = self.store.expect::<Workload>(environment, name).await?;
        workload.meta.require_revision(revision)?;
        if workload.is_deleting() && workload.spec.remove_data == with_data {
            return Ok(workload);
        }
        workload.spec.remove_data = with_data;
        let mut change = Change::new().by(caller);
        change.spec(&workload)?;
        change.delete(&workload)?;
        change.event(NewEvent::caused(
            "workload.deletion-requested",
            workload.key(),
            &room.spec.team,
            caller,
            None,
            json!({ "withData": with_data }),
        ));
        self.store.commit(change).await?.resource(&workload.key())
    }

    /// Lines of a workload's log.
    pub async fn workload_logs(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>> {
        self.may_read_logs(caller, environment, name).await?;
        let workload = self.store.expect::<Workload>(environment, name).await?;
        let newest = workload.spec.highest_release;
        if let Some(release) = query.release.filter(|r| !(1..=newest).contains(r)) {
            return Err(Error::not_found(format!(
                "release {release} of workload `{name}` in environment `{environment}`"
            ))
            .remedy(format!(
                "its releases are numbered 1 to {newest}; without a number all are read"
            )));
        }
        if let Some(container) = &query.container {
            self.expect_container(&workload, container).await?;
        }
        let engine = self.engine_of(environment).await?;
        Ok(engine.logs(environment, name, query).await?)
    }

    /// Fails where `workload` has no such container. One that an earlier deployment had may have lines that are
    /// kept.
    async fn expect_container(&self, workload: &Resource<Workload>, container: &str) -> Result<()> {
        let containers = &workload.spec.score.containers;
        if containers.contains_key(container) {
            return Ok(());
        }
        let (environment, name) = (&workload.meta.scope, &workload.meta.name);
        let query = Query::scope(environment);
        let deployments = self.store.list_all::<Deployment>(&query).await?;
        let mut earlier = deployments
            .iter()
            .filter_map(|one| one.spec.workloads.get(name));
        if earlier.any(|score| score.containers.contains_key(container)) {
            return Ok(());
        }
        let names: Vec<_> = containers.keys().map(|one| format!("`{one}`")).collect();
        Err(Error::not_found(format!(
            "container `{container}` of workload `{name}` in environment `{environment}`"
        ))
        .remedy(format!("it has {}", names.join(", "))))
    }

    /// Whether the caller may read a workload's log; for one who goes on reading, whether they still may.
    pub async fn may_read_logs(
        &self,
        caller: &Caller,
        environment: &str,
        name: &str,
    ) -> Result<()> {
        self.environment_for::<Workload>(caller, WORKLOAD_LOGS, environment, name)
            .await
            .map(drop)
    }

    /// `lines` without the secrets that the workload was given: for what is kept and shown to
    /// others than those who read the log itself.
    pub(crate) async fn redact(
        &self,
        environment: &str,
        workload: &str,
        lines: Vec<String>,
    ) -> Result<Vec<String>> {
        let instances: Vec<Resource<ResourceInstance>> =
            self.store.list_all(&Query::scope(environment)).await?;
        let mut secrets: Vec<Secret> = Vec::new();
        for instance in instances
            .iter()
            .filter(|i| i.status.used_by.iter().any(|u| u == workload))
        {
            for output in outputs::of_instance(&self.store, instance)
                .await?
                .into_values()
            {
                if let crate::provisioner::Output::Secret(secret) = output {
                    secrets.push(secret);
                }
            }
        }
        let confidence = Confidence::new(&secrets);
        Ok(lines.iter().map(|line| confidence.hide(line)).collect())
    }
}
