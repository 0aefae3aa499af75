//! Removing an instance, once nothing uses it any more.

use std::time::Duration;

use kernel::{Key, Next, Outcome, Resource, Result};
use serde_json::json;

use super::{Pass, lookout::Server};
use crate::{
    model::{Environment, InstancePhase, ResourceInstance, Workload, instance_name, makers},
    provisioner::ProvisionError,
    service::outputs,
};

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
            && let Err(error) = self.unmake().await?
        {
            return self.failed(error).await;
        }
        let mut change = self.change();
        for route in self.delivery.routes_of_instance(&self.instance).await? {
            change.remove(&route)?;
        }
        change.remove(&self.instance)?;
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

    /// Has whoever made it, or may have, remove it.
    async fn unmake(&self) -> Result<std::result::Result<(), ProvisionError>> {
        let inputs = outputs::recorded(&self.context.store, &self.instance).await?;
        let params = inputs.params_as_known(&self.instance.spec.params);
        let request = match self.request_with(params).await? {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        for maker in makers(&self.instance) {
            let Some(provisioner) = self.delivery.provisioner(maker) else {
                return Ok(Err(ProvisionError::permanent(format!(
                    "it was made by provisioner `{maker}`, which this platform lacks"
                ))));
            };
            if let Err(error) = self.call(provisioner.remove(&request)).await {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
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
