//! Returning to an earlier deployment.

use std::collections::BTreeSet;

use kernel::{Caller, Error, ErrorKind, Query, Resource, Result};

use super::{Delivery, Order};
use crate::service::access::DEPLOYMENT_CREATE;
use crate::{
    api::Rollback,
    model::{Deployment, DeploymentPhase, Workload},
};

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
            Some(to) => self.store.expect::<Deployment>(environment, to).await?,
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
                accept: BTreeSet::new(),
                message: request.message,
                timeout_seconds: self.timeout_seconds(request.timeout_seconds).map_err(
                    |problem| Error::problems("the rollback cannot be begun", vec![problem]),
                )?,
                record: Some(record),
            };
        self.deploy_order(caller, environment, None, &order).await
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
        let mut all = self
            .store
            .list_all::<Deployment>(&Query::scope(environment))
            .await?;
        // In the order in which they were made: names count, and sort as text.
        all.sort_by_key(|d| std::cmp::Reverse(d.meta.uid));
        all.into_iter()
            .skip_while(|d| !present.contains(&d.meta.name.as_str()))
            .find(|d| {
                d.status.phase == DeploymentPhase::Succeeded
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
