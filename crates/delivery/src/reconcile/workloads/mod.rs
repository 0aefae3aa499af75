//! Hands workloads to their engine, lets new releases take over, and removes.
//!
//! One look at a workload is a [`Pass`]. It either keeps the workload (`keep`: resolved, handed over,
//! observed; `observe` takes in what the engine sees, `former` ends releases that no longer serve) or
//! removes it (`remove`).

mod former;
mod keep;
mod observe;
mod remove;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{
    Cause, Change, Key, Kind, NewEvent, Next, Outcome, Reconciler, Resource, Result,
    reconciler::Context,
};

use crate::{
    Engine,
    engine::{EngineError, ReleaseRef},
    model::{Deployment, Environment, Workload, WorkloadStatus},
    service::{Delivery, events},
};

/// The reconciler of [`Workload`].
pub struct Workloads(pub Arc<Delivery>);

#[async_trait]
impl Reconciler for Workloads {
    fn name(&self) -> &'static str {
        "workloads"
    }

    fn kind(&self) -> &'static str {
        Workload::KIND
    }

    fn concurrency(&self) -> usize {
        16
    }

    fn lane(&self, key: &Key) -> String {
        self.0.owners.of(&key.scope)
    }

    async fn survey(&self, context: &Context) -> Result<()> {
        self.0.owners.read(&context.store).await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(workload) = context.store.get::<Workload>(&key.scope, &key.name).await? else {
            return Ok(Next::Idle);
        };
        let environment = context.store.expect::<Environment>("", &key.scope).await?;
        let engine = self.0.engine(&environment.spec.engine)?;
        let mut pass = Pass {
            delivery: &self.0,
            context,
            engine: engine.as_ref(),
            team: environment.spec.team,
            workload,
        };
        if pass.workload.is_deleting() {
            pass.remove().await
        } else {
            pass.keep().await
        }
    }
}

/// One look at one workload.
struct Pass<'a> {
    delivery: &'a Delivery,
    context: &'a Context,
    engine: &'a dyn Engine,
    team: String,
    workload: Resource<Workload>,
}
impl Pass<'_> {
    /// Writes the status where it has changed, and wakes the deployment.
    async fn write(&mut self, before: &WorkloadStatus) -> Result<()> {
        let change = self.change();
        self.commit(change, before, Vec::new()).await
    }

    /// The same with what happened, in one `change`.
    async fn commit(
        &mut self,
        mut change: Change,
        before: &WorkloadStatus,
        happened: Vec<NewEvent>,
    ) -> Result<()> {
        if *before == self.workload.status && happened.is_empty() && change.is_empty() {
            return Ok(());
        }
        change.status(&self.workload)?;
        for event in happened {
            change.event(event);
        }
        let releases = &self.workload.status.releases;
        let ended = (before.releases.keys()).any(|number| !releases.contains_key(number));
        let key = self.workload.key();
        let committed = self.context.store.commit(change).await?;
        let written = committed
            .documents
            .into_iter()
            .find(|document| document.key() == key);
        if let Some(document) = written {
            self.workload.meta = document.meta;
        }
        self.nudge_deployment();
        if ended {
            // Credentials that only it had may end now.
            self.nudge_instances().await?;
        }
        Ok(())
    }

    /// In one text, why the engine could not, and how to mend it.
    fn words(error: EngineError) -> String {
        match error.remedy {
            Some(remedy) => format!("{}; {remedy}", error.message),
            None => error.message,
        }
    }

    /// When to ask an engine again that could not do what it was asked.
    fn after(error: &EngineError) -> Next {
        Next::After(Duration::from_secs(if error.retry { 1 } else { 30 }))
    }

    fn nudge_deployment(&self) {
        let spec = &self.workload.spec;
        let key = Key::of::<Deployment>(&self.workload.meta.scope, &spec.deployment);
        self.context.nudge(key);
    }

    fn id(&self, release: u64) -> ReleaseRef {
        ReleaseRef {
            environment: self.workload.meta.scope.clone(),
            workload: self.workload.meta.name.clone(),
            release,
        }
    }

    fn change(&self) -> Change {
        events::change("workloads", self.workload.spec.correlation)
            .fenced(self.context.fence.clone())
    }

    fn event(&self, what: &str, outcome: Option<Outcome>, data: serde_json::Value) -> NewEvent {
        NewEvent {
            kind: format!("{}{what}", NewEvent::PREFIX),
            subject: self.workload.key(),
            team: self.team.clone(),
            cause: Cause::system("workloads", self.workload.spec.correlation),
            outcome,
            data,
        }
    }
}
