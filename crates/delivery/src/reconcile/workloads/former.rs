//! Ending releases that no longer serve.

use std::time::Duration;

use kernel::{Next, Result};

use super::Pass;
use crate::{engine::Phase, reconcile::drain};

/// Between two looks while something is under way.
const WHILE_CHANGING: Duration = Duration::from_secs(1);

impl Pass<'_> {
    /// Removes releases that neither serve nor are wanted: at once those that never served, after the
    /// drain the one that did until just now. What is deployed in quick succession must not pile up
    /// while the newest gets ready.
    pub(super) async fn remove_old_releases(&mut self) -> Result<Next> {
        let status = &self.workload.status;
        let kept = [self.workload.spec.release, status.active_release];
        let old: Vec<u64> = status
            .releases
            .keys()
            .copied()
            .filter(|number| !kept.contains(number))
            .collect();
        if old.is_empty() {
            return Ok(self.while_serving());
        }
        if let Some(rest) = drain::rest(&self.workload, self.delivery.now()) {
            return Ok(Next::After(rest.min(WHILE_CHANGING)));
        }
        let before = self.workload.status.clone();
        let ids: Vec<_> = old.iter().map(|number| self.id(*number)).collect();
        // Together: one that takes its grace holds up neither the others nor what is to serve.
        let ends = ids.iter().map(|id| self.engine.remove(id, drain::GRACE));
        let ends = futures::future::join_all(ends).await;
        let mut failure = None;
        for (number, end) in old.into_iter().zip(ends) {
            match end {
                Ok(()) => {
                    self.workload.status.releases.remove(&number);
                }
                Err(error) => {
                    let words = Self::words(error);
                    failure = Some(format!("release {number} cannot be removed: {words}"));
                }
            }
        }
        if let Some(failure) = failure {
            self.workload.status.removal_failure = failure;
            self.write(&before).await?;
            return Ok(Next::After(Duration::from_secs(5)));
        }
        self.workload.status.removal_failure.clear();
        self.write(&before).await?;
        Ok(self.while_serving())
    }

    /// Has what it uses looked at.
    pub(super) async fn nudge_instances(&self) -> Result<()> {
        for instance in self.delivery.instances(&self.workload.meta.scope).await? {
            if instance.status.used_by.contains(&self.workload.meta.name) {
                self.context.nudge(instance.key());
            }
        }
        Ok(())
    }

    /// Soon while something is under way; otherwise the engine's own nudges are enough.
    pub(super) fn while_serving(&self) -> Next {
        let status = &self.workload.status;
        let steady = status.active_release == self.workload.spec.release
            && status
                .releases
                .get(&status.active_release)
                .is_some_and(|s| s.phase == Phase::Ready);
        if steady {
            Next::Idle
        } else {
            Next::After(WHILE_CHANGING)
        }
    }
}
