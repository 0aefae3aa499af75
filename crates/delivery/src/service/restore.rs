//! What follows from the end of a deployment: letting go of what it no longer uses, or returning to
//! the last good one.

use std::collections::BTreeSet;

use kernel::{Change, Resource, Result};

use super::Delivery;
use crate::model::{Deployment, NodeId, Workload, instance_name};

impl Delivery {
    /// After a success: strikes its workloads out of what they no longer use, and asks for the
    /// removal of what nobody uses and holds no data. Says whether anything goes.
    pub(crate) async fn release_unused(
        &self,
        change: &mut Change,
        deployment: &Resource<Deployment>,
    ) -> Result<bool> {
        let environment = &deployment.meta.scope;
        let graph = &deployment.spec.graph;
        let mut goes = false;
        for mut instance in self.instances(environment).await? {
            let node = &instance.spec.node;
            let before = instance.status.used_by.len();
            instance.status.used_by.retain(|user| {
                let ours = deployment.spec.workloads.contains_key(user);
                !ours || graph.needed_by(user).contains(node)
            });
            if instance.status.used_by.len() == before {
                continue;
            }
            if instance.status.used_by.is_empty() && !instance.spec.holds_data {
                change.delete(&instance)?;
                goes = true;
            } else {
                change.status(&instance)?;
            }
        }
        for name in deployment.spec.workloads.keys() {
            let claims = self.claims_of(deployment, name);
            for route in self.routes_of_workload(environment, name).await? {
                if !claims.contains(&route.meta.name) {
                    change.remove(&route)?;
                    goes = true;
                }
            }
        }
        Ok(goes)
    }

    /// After a failure: sets the workloads back to their last good deployment, where they have one,
    /// and the instances to what that deployment recorded. Answers which, if there was any.
    pub(crate) async fn restore_good(
        &self,
        change: &mut Change,
        failed: &Resource<Deployment>,
    ) -> Result<Option<String>> {
        let environment = &failed.meta.scope;
        let mut returned = BTreeSet::new();
        let mut needed: BTreeSet<NodeId> = BTreeSet::new();
        let mut ours: Vec<String> = Vec::new();
        for name in failed.spec.workloads.keys() {
            let Some(mut workload) = self.store.get::<Workload>(environment, name).await? else {
                continue;
            };
            if workload.spec.deployment != failed.meta.name || workload.is_deleting() {
                continue;
            }
            let good = workload.status.good_deployment.clone();
            let Some(good) = good.filter(|good| *good != failed.meta.name) else {
                continue;
            };
            let Some(record) = self.store.get::<Deployment>(environment, &good).await? else {
                continue;
            };
            let Some(score) = record.spec.workloads.get(name) else {
                continue;
            };
            workload.spec.score = score.clone();
            workload.spec.deployment.clone_from(&good);
            // The good release still runs, and serves: it is only named again.
            workload.spec.release = workload.status.active_release;
            workload.status.digest.clear();
            change.spec(&workload)?;
            self.restore_instances(change, &record, name).await?;
            needed.extend(record.spec.graph.needed_by(name));
            returned.insert(good);
            ours.push(name.clone());
        }
        if returned.is_empty() {
            return Ok(None);
        }
        self.undo_additions(change, failed, &needed, &ours).await?;
        Ok(Some(returned.into_iter().collect::<Vec<_>>().join(", ")))
    }

    /// Sets what `workload` needs back to the definitions and parameters of `record`.
    async fn restore_instances(
        &self,
        change: &mut Change,
        record: &Resource<Deployment>,
        workload: &str,
    ) -> Result<()> {
        for node in record.spec.graph.needed_by(workload) {
            let Some(wanted) = record.spec.graph.nodes.get(&node) else {
                continue;
            };
            let found = self
                .store
                .get(&record.meta.scope, &instance_name(&node))
                .await?;
            let Some(mut instance) = found else { continue };
            let before = instance.clone();
            super::deploy::set_from_node(&mut instance, wanted);
            if instance.spec != before.spec {
                change.spec(&instance)?;
            }
        }
        Ok(())
    }

    /// Lets go of what only the failed deployment wanted. What holds data stays, unused.
    async fn undo_additions(
        &self,
        change: &mut Change,
        failed: &Resource<Deployment>,
        needed: &BTreeSet<NodeId>,
        workloads: &[String],
    ) -> Result<()> {
        for mut instance in self.instances(&failed.meta.scope).await? {
            let node = &instance.spec.node;
            if !failed.spec.graph.nodes.contains_key(node) || needed.contains(node) {
                continue;
            }
            instance
                .status
                .used_by
                .retain(|user| !workloads.contains(user));
            if instance.status.used_by.is_empty() && !instance.spec.holds_data {
                change.delete(&instance)?;
            } else {
                change.status(&instance)?;
            }
        }
        Ok(())
    }
}
