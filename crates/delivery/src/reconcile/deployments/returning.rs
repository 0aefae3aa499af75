//! The return of a failed deployment, until every workload serves its last good release again.

use std::time::Duration;

use kernel::{Change, Next, Resource, Result};
use serde_json::json;

use super::Pass;
use crate::{
    engine::Phase,
    model::{DeploymentPhase, Returning, Workload},
    service::restore::Return,
};

/// Between two looks: the workloads are set by the good deployment by then, and wake that one.
const LOOK: Duration = Duration::from_millis(500);

impl Pass<'_> {
    /// Writes the return down, in one `change` with what it orders: a platform that is killed goes on from there.
    pub(super) async fn begin_return(
        mut self,
        mut change: Change,
        returned: Return,
    ) -> Result<Next> {
        let status = &mut self.deployment.status;
        status.phase = DeploymentPhase::RollingBack;
        status.waiting_for = returned
            .brought_back
            .iter()
            .map(|name| format!("workload {name}"))
            .collect();
        status.returning = Some(Returning {
            started: self.delivery.now(),
            workloads: returned.workloads,
        });
        let data = json!({ "failure": status.failure });
        change.status(&self.deployment)?;
        change.event(self.event("deployment.rolling-back", None, data));
        self.context.store.commit(change).await?;
        Ok(Next::After(LOOK))
    }

    /// Looks whether the return is done, will not get there, or has given way to a later deployment.
    pub(super) async fn watch_return(mut self, returning: &Returning) -> Result<Next> {
        let left = self.left(returning.started, self.delivery.now());
        let failure = self.deployment.status.failure.as_ref();
        let brought_back = failure.map_or_else(Vec::new, |failure| failure.brought_back.clone());
        let (mut set, mut back) = (false, Vec::new());
        let (mut waiting, mut lost) = (Vec::new(), None);
        for (name, good) in &returning.workloads {
            let Some(workload) = self.returned(name, good).await? else {
                continue;
            };
            set = true;
            // One that the good release has served all along needs nothing that could fail now.
            if !brought_back.contains(name) {
                continue;
            }
            let release = workload.spec.release;
            let state = workload.status.current(release);
            let phase = state.map(|state| state.phase);
            if phase == Some(Phase::Ready) && workload.status.active_release == release {
                back.push(workload);
                continue;
            }
            let lasts = phase == Some(Phase::Failed) || state.is_some_and(|state| state.lasting);
            let said = match workload.status.message.as_str() {
                "" => String::new(),
                message => format!(": {message}"),
            };
            if lasts {
                lost.get_or_insert_with(|| {
                    format!("workload {name} cannot serve {good} again{said}")
                });
            } else if left.is_zero() {
                let seconds = self.deployment.spec.timeout_seconds;
                lost.get_or_insert_with(|| {
                    format!("workload {name} does not serve {good} again after {seconds} s{said}")
                });
            }
            waiting.push(format!("workload {name}{said}"));
        }
        if !set {
            return self.give_way().await;
        }
        let mut change = self.change();
        if let Some(lost) = lost {
            if let Some(failure) = &mut self.deployment.status.failure {
                failure.return_failure = Some(lost);
            }
            return self.end_failed(change).await;
        }
        if waiting.is_empty() {
            self.delivery.settle_return(&mut change, &back).await?;
            return self.end_rolled_back(change).await;
        }
        let look = self.open(DeploymentPhase::RollingBack, waiting).await?;
        Ok(Next::After(left.min(look).min(LOOK)))
    }

    /// A workload that is still set to `good`: a later deployment may have taken it over.
    async fn returned(&self, name: &str, good: &str) -> Result<Option<Resource<Workload>>> {
        let scope = &self.deployment.meta.scope;
        let workload = self.context.store.get::<Workload>(scope, name).await?;
        Ok(workload.filter(|workload| workload.spec.deployment == good && !workload.is_deleting()))
    }
}
