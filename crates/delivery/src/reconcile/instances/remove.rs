//! Removing an instance, once nothing uses it any more.

use std::time::Duration;

use kernel::{Key, Next, Outcome, Result};
use serde_json::json;

use super::{Pass, lookout::Server};
use crate::{
    model::{Environment, InstancePhase, Workload},
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
                let mut change = self.change();
                change.status(&self.instance)?;
                self.context.store.commit(change).await?;
            }
            return Ok(Next::After(Duration::from_secs(2)));
        }
        if let Some(rest) = self.rest() {
            return Ok(Next::After(rest));
        }
        let inputs = outputs::recorded(&self.context.store, &self.instance).await?;
        let params = inputs.params_as_known(&self.instance.spec.params);
        let request = match self.request_with(params).await? {
            Ok(request) => request,
            Err(error) => return self.failed(error).await,
        };
        // What is there was made by the provisioner of then; the present one may have begun, too.
        let (made_by, present) = (
            &self.instance.status.made_by,
            &self.instance.spec.provisioner,
        );
        let mut makers = vec![present];
        if !made_by.is_empty() && made_by != present {
            makers.push(made_by);
        }
        for maker in makers {
            let Some(provisioner) = self.delivery.provisioner(maker) else {
                let error = ProvisionError::permanent(format!(
                    "it was made by provisioner `{maker}`, which this platform lacks"
                ));
                return self.failed(error).await;
            };
            if let Err(error) = self.call(provisioner.remove(&request)).await {
                return self.failed(error).await;
            }
        }
        let mut change = self.change();
        for route in self.delivery.routes_of_instance(&self.instance).await? {
            change.remove(&route)?;
        }
        change.remove(&self.instance)?;
        change.event(self.event(
            "removed",
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
