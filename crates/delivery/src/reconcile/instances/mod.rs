//! Makes, heals, rotates and removes resource instances.
//!
//! One look at an instance is a [`Pass`]. It either keeps the instance (`keep`: makes it, or, where it
//! is made, `maintain`s it) or removes it (`remove`); what it asks of a provisioner is put together and
//! bounded in `ask`, and what came of it is written in `outcome`. That a server is away is noticed by
//! one of its instances, its `lookout`.

mod ask;
mod keep;
mod lookout;
mod maintain;
mod outcome;
mod remove;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{
    Cause, Change, Key, Kind, Next, Outcome, Reconciler, Resource, Result, reconciler::Context,
};

use self::lookout::Lookouts;
use crate::{
    model::{NodeId, ResourceInstance, Workload, instance_name},
    service::{Delivery, events},
};

/// The reconciler of [`ResourceInstance`].
pub struct Instances {
    delivery: Arc<Delivery>,
    lookouts: Lookouts,
}

impl Instances {
    /// With the use cases that it shares the store, the engines and the provisioners with.
    pub fn new(delivery: Arc<Delivery>) -> Self {
        Self {
            delivery,
            lookouts: Lookouts::default(),
        }
    }
}

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

    fn lane(&self, key: &Key) -> String {
        self.delivery.owners.of(&key.scope)
    }

    async fn survey(&self, context: &Context) -> Result<()> {
        self.delivery.owners.read(&context.store).await
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
            delivery: &self.delivery,
            lookouts: &self.lookouts,
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
    lookouts: &'a Lookouts,
    context: &'a Context,
    instance: Resource<ResourceInstance>,
}

impl Pass<'_> {
    /// How long to rest before the next try; nothing where the spec has changed since the failure.
    fn rest(&self) -> Option<Duration> {
        let Resource { meta, status, .. } = &self.instance;
        if status.observed_generation != meta.generation {
            return None;
        }
        let rest = Duration::try_from(status.next_try?.duration_since(self.delivery.now())).ok()?;
        (!rest.is_zero()).then_some(rest)
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
            kind: format!("{}{what}", kernel::NewEvent::PREFIX),
            subject: self.instance.key(),
            team: self.instance.spec.team.clone(),
            cause: Cause::system("resource-instances", self.instance.spec.correlation),
            outcome,
            data,
        }
    }
}
