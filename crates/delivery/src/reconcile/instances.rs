//! Makes, heals, rotates and removes resource instances.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{Change, Key, Kind, Next, Outcome, Reconciler, Resource, Result, reconciler::Context};
use serde_json::json;

use super::back_off;
use crate::{
    model::{InstancePhase, NodeId, ResourceInstance, Workload, instance_name},
    provisioner::{Presence, ProvisionError, Provisioned, Provisioner, Request},
    service::{Delivery, events, outputs},
};

/// How long one call of a provisioner may take. Starting a broker for the first time, with an image
/// to pull, is the longest that is known: minutes.
const CALL_LIMIT: Duration = Duration::from_mins(5);

/// The reconciler of [`ResourceInstance`].
pub struct Instances(pub Arc<Delivery>);

#[async_trait]
impl Reconciler for Instances {
    fn name(&self) -> &'static str {
        "resource-instances"
    }

    fn kind(&self) -> &'static str {
        ResourceInstance::KIND
    }

    fn concurrency(&self) -> usize {
        16
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(instance) = context
            .store
            .get::<ResourceInstance>(&key.scope, &key.name)
            .await?
        else {
            return Ok(Next::Idle);
        };
        let pass = Pass {
            delivery: &self.0,
            context,
            instance,
        };
        if pass.instance.is_deleting() {
            pass.remove().await
        } else {
            pass.keep().await
        }
    }
}

/// One look at one instance.
struct Pass<'a> {
    delivery: &'a Delivery,
    context: &'a Context,
    instance: Resource<ResourceInstance>,
}

impl Pass<'_> {
    /// Brings the instance to what its spec says.
    async fn keep(self) -> Result<Next> {
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
                let made = outputs::in_confidence(made, &inputs);
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

    /// How long to rest before the next try; nothing where the spec has changed since the failure.
    fn rest(&self) -> Option<Duration> {
        let Resource { meta, status, .. } = &self.instance;
        if status.observed_generation != meta.generation {
            return None;
        }
        let rest = Duration::try_from(status.next_try?.duration_since(Timestamp::now())).ok()?;
        (!rest.is_zero()).then_some(rest)
    }

    /// Ends old credentials that nobody uses any more, and heals what is no longer there.
    async fn maintain(
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

    /// What the provisioner is asked; an inner error where the parameters cannot be resolved.
    async fn request(
        &self,
        inputs: &outputs::Resolved,
    ) -> Result<std::result::Result<Request, ProvisionError>> {
        match inputs.params(&self.instance.spec.params) {
            Ok(params) => self.request_with(params).await,
            Err(message) => Ok(Err(ProvisionError::permanent(message))),
        }
    }

    async fn request_with(
        &self,
        params: serde_json::Map<String, serde_json::Value>,
    ) -> Result<std::result::Result<Request, ProvisionError>> {
        let Resource { meta, spec, status } = &self.instance;
        let machine_host = match self.machine_host().await? {
            Ok(host) => host,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(Request {
            platform: self.context.store.platform(),
            uid: meta.uid,
            environment: meta.scope.clone(),
            role: spec.role.clone(),
            team: spec.team.clone(),
            workload: spec.workload.clone(),
            resource_type: spec.node.resource_type.clone(),
            class: spec.node.class.clone(),
            id: spec.node.id.clone(),
            params,
            seed: outputs::seed(&self.context.store, meta.uid).await?,
            rotation: spec.rotation,
            state: status.state.clone(),
            machine_host,
        }))
    }

    /// Where the environment's workloads reach this machine. Of no use to a removal, for which an
    /// engine must not make a network anew.
    async fn machine_host(&self) -> Result<std::result::Result<String, ProvisionError>> {
        if self.instance.is_deleting() {
            return Ok(Ok("127.0.0.1".into()));
        }
        let environment = &self.instance.meta.scope;
        let engine = self.delivery.engine_of(environment).await?;
        let host = engine.machine_host(environment).await;
        Ok(host.map_err(|error| ProvisionError::transient(error.message)))
    }

    /// Calls the provisioner, within the limit and as long as this replica may.
    async fn call<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, ProvisionError>> + Send,
    ) -> std::result::Result<T, ProvisionError> {
        tokio::select! {
            done = tokio::time::timeout(CALL_LIMIT, work) => done.unwrap_or_else(|_| {
                Err(ProvisionError::transient(format!("no answer within {} s", CALL_LIMIT.as_secs())))
            }),
            () = self.context.stop.cancelled() => {
                Err(ProvisionError::transient("the platform is stopping; another takes over"))
            }
        }
    }

    async fn made(mut self, made: Provisioned, inputs_digest: String) -> Result<Next> {
        let mut change = self.change();
        let uid = self.instance.meta.uid;
        let seed = outputs::seed(&self.context.store, uid).await?;
        let digest = outputs::digest(&seed, &made.outputs);
        let generation = self.instance.meta.generation;
        let rotation = self.instance.spec.rotation;
        let (made_by, replacements) = (
            self.instance.spec.provisioner.clone(),
            self.instance.spec.replacements,
        );
        let status = &mut self.instance.status;
        status.made_by = made_by;
        status.replacements = replacements;
        status.phase = InstancePhase::Ready;
        status.observed_generation = generation;
        if status.oldest_rotation == 0 {
            status.oldest_rotation = rotation;
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
        status.seen = Some(Timestamp::now());
        status.outputs.clear();
        status.secret_outputs.clear();
        for (name, output) in made.outputs {
            match output {
                crate::provisioner::Output::Plain(value) => {
                    status.outputs.insert(name, value);
                }
                crate::provisioner::Output::Secret(secret) => {
                    change.seal(uid, outputs::sealed_name(&name), secret);
                    status.secret_outputs.push(name);
                }
            }
        }
        change.status(&self.instance)?;
        change.event(self.event(
            "ready",
            Some(Outcome::Pass),
            json!({
                "node": self.instance.spec.node,
                "definition": self.instance.spec.definition.to_string(),
                "summary": self.instance.status.summary,
                "rotation": rotation,
            }),
        ));
        self.context.store.commit(change).await?;
        self.nudge_dependents().await?;
        Ok(Next::Idle)
    }

    async fn waiting(mut self, message: String) -> Result<Next> {
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

    async fn failed(mut self, error: ProvisionError) -> Result<Next> {
        let generation = self.instance.meta.generation;
        let removing = self.instance.is_deleting();
        let status = &mut self.instance.status;
        if status.observed_generation != generation {
            status.attempts = 0;
        }
        let rest = back_off(status.attempts);
        status.phase = match (removing, error.retry) {
            (true, _) => InstancePhase::Removing,
            (false, true) => InstancePhase::Retrying,
            (false, false) => InstancePhase::Failed,
        };
        status.observed_generation = generation;
        status.attempts += 1;
        // What "will not help" is tried again too, slowly: a person may have mended the server.
        let rest = if error.retry {
            rest
        } else {
            rest.max(Duration::from_secs(30))
        };
        status.next_try = Timestamp::now().checked_add(rest).ok();
        status.message.clone_from(&error.message);
        status.remedy.clone_from(&error.remedy);
        let first_or_other = status.attempts == 1;
        let mut change = self.change();
        change.status(&self.instance)?;
        if first_or_other {
            change.event(self.event(
                "failed",
                Some(Outcome::Fail),
                json!({
                    "node": self.instance.spec.node,
                    "message": error.message,
                    "remedy": error.remedy,
                    "retry": error.retry,
                }),
            ));
        }
        self.context.store.commit(change).await?;
        self.nudge_dependents().await?;
        Ok(Next::After(rest))
    }

    /// Removes what was made, once nothing uses it any more.
    async fn remove(mut self) -> Result<Next> {
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
        for node in &self.instance.spec.depends_on {
            self.nudge(node);
        }
        self.context.nudge(Key::of::<crate::model::Environment>(
            "",
            &self.instance.meta.scope,
        ));
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

    async fn nudge_dependents(&self) -> Result<()> {
        let scope = &self.instance.meta.scope;
        for other in self.delivery.instances(scope).await? {
            if other.spec.depends_on.contains(&self.instance.spec.node) {
                self.context.nudge(other.key());
            }
        }
        for workload in &self.instance.status.used_by {
            self.context.nudge(Key::of::<Workload>(scope, workload));
        }
        Ok(())
    }

    fn nudge(&self, node: &NodeId) {
        let key = Key::of::<ResourceInstance>(&self.instance.meta.scope, instance_name(node));
        self.context.nudge(key);
    }

    fn change(&self) -> Change {
        events::change("resource-instances", self.instance.spec.correlation)
            .fenced(self.context.fence.clone())
    }

    fn event(
        &self,
        what: &str,
        outcome: Option<Outcome>,
        data: serde_json::Value,
    ) -> kernel::NewEvent {
        kernel::NewEvent {
            kind: format!("dev.towpath.resource-instance.{what}"),
            subject: self.instance.key(),
            team: self.instance.spec.team.clone(),
            correlation: self.instance.spec.correlation,
            actor: "system:resource-instances".into(),
            outcome,
            data,
        }
    }
}
