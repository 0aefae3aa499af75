//! Removing an instance, once nothing uses it any more.

use std::time::Duration;

use kernel::{Key, Next, Outcome, Resource, Result};
use serde_json::json;

use super::{Pass, lookout::Server};
use crate::{
    model::{
        Environment, InstancePhase, Making, ResourceInstance, Workload, instance_name, makings,
    },
    provisioner::ProvisionError,
};

/// What could not be removed.
pub(super) struct Left {
    /// Why, of the first.
    pub(super) error: ProvisionError,
    /// How it was made.
    pub(super) makings: Vec<Making>,
}

impl Pass<'_> {
    /// Removes what was made, once nothing uses it any more.
    pub(super) async fn remove(mut self) -> Result<Next> {
        let users = self.users().await?;
        if !users.is_empty() {
            let message = format!("waits until {} no longer uses it", users.join(", "));
            if self.instance.status.message != message
                || self.instance.status.phase != InstancePhase::Removing
            {
                self.instance.status.phase = InstancePhase::Removing;
                self.instance.status.message = message;
                self.instance.status.remedy = None;
                self.instance.status.removal_fails = None;
                let mut change = self.change();
                change.status(&self.instance)?;
                self.context.store.commit(change).await?;
            }
            return Ok(Next::After(Duration::from_secs(2)));
        }
        if let Some(rest) = self.rest() {
            return Ok(Next::After(rest));
        }
        if !self.never_begun().await?
            && let Err(left) = self.unmake().await?
        {
            return self.failed(left.error).await;
        }
        let mut change = self.change();
        for route in self.delivery.routes_of_instance(&self.instance).await? {
            change.remove(&route)?;
        }
        change.remove(&self.instance)?;
        self.delivery
            .let_go_beneath(&mut change, &self.instance)
            .await?;
        change.event(self.event(
            "resource-instance.removed",
            Some(Outcome::Pass),
            json!({
                "node": self.instance.spec.node,
            }),
        ));
        self.context.store.commit(change).await?;
        if self.lookouts.leave(&self.instance.key()) {
            self.nudge_others_of(&Server::of(&self.instance)).await?;
        }
        for node in &self.instance.spec.depends_on {
            self.nudge(node);
        }
        self.context
            .nudge(Key::of::<Environment>("", &self.instance.meta.scope));
        Ok(Next::Idle)
    }

    /// Has whoever made it, or had begun to, remove it: each, whether another can or not.
    pub(super) async fn unmake(&self) -> Result<std::result::Result<(), Left>> {
        let (mut first, mut left) = (None, Vec::new());
        for making in makings(&self.instance) {
            if let Err(error) = self.unmake_one(&making).await? {
                first.get_or_insert(error);
                left.push(making);
            }
        }
        Ok(match first {
            None => Ok(()),
            Some(error) => Err(Left {
                error,
                makings: left,
            }),
        })
    }

    async fn unmake_one(&self, making: &Making) -> Result<std::result::Result<(), ProvisionError>> {
        let maker = &making.provisioner;
        let Some(provisioner) = self.delivery.provisioner(maker) else {
            return Ok(Err(ProvisionError::permanent(format!(
                "it was made by provisioner `{maker}`, which this platform lacks"
            ))));
        };
        let request = self.delivery.removal_of(&self.instance, making).await?;
        let work = provisioner.remove(&request);
        Ok(self.call(provisioner.as_ref(), &request, work).await)
    }

    /// Whether nobody was ever asked to make it: something that it is made on never was there. Then no
    /// server has to be asked to remove it, and none can be in the way. What an instance is made on stays
    /// until the instance has gone, and only a spec that is still the first one says what that was.
    async fn never_begun(&self) -> Result<bool> {
        let Resource { meta, spec, status } = &self.instance;
        if !status.made_by.is_empty() || meta.generation > 1 {
            return Ok(false);
        }
        for node in &spec.depends_on {
            let beneath = self
                .context
                .store
                .get::<ResourceInstance>(&meta.scope, &instance_name(node))
                .await?;
            // One that is not in the store any more may have been there once.
            let never_there = |it: Resource<ResourceInstance>| {
                it.status.made_by.is_empty() && it.spec.replacements == 0
            };
            if beneath.is_some_and(never_there) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Who stands in the way of its removal: running workloads, and instances that were made on it.
    async fn users(&self) -> Result<Vec<String>> {
        let scope = &self.instance.meta.scope;
        let mut users = Vec::new();
        for name in &self.instance.status.used_by {
            if self
                .context
                .store
                .get::<Workload>(scope, name)
                .await?
                .is_some()
            {
                users.push(format!("workload {name}"));
            }
        }
        for other in self.delivery.instances(scope).await? {
            if other.spec.depends_on.contains(&self.instance.spec.node) {
                users.push(other.spec.node.to_string());
            }
        }
        Ok(users)
    }
}
