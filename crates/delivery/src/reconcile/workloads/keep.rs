//! Handing a workload to its engine, and letting a release take over that is ready.

use std::time::Duration;

use kernel::{NewEvent, Next, Result};
use serde_json::json;

use super::Pass;
use crate::{
    engine::{EngineError, Phase, Release},
    model::{Deployment, WorkloadStatus, begin_release},
    reconcile::drain,
    service::{outputs, shields::Waits},
};

impl Pass<'_> {
    pub(super) async fn keep(&mut self) -> Result<Next> {
        let before = self.workload.status.clone();
        let release = match self.resolve().await? {
            Ok(release) => release,
            Err(waits) => return self.wait(&before, waits).await,
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
            happened.push(self.event(
                "workload.started",
                None,
                json!({ "release": release.id.release }),
            ));
        }
        happened.extend(self.take_in(release.id.release, state));
        happened.extend(self.look_at_others().await?);
        self.write_observed(&before, happened).await?;
        if self.in_trouble() {
            // What it uses may have been removed beneath it.
            self.nudge_instances().await?;
        }
        self.remove_old_releases().await
    }

    /// Whether the release that serves, or the one that should, does not work.
    fn in_trouble(&self) -> bool {
        let status = &self.workload.status;
        let phase = |number| status.releases.get(&number).map(|state| state.phase);
        phase(status.active_release).is_some_and(|phase| phase != Phase::Ready)
            || matches!(
                phase(self.workload.spec.release),
                Some(Phase::Restarting | Phase::Failed)
            )
    }

    /// The release cannot be resolved now: one that was handed over earlier, with what there was
    /// then, is looked at all the same, and takes over once it is ready.
    async fn wait(&mut self, before: &WorkloadStatus, waits: Waits) -> Result<Next> {
        let wanted = self.id(self.workload.spec.release);
        let mut happened = Vec::new();
        match self.engine.observe(&wanted).await {
            Ok(Some(state)) => happened.extend(self.take_in(wanted.release, state)),
            Ok(None) => self.is_gone(wanted.release),
            // Unknown is neither there nor gone: what was known stands.
            Err(error) => tracing::warn!(release = %wanted, %error, "cannot observe"),
        }
        self.workload.status.message = waits;
        happened.extend(self.look_at_others().await?);
        self.write_observed(before, happened).await?;
        Ok(self.while_serving())
    }

    /// Writes what was seen; where another release has taken over, its routes along with it.
    async fn write_observed(
        &mut self,
        before: &WorkloadStatus,
        happened: Vec<NewEvent>,
    ) -> Result<()> {
        let mut change = self.change();
        let takes_over = self.workload.status.active_release != before.active_release;
        if takes_over {
            let (scope, name) = (&self.workload.meta.scope, &self.workload.spec.deployment);
            let deployment = self.context.store.expect::<Deployment>(scope, name).await?;
            let workload = &self.workload.meta.name;
            self.delivery
                .point_routes(&mut change, &deployment, workload)
                .await?;
        }
        self.commit(change, before, happened).await?;
        if takes_over {
            // A route that one of them claims may be another's.
            self.nudge_instances().await?;
        }
        Ok(())
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

    /// The release in the spec with everything resolved; an inner error says what it waits for.
    async fn resolve(&self) -> Result<std::result::Result<Release, Waits>> {
        let inputs = match self.delivery.inputs_of(&self.workload).await? {
            outputs::Inputs::Ready(inputs) => inputs,
            outputs::Inputs::Waiting(names) => {
                return Ok(Err(format!("waits for {}", names.join("; "))));
            }
        };
        let lookup = |name: &str, path: &[&str]| inputs.get(name, path);
        Ok(self.delivery.release_with(&self.workload, &inputs, &lookup))
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
            "workload.rolled",
            None,
            json!({
                "release": release,
                "message": "an output that it uses has changed",
            }),
        ));
        self.context.store.commit(change).await?;
        Ok(Next::After(Duration::ZERO))
    }

    async fn refused(&mut self, before: &WorkloadStatus, error: EngineError) -> Result<Next> {
        let next = Self::after(&error);
        self.workload.status.message = Self::words(error);
        self.write(before).await?;
        self.nudge_deployment();
        Ok(next)
    }
}
