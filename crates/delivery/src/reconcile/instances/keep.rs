//! Bringing an instance to what its spec says.

use std::time::Duration;

use kernel::{Next, Resource, Result};

use super::{Pass, remove::Left};
use crate::{
    model::{InstancePhase, Making, made},
    provisioner::ProvisionError,
    service::{confidence::in_confidence, outputs},
};

impl Pass<'_> {
    /// Brings the instance to what its spec says.
    pub(super) async fn keep(mut self) -> Result<Next> {
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
            return self.clear_for_replacement().await;
        }
        self.begin().await?;
        let work = provisioner.provision(&request);
        match self.call(provisioner.as_ref(), &request, work).await {
            Ok(made) => {
                let made = in_confidence(made, &inputs);
                self.made(made, inputs_digest).await
            }
            Err(error) => self.failed(error).await,
        }
    }

    fn is_to_be_replaced(&self) -> bool {
        // What was begun before that, and is none of it, could not be removed: it is in nobody's place.
        let present = made(&self.instance).or_else(|| self.instance.status.begun.last().cloned());
        present.is_some_and(|present| !present.is_changed_by(&self.instance.spec))
    }

    /// Writes down what is going to be asked for, where that is not known yet: whatever becomes of the call and of
    /// the spec, what it may have made is removed as it was made.
    async fn begin(&mut self) -> Result<()> {
        let Resource { spec, status, .. } = &mut self.instance;
        let making = Making::of(spec);
        let mut known = status.made.iter().chain(&status.begun);
        if known.any(|one| *one == making) {
            return Ok(());
        }
        status.begun.push(making);
        let mut change = self.change();
        change.status(&self.instance)?;
        let committed = self.context.store.commit(change).await?;
        self.instance = committed.resource(&self.instance.key())?;
        Ok(())
    }

    /// Removes what an accepted replacement takes the place of, as it was made, and forgets its state: the
    /// next look makes anew. What was never made and cannot be removed does not keep its own correction back: the
    /// removal of the instance asks for it again.
    async fn clear_for_replacement(mut self) -> Result<Next> {
        let mut begun = Vec::new();
        if let Err(Left { mut error, makings }) = self.unmake().await? {
            let made = made(&self.instance);
            let is_made = |left: &Making| made.as_ref().is_some_and(|made| made.is_one_with(left));
            // A call that was cut short says nothing of the thing.
            if self.context.stop.is_cancelled() || makings.iter().any(is_made) {
                error.message = format!("what is to be replaced is not removed: {}", error.message);
                return self.failed(error).await;
            }
            tracing::warn!(
                instance = %self.instance.key(),
                error = error.message,
                "what was begun stays until its resource is removed"
            );
            begun = makings;
        }
        begun.push(Making::of(&self.instance.spec));
        let status = &mut self.instance.status;
        status.made_by.clear();
        status.made = None;
        status.begun = begun;
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
