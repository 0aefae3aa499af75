//! Bringing an instance to what its spec says.

use std::time::Duration;

use kernel::{Next, Resource, Result};

use super::Pass;
use crate::{
    model::InstancePhase,
    provisioner::{ProvisionError, Request},
    service::{confidence::in_confidence, outputs},
};

impl Pass<'_> {
    /// Brings the instance to what its spec says.
    pub(super) async fn keep(self) -> Result<Next> {
        let Some(provisioner) = self.delivery.provisioner(&self.instance.spec.provisioner) else {
            let error = ProvisionError::permanent(format!(
                "this platform has no provisioner `{}`",
                self.instance.spec.provisioner
            ));
            return self.failed(error).await;
        };
        let inputs = match outputs::of_dependencies(&self.context.store, &self.instance).await? {
            outputs::Inputs::Ready(inputs) => inputs,
            outputs::Inputs::Waiting(names) => {
                return self
                    .waiting(format!("waits for {}", names.join(", ")))
                    .await;
            }
        };
        let inputs_digest = inputs.digest();
        if self.is_current(&inputs_digest) {
            return self.maintain(provisioner.as_ref(), &inputs).await;
        }
        if let Some(rest) = self.rest() {
            return Ok(Next::After(rest));
        }
        let request = match self.request(&inputs).await? {
            Ok(request) => request,
            Err(error) => return self.failed(error).await,
        };
        if self.is_to_be_replaced() {
            return self.clear_for_replacement(&request).await;
        }
        match self.call(provisioner.provision(&request)).await {
            Ok(made) => {
                let made = in_confidence(made, &inputs);
                self.made(made, inputs_digest).await
            }
            Err(error) => self.failed(error).await,
        }
    }

    fn is_to_be_replaced(&self) -> bool {
        let Resource { spec, status, .. } = &self.instance;
        !status.made_by.is_empty() && status.replacements != spec.replacements
    }

    /// Removes what an accepted replacement takes the place of, by the provisioner that made it, and
    /// forgets its state: the next look makes anew.
    async fn clear_for_replacement(mut self, request: &Request) -> Result<Next> {
        let made_by = &self.instance.status.made_by;
        let Some(former) = self.delivery.provisioner(made_by) else {
            let error = ProvisionError::permanent(format!(
                "what is to be replaced was made by provisioner `{made_by}`, which this platform lacks"
            ));
            return self.failed(error).await;
        };
        if let Err(error) = self.call(former.remove(request)).await {
            return self.failed(error).await;
        }
        let status = &mut self.instance.status;
        status.made_by.clear();
        status.state = serde_json::Value::Null;
        status.phase = InstancePhase::Pending;
        let mut change = self.change();
        change.status(&self.instance)?;
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    /// Whether what was made is what the spec and the inputs ask for.
    fn is_current(&self, inputs_digest: &str) -> bool {
        let Resource { meta, spec, status } = &self.instance;
        status.phase == InstancePhase::Ready
            && status.observed_generation == meta.generation
            && status.rotation == spec.rotation
            && status.replacements == spec.replacements
            && status.inputs_digest == inputs_digest
    }
}
