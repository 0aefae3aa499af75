//! Hands workloads to their engine, lets new releases take over, and removes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use kernel::{
    Change, ErrorKind, Key, Kind, NewEvent, Next, Outcome, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;

use super::drain;
use crate::{
    Engine,
    engine::{EngineError, Phase, Release, ReleaseRef, ReleaseState},
    model::{Deployment, Environment, Workload, begin_release},
    score,
    service::{Delivery, events, outputs},
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
    async fn keep(&mut self) -> Result<Next> {
        let before = self.workload.status.clone();
        let release = match self.resolve().await? {
            Ok(release) => release,
            Err(message) => {
                self.workload.status.message = message;
                self.look_at_others().await?;
                self.write(&before).await?;
                return Ok(self.while_serving());
            }
        };
        if self.must_roll(&release) {
            return self.roll().await;
        }
        let fresh = self.workload.status.digest != release.digest;
        self.workload.status.digest.clone_from(&release.digest);
        if release.fixed_ports
            && let Err(error) = self.make_room().await
        {
            return self.refused(&before, error).await;
        }
        if let Err(error) = self.engine.apply(&release).await {
            return self.refused(&before, error).await;
        }
        let state = match self.engine.observe(&release.id).await {
            Ok(state) => state,
            Err(error) => return self.refused(&before, error).await,
        };
        let Some(state) = state else {
            // It was taken away between the two calls: the next look applies it again.
            return Ok(Next::After(Duration::from_millis(200)));
        };
        let mut happened = Vec::new();
        if fresh {
            happened.push(self.event("started", None, json!({ "release": release.id.release })));
        }
        happened.extend(self.take_in(release.id.release, state));
        self.look_at_others().await?;
        let mut change = self.change();
        if self.workload.status.active_release != before.active_release {
            let (scope, name) = (&self.workload.meta.scope, &self.workload.spec.deployment);
            let deployment = self.context.store.expect::<Deployment>(scope, name).await?;
            let workload = &self.workload.meta.name;
            self.delivery
                .point_routes(&mut change, &deployment, workload)
                .await?;
        }
        self.commit(change, &before, happened).await?;
        self.remove_old_releases().await
    }

    /// Stops other releases before the one that should serve: it wants their ports.
    async fn make_room(&mut self) -> std::result::Result<(), EngineError> {
        let wanted = self.workload.spec.release;
        let status = &self.workload.status;
        let others: Vec<u64> = status
            .releases
            .keys()
            .copied()
            .filter(|n| *n != wanted)
            .collect();
        for number in others {
            self.engine.remove(&self.id(number), drain::GRACE).await?;
            self.workload.status.releases.remove(&number);
            if self.workload.status.active_release == number {
                self.workload.status.endpoints.clear();
            }
        }
        Ok(())
    }

    /// Takes in what the engine sees of the release that should serve, and lets it take over once it
    /// is ready.
    fn take_in(&mut self, number: u64, state: ReleaseState) -> Vec<NewEvent> {
        let earlier = self.workload.status.releases.get(&number).map(|s| s.phase);
        let mut happened = Vec::new();
        let phase = state.phase;
        let status = &mut self.workload.status;
        status.message.clone_from(&state.message);
        if phase == Phase::Ready {
            let takes_over = status.active_release != number;
            status.endpoints.clone_from(&state.endpoints);
            if takes_over {
                let from = std::mem::replace(&mut status.active_release, number);
                status.switched = Some(Timestamp::now());
                let data = json!({ "release": number, "previousRelease": from });
                happened.push(self.event("ready", Some(Outcome::Pass), data));
            } else if earlier.is_some_and(|earlier| earlier != Phase::Ready) {
                let data = json!({ "release": number });
                happened.push(self.event("recovered", Some(Outcome::Pass), data));
            }
        } else if matches!(phase, Phase::Restarting | Phase::Failed) && earlier != Some(phase) {
            let data = json!({ "release": number, "message": state.message });
            happened.push(self.event("unhealthy", Some(Outcome::Fail), data));
        }
        self.workload.status.releases.insert(number, state);
        happened
    }

    /// The release in the spec with everything resolved; an inner error says what it waits for.
    async fn resolve(&self) -> Result<std::result::Result<Release, String>> {
        let Resource { meta, spec, .. } = &self.workload;
        let store = &self.context.store;
        let deployment = store
            .expect::<Deployment>(&meta.scope, &spec.deployment)
            .await?;
        let names = deployment
            .spec
            .graph
            .workloads
            .get(&meta.name)
            .cloned()
            .unwrap_or_default();
        let nodes = deployment.spec.graph.needed_by(&meta.name);
        let inputs = match outputs::of_nodes(store, &meta.scope, &nodes, &names).await? {
            outputs::Inputs::Ready(inputs) => inputs,
            outputs::Inputs::Waiting(names) => {
                return Ok(Err(format!("waits for {}", names.join("; "))));
            }
        };
        let id = self.id(spec.release);
        let lookup = |name: &str, path: &[&str]| inputs.get(name, path);
        let reaches = inputs.reaches.clone();
        match score::release(
            &spec.score,
            id,
            reaches,
            &lookup,
            self.delivery.digest_key(),
        ) {
            Ok(release) => Ok(Ok(release)),
            Err(problems) => {
                let all: Vec<_> = problems.into_iter().map(|p| p.message).collect();
                Ok(Err(all.join("; ")))
            }
        }
    }

    /// Whether the release that serves was started with other outputs than there are now (a server
    /// has moved, a credential was rotated): then a further release takes over from it.
    fn must_roll(&self, release: &Release) -> bool {
        let status = &self.workload.status;
        let started = status.releases.get(&release.id.release);
        started.is_some_and(|started| {
            started.phase != Phase::Stopped && started.digest != release.digest
        })
    }

    async fn roll(&mut self) -> Result<Next> {
        let release = begin_release(&mut self.workload);
        let mut change = self.change();
        change.spec(&self.workload)?;
        change.event(self.event(
            "rolled",
            None,
            json!({
                "release": release,
                "message": "an output that it uses has changed",
            }),
        ));
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    async fn refused(
        &mut self,
        before: &crate::model::WorkloadStatus,
        error: EngineError,
    ) -> Result<Next> {
        self.workload.status.message = match error.remedy {
            Some(remedy) => format!("{}; {remedy}", error.message),
            None => error.message,
        };
        self.write(before).await?;
        self.nudge_deployment();
        Ok(Next::After(Duration::from_secs(if error.retry {
            1
        } else {
            30
        })))
    }

    /// Refreshes what is known of releases other than the one in the spec.
    async fn look_at_others(&mut self) -> Result<()> {
        let wanted = self.workload.spec.release;
        let others: Vec<u64> = self
            .workload
            .status
            .releases
            .keys()
            .copied()
            .filter(|n| *n != wanted)
            .collect();
        for number in others {
            match self.engine.observe(&self.id(number)).await {
                Ok(Some(state)) => {
                    if number == self.workload.status.active_release {
                        self.workload.status.endpoints.clone_from(&state.endpoints);
                    }
                    self.workload.status.releases.insert(number, state);
                }
                Ok(None) => {
                    if let Some(known) = self.workload.status.releases.get_mut(&number) {
                        known.phase = Phase::Stopped;
                    }
                }
                // Unknown is neither there nor gone: what was known stands.
                Err(error) => tracing::warn!(release = %self.id(number), %error, "cannot observe"),
            }
        }
        Ok(())
    }

    /// Removes releases that no longer serve, after the drain.
    async fn remove_old_releases(&mut self) -> Result<Next> {
        let status = &self.workload.status;
        let wanted = self.workload.spec.release;
        if status.active_release != wanted {
            return Ok(self.while_serving());
        }
        let old: Vec<u64> = status
            .releases
            .keys()
            .copied()
            .filter(|n| *n != wanted)
            .collect();
        if old.is_empty() {
            return Ok(self.while_serving());
        }
        if let Some(rest) = drain::rest(&self.workload) {
            return Ok(Next::After(rest));
        }
        let before = self.workload.status.clone();
        for number in old {
            match self.engine.remove(&self.id(number), drain::GRACE).await {
                Ok(()) => {
                    self.workload.status.releases.remove(&number);
                }
                Err(error) => {
                    tracing::warn!(release = %self.id(number), %error, "an old release stays");
                    self.write(&before).await?;
                    return Ok(Next::After(Duration::from_secs(5)));
                }
            }
        }
        self.write(&before).await?;
        for instance in self.delivery.instances(&self.workload.meta.scope).await? {
            if instance.status.used_by.contains(&self.workload.meta.name) {
                self.context.nudge(instance.key());
            }
        }
        Ok(self.while_serving())
    }

    /// Soon while something is under way; otherwise the engine's own nudges are enough.
    fn while_serving(&self) -> Next {
        let status = &self.workload.status;
        let steady = status.active_release == self.workload.spec.release
            && status
                .releases
                .get(&status.active_release)
                .is_some_and(|s| s.phase == Phase::Ready);
        if steady {
            Next::Idle
        } else {
            Next::After(Duration::from_secs(1))
        }
    }

    async fn remove(&mut self) -> Result<Next> {
        let environment = self.workload.meta.scope.clone();
        let name = self.workload.meta.name.clone();
        if !self.workload.status.endpoints.is_empty() {
            // Traffic first: the gateway answers "starting or stopping" rather than break off.
            self.workload.status.endpoints.clear();
            let mut change = self.change();
            change.status(&self.workload)?;
            self.context.store.commit(change).await?;
            return Ok(Next::After(Duration::ZERO));
        }
        let there = self.engine.list().await.map_err(unavailable)?;
        let ours = there
            .into_iter()
            .filter(|r| r.environment == environment && r.workload == name);
        for id in ours {
            self.engine
                .remove(&id, drain::GRACE)
                .await
                .map_err(unavailable)?;
        }
        self.engine
            .forget(&environment, &name)
            .await
            .map_err(unavailable)?;
        let mut change = self.change();
        let touched = self
            .delivery
            .let_go(
                &mut change,
                &environment,
                self.workload.spec.remove_data,
                |_, user| user == name,
            )
            .await?;
        for route in self
            .delivery
            .routes_of_workload(&environment, &name)
            .await?
        {
            change.remove(&route)?;
        }
        change.remove(&self.workload)?;
        change.event(self.event("removed", Some(Outcome::Pass), json!({})));
        self.context.store.commit(change).await?;
        for key in touched {
            self.context.nudge(key);
        }
        self.context.nudge(Key::of::<Environment>("", environment));
        Ok(Next::Idle)
    }

    /// Writes the status where it has changed, and wakes the deployment.
    async fn write(&mut self, before: &crate::model::WorkloadStatus) -> Result<()> {
        let change = self.change();
        self.commit(change, before, Vec::new()).await
    }

    /// The same with what happened, in one `change`.
    async fn commit(
        &mut self,
        mut change: Change,
        before: &crate::model::WorkloadStatus,
        happened: Vec<NewEvent>,
    ) -> Result<()> {
        if *before == self.workload.status && happened.is_empty() && change.is_empty() {
            return Ok(());
        }
        change.status(&self.workload)?;
        for event in happened {
            change.event(event);
        }
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
        Ok(())
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
            kind: format!("dev.towpath.workload.{what}"),
            subject: self.workload.key(),
            team: self.team.clone(),
            correlation: self.workload.spec.correlation,
            actor: "system:workloads".into(),
            outcome,
            data,
        }
    }
}

fn unavailable(error: EngineError) -> kernel::Error {
    let plain = kernel::Error::new(ErrorKind::Unavailable, error.message);
    match error.remedy {
        Some(remedy) => plain.remedy(remedy),
        None => plain,
    }
}
