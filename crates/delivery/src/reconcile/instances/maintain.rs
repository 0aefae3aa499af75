//! Looking after an instance that is as its spec says: old credentials end, and what is no longer
//! there is made again.

use std::time::Duration;

use jiff::Timestamp;
use kernel::{Next, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::{
    model::Workload,
    provisioner::{Presence, Provisioner, Request},
    reconcile::back_off,
    service::outputs,
};

impl Pass<'_> {
    /// Ends old credentials that nobody uses any more, and heals what is no longer there.
    pub(super) async fn maintain(
        mut self,
        provisioner: &dyn Provisioner,
        inputs: &outputs::Resolved,
    ) -> Result<Next> {
        const LOOK_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
        let now = Timestamp::now();
        let retire = self.instance.status.oldest_rotation < self.instance.spec.rotation
            && self.users_have_moved().await?;
        let look = self
            .instance
            .status
            .seen
            .is_none_or(|seen| now.duration_since(seen) > LOOK_AGAIN);
        if !retire && !look {
            return Ok(Next::Idle);
        }
        let request = match self.request(inputs).await? {
            Ok(request) => request,
            Err(error) => return self.failed(error).await,
        };
        if retire {
            if let Err(error) = self.call(provisioner.retire(&request)).await {
                tracing::warn!(instance = %self.instance.key(), %error, "old credentials still work");
                return Ok(Next::After(back_off(5)));
            }
            self.instance.status.oldest_rotation = self.instance.spec.rotation;
        }
        match provisioner.presence(&request).await {
            Presence::Present => self.instance.status.seen = Some(now),
            // "Could not ask" heals nothing: the next look may tell.
            Presence::Unknown => return Ok(Next::After(Duration::from_secs(30))),
            Presence::Absent => return self.vanished(provisioner, &request, inputs).await,
        }
        let mut change = self.change();
        change.status(&self.instance)?;
        if retire {
            change.event(self.event(
                "credentials-retired",
                Some(Outcome::Pass),
                json!({
                    "rotation": self.instance.spec.rotation,
                }),
            ));
        }
        self.context.store.commit(change).await?;
        Ok(Next::Idle)
    }

    /// Makes again what somebody removed by hand. The drift is recorded before it is healed.
    async fn vanished(
        self,
        provisioner: &dyn Provisioner,
        request: &Request,
        inputs: &outputs::Resolved,
    ) -> Result<Next> {
        let mut change = self.change();
        change.event(self.event(
            "drifted",
            Some(Outcome::Fail),
            json!({
                "message": "it is no longer there, although nobody asked Towpath to remove it",
                "holdsData": self.instance.spec.holds_data,
            }),
        ));
        self.context.store.commit(change).await?;
        let digest = self.instance.status.inputs_digest.clone();
        match self.call(provisioner.provision(request)).await {
            Ok(made) => {
                self.made(outputs::in_confidence(made, inputs), digest)
                    .await
            }
            Err(error) => self.failed(error).await,
        }
    }

    /// Whether every workload that uses it runs with the present credentials.
    async fn users_have_moved(&self) -> Result<bool> {
        for name in &self.instance.status.used_by {
            let Some(workload) = self
                .context
                .store
                .get::<Workload>(&self.instance.meta.scope, name)
                .await?
            else {
                continue;
            };
            let moved = workload.status.active_release == workload.spec.release
                && workload
                    .status
                    .releases
                    .keys()
                    .all(|r| *r == workload.spec.release);
            if !moved {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
