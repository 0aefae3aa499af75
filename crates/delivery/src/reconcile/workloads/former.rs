//! Ending releases that no longer serve.

use std::time::Duration;

use kernel::{Next, Result};

use super::Pass;
use crate::{engine::Phase, reconcile::drain};

impl Pass<'_> {
    /// Removes releases that no longer serve, after the drain.
    pub(super) async fn remove_old_releases(&mut self) -> Result<Next> {
        let status = &self.workload.status;
        let wanted = self.workload.spec.release;
        if status.active_release != wanted {
            return Ok(self.while_serving());
        }
        let old: Vec<u64> = status
            .releases
            .keys()
            .copied()
            .filter(|n| *n != wanted)
            .collect();
        if old.is_empty() {
            return Ok(self.while_serving());
        }
        if let Some(rest) = drain::rest(&self.workload) {
            return Ok(Next::After(rest));
        }
        let before = self.workload.status.clone();
        for number in old {
            match self.engine.remove(&self.id(number), drain::GRACE).await {
                Ok(()) => {
                    self.workload.status.releases.remove(&number);
                }
                Err(error) => {
                    let words = Self::words(error);
                    self.workload.status.removal_failure =
                        format!("release {number} cannot be removed: {words}");
                    self.write(&before).await?;
                    return Ok(Next::After(Duration::from_secs(5)));
                }
            }
        }
        self.workload.status.removal_failure.clear();
        self.write(&before).await?;
        self.nudge_instances().await?;
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
            Next::After(Duration::from_secs(1))
        }
    }
}
