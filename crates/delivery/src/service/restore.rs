//! What follows from the end of a deployment: letting go of what it no longer uses, or returning to
//! the last good one.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Change, Key, Meta, Resource, Result};

use super::Delivery;
use crate::{
    engine::Phase,
    model::{Deployment, NodeId, ResourceInstance, Route, Workload, instance_name, record_making},
    plan::Action,
};

/// What workloads need, by their names.
type Needed = BTreeMap<String, Vec<NodeId>>;

/// What a failed deployment returns to.
#[derive(Debug, Default)]
pub(crate) struct Return {
    /// The deployment that each workload is set back to.
    pub(crate) workloads: BTreeMap<String, String>,
    /// Those of them that their last good release does not serve now.
    pub(crate) brought_back: Vec<String>,
}

impl Return {
    /// Where to, for people.
    pub(crate) fn to(&self) -> String {
        let names: BTreeSet<&str> = self.workloads.values().map(String::as_str).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

impl Delivery {
    /// The workloads that `deployment` still sets: a later one may have taken some of them over.
    pub(crate) async fn workloads_of(
        &self,
        deployment: &Resource<Deployment>,
    ) -> Result<Vec<Resource<Workload>>> {
        let mut found = Vec::new();
        for name in deployment.spec.workloads.keys() {
            let workload = self
                .store
                .get::<Workload>(&deployment.meta.scope, name)
                .await?;
            found.extend(workload.filter(|workload| {
                workload.spec.deployment == deployment.meta.name && !workload.is_deleting()
            }));
        }
        Ok(found)
    }

    /// After a success: it is what its workloads return to, should a later one fail; and what they no
    /// longer use is let go of. Says whether anything goes.
    pub(crate) async fn settle(
        &self,
        change: &mut Change,
        deployment: &Resource<Deployment>,
    ) -> Result<bool> {
        let environment = &deployment.meta.scope;
        let graph = &deployment.spec.graph;
        let mut settled = BTreeSet::new();
        for mut workload in self.workloads_of(deployment).await? {
            workload.status.good_deployment = Some(deployment.meta.name.clone());
            change.status(&workload)?;
            settled.insert(workload.meta.name);
        }
        let gone = self
            .let_go(change, environment, false, |instance, user| {
                settled.contains(user) && !graph.needed_by(user).contains(&instance.spec.node)
            })
            .await?;
        let mut goes = !gone.is_empty();
        for name in &settled {
            goes |= self.drop_routes(change, deployment, name).await?;
        }
        Ok(goes)
    }

    /// After a failure: sets the workloads that it still sets back to their last good deployment,
    /// where they have one, and the instances to what that deployment recorded. Answers whether any has.
    pub(crate) async fn restore_good(
        &self,
        change: &mut Change,
        failed: &Resource<Deployment>,
    ) -> Result<Option<Return>> {
        let environment = &failed.meta.scope;
        let mut returned = Return::default();
        let mut needed = Needed::new();
        for mut workload in self.workloads_of(failed).await? {
            let name = workload.meta.name.clone();
            let good = workload.status.good_deployment.clone();
            let Some(good) = good.filter(|good| *good != failed.meta.name) else {
                if workload.status.active_release == 0 {
                    self.drop_declared_routes(change, environment, &name)
                        .await?;
                }
                continue;
            };
            let Some(record) = self.store.get::<Deployment>(environment, &good).await? else {
                continue;
            };
            let Some(score) = record.spec.workloads.get(&name) else {
                continue;
            };
            let is_served = serves(&workload, &record);
            workload.spec.score = score.clone();
            workload.spec.deployment.clone_from(&good);
            // Mostly the good release still runs, and is only named again; where it has gone, what
            // is named differs from what runs, and a further release follows.
            workload.spec.release = workload.status.active_release;
            workload.status.digest.clear();
            change.spec(&workload)?;
            self.restore_instances(change, failed, &record, &name)
                .await?;
            if is_served {
                self.point_routes(change, &record, &name).await?;
                self.drop_routes(change, &record, &name).await?;
                needed.insert(name.clone(), record.spec.graph.needed_by(&name));
            } else {
                // Until it is back, the release that has the traffic needs what it has.
                returned.brought_back.push(name.clone());
            }
            returned.workloads.insert(name, good);
        }
        if returned.workloads.is_empty() {
            return Ok(None);
        }
        self.let_go_beside(change, environment, &needed).await?;
        Ok(Some(returned))
    }

    /// After a return, in one `change` with its end: routes lead where the good deployments of the workloads that were
    /// brought `back` say, and what these no longer use is let go of.
    pub(crate) async fn settle_return(
        &self,
        change: &mut Change,
        back: &[Resource<Workload>],
    ) -> Result<()> {
        let mut needed: BTreeMap<&str, Needed> = BTreeMap::new();
        for workload in back {
            // Whoever deploys it meanwhile needs other things.
            change.require(workload)?;
            let Resource { meta, spec, .. } = workload;
            let record = self.store.get::<Deployment>(&meta.scope, &spec.deployment);
            let Some(record) = record.await? else {
                continue;
            };
            self.point_routes(change, &record, &meta.name).await?;
            self.drop_routes(change, &record, &meta.name).await?;
            let nodes = record.spec.graph.needed_by(&meta.name);
            let theirs = needed.entry(meta.scope.as_str()).or_default();
            theirs.insert(meta.name.clone(), nodes);
        }
        for (environment, needed) in needed {
            self.let_go_beside(change, environment, &needed).await?;
        }
        Ok(())
    }

    /// Lets go of what the good deployments of some workloads do not need, whether the failed one wanted it or one that
    /// it took the place of; what holds data stays, unused.
    async fn let_go_beside(
        &self,
        change: &mut Change,
        environment: &str,
        needed: &Needed,
    ) -> Result<()> {
        self.let_go(change, environment, false, |instance, user| {
            let needed = needed.get(user);
            needed.is_some_and(|needed| !needed.contains(&instance.spec.node))
        })
        .await
        .map(drop)
    }

    /// Strikes users out of the instances of an environment, and asks for the removal of those that
    /// nobody uses: not of what holds data, unless `with_data`, and not of what something that stays
    /// was made from. Answers whom it touched.
    pub(crate) async fn let_go(
        &self,
        change: &mut Change,
        environment: &str,
        with_data: bool,
        strikes: impl Fn(&Resource<ResourceInstance>, &str) -> bool,
    ) -> Result<Vec<Key>> {
        let mut instances = self.instances(environment).await?;
        let mut struck = BTreeSet::new();
        for (index, instance) in instances.iter_mut().enumerate() {
            let used_by = instance.status.used_by.clone();
            let stay = |user: &String| !strikes(instance, user);
            let staying: Vec<String> = used_by.iter().filter(|user| stay(user)).cloned().collect();
            if staying.len() < used_by.len() {
                // The same change may have written another spec: this status is written after it.
                record_making(instance);
                instance.status.used_by = staying;
                struck.insert(index);
            }
        }
        let mut goes: BTreeSet<usize> = struck
            .iter()
            .copied()
            .filter(|index| {
                let instance = &instances[*index];
                instance.status.used_by.is_empty() && (with_data || !instance.spec.holds_data)
            })
            .collect();
        // What stays keeps what it was made from, and that what it was made from in turn.
        loop {
            let kept = goes.iter().copied().find(|index| {
                let node = &instances[*index].spec.node;
                instances.iter().enumerate().any(|(other, held)| {
                    !goes.contains(&other)
                        && !held.is_deleting()
                        && held.spec.depends_on.contains(node)
                })
            });
            match kept {
                Some(index) => goes.remove(&index),
                None => break,
            };
        }
        let mut touched = Vec::new();
        for index in struck {
            let instance = &instances[index];
            change.status(instance)?;
            if goes.contains(&index) && !instance.is_deleting() {
                change.delete(instance)?;
            }
            touched.push(instance.key());
        }
        Ok(touched)
    }

    /// Asks, as `gone` goes, for the removal of what that was made from, where nobody uses it, nothing else that stays
    /// was made from it, and it holds no data: it stayed for the sake of `gone` alone.
    pub(crate) async fn let_go_beneath(
        &self,
        change: &mut Change,
        gone: &Resource<ResourceInstance>,
    ) -> Result<()> {
        let instances = self.instances(&gone.meta.scope).await?;
        let stays_on = |node: &NodeId| {
            instances.iter().any(|other| {
                other.meta.uid != gone.meta.uid
                    && !other.is_deleting()
                    && other.spec.depends_on.contains(node)
            })
        };
        for beneath in &instances {
            let node = &beneath.spec.node;
            if gone.spec.depends_on.contains(node)
                && !beneath.is_deleting()
                && !beneath.spec.holds_data
                && beneath.status.used_by.is_empty()
                && !stays_on(node)
            {
                change.delete(beneath)?;
            }
        }
        Ok(())
    }

    /// Has the routes that `deployment` claims for `workload` lead where it says: once its release
    /// serves, not before.
    pub(crate) async fn point_routes(
        &self,
        change: &mut Change,
        deployment: &Resource<Deployment>,
        workload: &str,
    ) -> Result<()> {
        let ours = self.claims_of(deployment, workload);
        let labels = &deployment.meta.labels;
        let team = labels.get(Meta::TEAM).cloned().unwrap_or_default();
        let mut free = Vec::new();
        for (name, claim) in &deployment.spec.claims {
            if !ours.contains(name) {
                continue;
            }
            match self.store.get::<Route>("", name).await? {
                Some(held) if held.spec == *claim => {}
                // Let go of after a failure, and taken since: it belongs to whoever took it, and what claims it
                // says so.
                Some(held)
                    if held.spec.environment != claim.environment
                        || held.spec.workload != claim.workload => {}
                Some(mut held) => {
                    let wanted = Route::claimed(name, claim, &team);
                    held.spec = wanted.spec;
                    held.meta.labels = wanted.meta.labels;
                    change.spec(&held)?;
                }
                None => {
                    let at = self.routes_at(&claim.host).await?;
                    if at
                        .iter()
                        .all(|held| held.spec.environment == claim.environment)
                    {
                        free.push((name, claim));
                    }
                }
            }
        }
        self.claim(change, &free, &team).await
    }

    /// Drops the routes of `workload` that `deployment` does not claim. Says whether there were any.
    async fn drop_routes(
        &self,
        change: &mut Change,
        deployment: &Resource<Deployment>,
        workload: &str,
    ) -> Result<bool> {
        let claims = self.claims_of(deployment, workload);
        let held = self
            .routes_of_workload(&deployment.meta.scope, workload)
            .await?;
        let mut dropped = false;
        for route in held
            .iter()
            .filter(|route| !claims.contains(&route.meta.name))
        {
            change.remove(route)?;
            dropped = true;
        }
        Ok(dropped)
    }

    /// Lets go of the hosts that a workload asked for and never served: others may want them. Should it
    /// get ready after all, it takes those that are still free.
    async fn drop_declared_routes(
        &self,
        change: &mut Change,
        environment: &str,
        workload: &str,
    ) -> Result<()> {
        for route in self.routes_of_workload(environment, workload).await? {
            if route.spec.instance.is_some() {
                change.remove(&route)?;
            }
        }
        Ok(())
    }

    /// Sets what `workload` needs back to the definitions and parameters of `record`. What `failed`
    /// replaced stays replaced: what was there before is gone, and going back would lose what came.
    async fn restore_instances(
        &self,
        change: &mut Change,
        failed: &Resource<Deployment>,
        record: &Resource<Deployment>,
        workload: &str,
    ) -> Result<()> {
        for node in record.spec.graph.needed_by(workload) {
            let name = instance_name(&node);
            let step = failed
                .spec
                .plan
                .resources
                .get(&name)
                .map(|step| step.action);
            let Some(wanted) = record.spec.graph.nodes.get(&node) else {
                continue;
            };
            let found = self
                .store
                .get::<ResourceInstance>(&record.meta.scope, &name)
                .await?;
            let Some(mut instance) = found else { continue };
            if step == Some(Action::Replace) || instance.spec.provisioner != wanted.provisioner {
                continue;
            }
            let before = instance.clone();
            super::deploy::set_from_node(&mut instance, wanted);
            if instance.spec != before.spec {
                change.spec(&instance)?;
            }
        }
        Ok(())
    }
}

/// Whether a ready release of the deployment `record` serves the workload.
fn serves(workload: &Resource<Workload>, record: &Resource<Deployment>) -> bool {
    let status = &workload.status;
    let active = status.releases.get(&status.active_release);
    let is_of_it = match &status.active_deployment {
        Some(deployment) => *deployment == record.meta.name,
        // It was not written down whose release serves when that took over.
        None => record.spec.releases.get(&workload.meta.name) == Some(&status.active_release),
    };
    is_of_it && active.is_some_and(|active| active.phase == Phase::Ready)
}
