//! Returning to an earlier deployment.

use std::collections::BTreeSet;

use kernel::{Caller, Error, ErrorKind, Query, Resource, Result};

use super::{Delivery, Draft, Order};
use crate::service::access::DEPLOYMENT_CREATE;
use crate::{
    api::Rollback,
    engine::Phase,
    model::{Deployment, Workload},
};

/// So many good deployments are named to whoever asked for another: the newest.
const MOST_NAMED: usize = 5;

impl Delivery {
    /// Returns to an earlier deployment, by a new one that uses its record: the same workloads, the
    /// same revisions of definitions.
    pub async fn rollback(
        &self,
        caller: &Caller,
        environment: &str,
        request: Rollback,
    ) -> Result<Resource<Deployment>> {
        self.environment_for::<Deployment>(caller, DEPLOYMENT_CREATE, environment, "")
            .await?;
        if let Some(workload) = &request.workload
            && let Err(error) = self.store.expect::<Workload>(environment, workload).await
        {
            let meant = self.store.get::<Deployment>(environment, workload);
            return Err(match meant.await? {
                Some(_) if error.kind == ErrorKind::NotFound => error.remedy(format!(
                    "to return to a deployment, name it with --to: `towpath rollback --env {environment} \
                     --to {workload}`"
                )),
                _ => error,
            });
        }
        let record = match &request.to {
            Some(to) => {
                let to = self.store.expect::<Deployment>(environment, to).await?;
                self.require_good(&to, request.workload.as_deref()).await?;
                to
            }
            None => {
                self.last_good_before_present(environment, request.workload.as_deref())
                    .await?
            }
        };
        let mut workloads = record.spec.workloads.clone();
        if let Some(only) = &request.workload {
            workloads.retain(|name, _| name == only);
            if workloads.is_empty() {
                return Err(Error::not_found(format!(
                    "workload `{only}` in deployment `{}`",
                    record.meta.name
                ))
                .remedy(format!(
                    "`towpath get deployments --env {environment}` shows which deployment had which workloads"
                )));
            }
        }
        let order =
            Order {
                workloads,
                added: Vec::new(),
                defaulted: Vec::new(),
                accept: BTreeSet::new(),
                message: request.message,
                timeout_seconds: self.timeout_seconds(request.timeout_seconds).map_err(
                    |problem| Error::problems("the rollback cannot be begun", vec![problem]),
                )?,
                record: Some(record),
            };
        self.deploy_order(caller, environment, None, &order).await
    }

    /// Refuses a return to what never worked, and names what did.
    async fn require_good(
        &self,
        deployment: &Resource<Deployment>,
        workload: Option<&str>,
    ) -> Result<()> {
        if deployment.status.phase.is_good() {
            return Ok(());
        }
        let environment = &deployment.meta.scope;
        let good: Vec<_> = self
            .newest_first(environment)
            .await?
            .into_iter()
            .filter(|one| one.status.phase.is_good())
            .filter(|one| workload.is_none_or(|name| one.spec.workloads.contains_key(name)))
            .take(MOST_NAMED)
            .map(|one| format!("`{}`", one.meta.name))
            .collect();
        let all = format!("`towpath get deployments --env {environment}` lists what there was");
        Err(Error::conflict(format!(
            "deployment `{}` {}, and is nothing to return to",
            deployment.meta.name,
            deployment.status.how_it_went(),
        ))
        .remedy(match good.join(", ") {
            none if none.is_empty() => format!("there is no good one yet; {all}"),
            some => format!("name a good one with --to: {some}; {all}"),
        }))
    }

    /// Refuses a return to what runs already: it would begin every workload anew, and change nothing. What was
    /// changed since the record, a resource that others share too, is in the plan, and there to be taken back.
    pub(super) async fn require_return(
        &self,
        environment: &str,
        order: &Order,
        draft: &Draft,
    ) -> Result<()> {
        let Some(record) = order.record.as_ref().filter(|_| draft.plan.is_empty()) else {
            return Ok(());
        };
        for name in order.workloads.keys() {
            if !self.runs(environment, name, record).await? {
                return Ok(());
            }
        }
        let record = &record.meta.name;
        Err(Error::conflict(format!(
            "deployment `{record}` already runs in environment `{environment}`: nothing is changed"
        ))
        .remedy(format!(
            "to return to another, name it with --to: `towpath get deployments --env {environment}` lists them; \
             to start the same anew, deploy it again"
        )))
    }

    /// Whether a workload runs what `record` says, by itself or by a return to it.
    async fn runs(
        &self,
        environment: &str,
        workload: &str,
        record: &Resource<Deployment>,
    ) -> Result<bool> {
        let present = self.store.get::<Workload>(environment, workload).await?;
        let Some(present) = present.filter(|present| !present.is_deleting()) else {
            return Ok(false);
        };
        let (release, status) = (present.spec.release, &present.status);
        let is_ready = (status.current(release)).is_some_and(|it| it.phase == Phase::Ready);
        if !is_ready || status.active_release != release {
            return Ok(false);
        }
        let mut name = present.spec.deployment;
        // Each return is later than what it returns to, so this ends.
        while name != record.meta.name {
            let deployment = self.store.get::<Deployment>(environment, &name).await?;
            let good = deployment.filter(|deployment| deployment.status.phase.is_good());
            let Some(to) = good.and_then(|deployment| deployment.spec.rollback_to) else {
                return Ok(false);
            };
            name = to;
        }
        Ok(true)
    }

    /// The deployments of an environment.
    async fn newest_first(&self, environment: &str) -> Result<Vec<Resource<Deployment>>> {
        let mut all = self
            .store
            .list_all::<Deployment>(&Query::scope(environment))
            .await?;
        // In the order in which they were made: names count, and sort as text.
        all.sort_by_key(|d| std::cmp::Reverse(d.meta.uid));
        Ok(all)
    }

    async fn last_good_before_present(
        &self,
        environment: &str,
        workload: Option<&str>,
    ) -> Result<Resource<Deployment>> {
        let workloads = self
            .store
            .list_all::<Workload>(&Query::scope(environment))
            .await?;
        let present: Vec<_> = workloads
            .iter()
            .filter(|w| workload.is_none_or(|name| w.meta.name == name))
            .map(|w| w.spec.deployment.as_str())
            .collect();
        self.newest_first(environment)
            .await?
            .into_iter()
            .skip_while(|d| !present.contains(&d.meta.name.as_str()))
            .find(|d| {
                d.status.phase.is_good()
                    && !present.contains(&d.meta.name.as_str())
                    && workload.is_none_or(|name| d.spec.workloads.contains_key(name))
            })
            .ok_or_else(|| {
                Error::conflict(format!(
                    "environment `{environment}` has nothing to return to"
                ))
                .remedy(format!(
                    "`towpath get deployments --env {environment}` lists what there was; name one with --to"
                ))
            })
    }
}
