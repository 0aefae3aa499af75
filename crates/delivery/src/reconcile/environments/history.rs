//! How much of its history an environment keeps.
//!
//! Of the deployments of an environment the newest [`KEPT`] stay, and of the older ones those that
//! something still refers to: what a workload runs, and what it would return to. All others that have
//! ended are removed. Their events stay, as all events do.

use std::collections::BTreeSet;

use kernel::{Kind, NewEvent, Query, Result};
use serde_json::json;

use super::Pass;
use crate::model::{Deployment, Workload};

/// Deployments that stay whatever became of them: what people compare with, and roll back to.
const KEPT: usize = 50;

/// Deployments that are removed in one change, so that none holds up the store.
const AT_ONCE: usize = 50;

impl Pass<'_> {
    /// Removes the deployments that are past the length of history. Runs with every deployment, which
    /// counts the environment's own up.
    pub(super) async fn prune(&self) -> Result<()> {
        let environment = &self.environment.meta.name;
        let store = &self.context.store;
        // A count that is only ever more than there are: nothing is read where nothing can be too many.
        if self.environment.status.deployments <= KEPT as u64 {
            return Ok(());
        }
        let keys = store.keys(Deployment::KIND, Some(environment)).await?;
        let mut past: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        past.sort_by_key(|name| std::cmp::Reverse(number(name)));
        let mut past = past.split_off(KEPT.min(past.len()));
        if past.is_empty() {
            return Ok(());
        }
        let mut needed = BTreeSet::new();
        for workload in store
            .list_all::<Workload>(&Query::scope(environment))
            .await?
        {
            needed.insert(workload.spec.deployment);
            needed.extend(workload.status.good_deployment);
        }
        past.retain(|name| !needed.contains(name));
        for names in past.chunks(AT_ONCE) {
            let mut change = self.change();
            let mut removed = Vec::new();
            for name in names {
                let Some(deployment) = store.get::<Deployment>(environment, name).await? else {
                    continue;
                };
                if deployment.status.phase.is_final() {
                    change.remove(&deployment)?;
                    removed.push(name);
                }
            }
            if removed.is_empty() {
                continue;
            }
            change.event(NewEvent::caused(
                "environment.history-pruned",
                self.environment.key(),
                &self.environment.spec.team,
                &kernel::Caller::system("environments", self.correlation()),
                None,
                json!({ "deployments": removed, "kept": KEPT }),
            ));
            store.commit(change).await?;
        }
        Ok(())
    }
}

/// The number in `d-<number>`: names count, and sort as text.
fn number(name: &str) -> u64 {
    name.rsplit('-')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
