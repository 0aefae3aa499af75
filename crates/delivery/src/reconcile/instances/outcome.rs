//! Writing down what came of a look: made, waiting, failed.

use std::time::Duration;

use kernel::{Next, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::{
    model::{FIRST_ROTATION, InstancePhase, Making},
    provisioner::{Output, ProvisionError, Provisioned},
    reconcile::BACKOFF,
    service::outputs,
};

impl Pass<'_> {
    pub(super) async fn made(mut self, made: Provisioned, inputs_digest: String) -> Result<Next> {
        let mut change = self.change();
        let uid = self.instance.meta.uid;
        let seed = outputs::seed(&self.context.store, uid).await?;
        let digest = outputs::digest(&seed, &made.outputs);
        let generation = self.instance.meta.generation;
        let rotation = self.instance.spec.rotation;
        let making = Making::of(&self.instance.spec);
        let status = &mut self.instance.status;
        status.made_by.clone_from(&making.provisioner);
        status.replacements = making.replacements;
        // What could not be removed, and is none of this, is asked for again with the removal.
        status.begun.retain(|begun| !begun.is_one_with(&making));
        status.made = Some(making);
        status.phase = InstancePhase::Ready;
        status.observed_generation = generation;
        if status.oldest_rotation == 0 {
            // It may have been rotated before it was ready for the first time: what an earlier attempt has made of its
            // login works, too, until it is retired.
            status.oldest_rotation = FIRST_ROTATION;
        }
        status.rotation = rotation;
        status.outputs_digest = digest;
        status.inputs_digest = inputs_digest;
        status.state = made.state;
        status.listens = made.listens;
        status.summary = made.summary;
        status.message.clear();
        status.remedy = None;
        status.attempts = 0;
        status.next_try = None;
        status.unreachable = None;
        status.seen = Some(self.delivery.now());
        let was_gone = std::mem::take(&mut status.vanished);
        status.outputs.clear();
        status.secret_outputs.clear();
        for (name, output) in made.outputs {
            match output {
                Output::Plain(value) => {
                    status.outputs.insert(name, value);
                }
                Output::Secret(secret) => {
                    change.seal(uid, outputs::sealed_name(&name), secret);
                    status.secret_outputs.push(name);
                }
            }
        }
        change.status(&self.instance)?;
        if was_gone && self.instance.spec.holds_data {
            self.roll_users(&mut change).await?;
        }
        change.event(self.event(
            "resource-instance.ready",
            Some(Outcome::Pass),
            json!({
                "node": self.instance.spec.node,
                "definition": self.instance.spec.definition.to_string(),
                "summary": self.instance.status.summary,
                "rotation": rotation,
            }),
        ));
        let retires = self.instance.status.oldest_rotation < rotation;
        self.context.store.commit(change).await?;
        self.nudge_dependents().await?;
        // Its users may have moved already, or never run: then nobody else has it looked at.
        Ok(if retires {
            Next::After(Duration::ZERO)
        } else {
            Next::Idle
        })
    }

    pub(super) async fn waiting(mut self, message: String) -> Result<Next> {
        let status = &mut self.instance.status;
        // An instance that is up stays up while something beneath it changes.
        let up = status.phase == InstancePhase::Ready;
        if !up && (status.phase != InstancePhase::Pending || status.message != message) {
            status.phase = InstancePhase::Pending;
            status.message = message;
            let mut change = self.change();
            change.status(&self.instance)?;
            self.context.store.commit(change).await?;
        }
        Ok(Next::Idle)
    }

    pub(super) async fn failed(mut self, mut error: ProvisionError) -> Result<Next> {
        let generation = self.instance.meta.generation;
        let removing = self.instance.is_deleting();
        // One that was cut short has not failed.
        if removing && !self.context.stop.is_cancelled() {
            self.instance
                .status
                .removal_fails
                .get_or_insert_with(|| self.delivery.now());
            let way_out = self.way_out();
            error.remedy = Some(match error.remedy {
                Some(remedy) => format!("{remedy}; {way_out}"),
                None => way_out,
            });
        }
        let status = &mut self.instance.status;
        if status.observed_generation != generation {
            status.attempts = 0;
        }
        let phase = match (removing, error.retry) {
            (true, _) => InstancePhase::Removing,
            (false, true) => InstancePhase::Retrying,
            (false, false) => InstancePhase::Failed,
        };
        status.attempts = status.attempts.saturating_add(1);
        // What "will not help" is tried again too, slowly: a person may have mended the server.
        let rest = if error.retry {
            BACKOFF.after(status.attempts)
        } else {
            BACKOFF.longest()
        };
        status.next_try = self.delivery.now().checked_add(rest).ok();
        status.unreachable = None;
        // The same failure again is counted, and not told again.
        let is_news = status.attempts == 1
            || status.observed_generation != generation
            || status.phase != phase
            || status.message != error.message
            || status.remedy != error.remedy;
        status.observed_generation = generation;
        status.phase = phase;
        status.message.clone_from(&error.message);
        status.remedy.clone_from(&error.remedy);
        let mut change = self.change();
        if is_news {
            change.status(&self.instance)?;
            change.event(self.event(
                "resource-instance.failed",
                Some(Outcome::Fail),
                json!({
                    "node": self.instance.spec.node,
                    "message": error.message,
                    "remedy": error.remedy,
                    "retry": error.retry,
                }),
            ));
        } else {
            change.note(&self.instance)?;
        }
        self.context.store.commit(change).await?;
        if is_news {
            self.nudge_dependents().await?;
        }
        Ok(Next::After(rest))
    }

    /// What to do about a removal that fails.
    fn way_out(&self) -> String {
        let meta = &self.instance.meta;
        format!(
            "it is tried again; where its server is gone for good, an operator gives it up: `towpath \
             resource abandon {} --env {}`",
            meta.name, meta.scope
        )
    }
}
