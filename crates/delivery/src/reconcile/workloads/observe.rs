//! Taking in what the engine sees of releases.

use kernel::{NewEvent, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::engine::{Phase, ReleaseState};

impl Pass<'_> {
    /// Takes in what the engine sees of the release that should serve, and lets it take over once it
    /// is ready.
    pub(super) fn take_in(&mut self, number: u64, mut state: ReleaseState) -> Option<NewEvent> {
        let earlier = self.workload.status.releases.get(&number).map(|s| s.phase);
        let status = &mut self.workload.status;
        let presumed = std::mem::take(&mut state.presumed);
        if presumed && state.phase == Phase::Ready && status.active_release != number {
            // It was begun shortly before the platform ended, perhaps, and may be nowhere near ready.
            state.phase = Phase::Starting;
            state.message = "it was found running, and is to be asked whether it is ready".into();
        }
        status.message.clone_from(&state.message);
        if state.phase == Phase::Ready {
            status.endpoints.clone_from(&state.endpoints);
        }
        let takes_over = state.phase == Phase::Ready && status.active_release != number;
        if takes_over || (state.phase == Phase::Ready && state.digest == status.digest) {
            status.active_deployment = Some(self.workload.spec.deployment.clone());
        }
        let happened = if takes_over {
            let from = std::mem::replace(&mut status.active_release, number);
            status.switched = Some(self.delivery.now());
            let data = json!({ "release": number, "previousRelease": from });
            Some(self.event("workload.ready", Some(Outcome::Pass), data))
        } else {
            self.health(number, earlier, &state)
        };
        self.workload.status.releases.insert(number, state);
        happened
    }

    /// What is to be told of a release that was in phase `earlier`: that it is well no more, or again.
    fn health(
        &self,
        number: u64,
        earlier: Option<Phase>,
        state: &ReleaseState,
    ) -> Option<NewEvent> {
        let unwell = |phase: Phase| matches!(phase, Phase::Restarting | Phase::Failed);
        if unwell(state.phase) && earlier != Some(state.phase) {
            let data = json!({ "release": number, "message": state.message });
            return Some(self.event("workload.unhealthy", Some(Outcome::Fail), data));
        }
        if state.phase == Phase::Ready && earlier.is_some_and(|e| e != Phase::Ready) {
            let data = json!({ "release": number });
            return Some(self.event("workload.recovered", Some(Outcome::Pass), data));
        }
        None
    }

    /// Refreshes what is known of releases other than the one in the spec. Gives what is to be told of
    /// the one that serves.
    pub(super) async fn look_at_others(&mut self) -> Result<Vec<NewEvent>> {
        let mut happened = Vec::new();
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
                Ok(Some(mut state)) => {
                    state.presumed = false;
                    if number == self.workload.status.active_release {
                        let earlier = self.workload.status.releases.get(&number);
                        happened.extend(self.health(number, earlier.map(|e| e.phase), &state));
                        self.workload.status.endpoints.clone_from(&state.endpoints);
                    }
                    self.workload.status.releases.insert(number, state);
                }
                Ok(None) => self.is_gone(number),
                // Unknown is neither there nor gone: what was known stands.
                Err(error) => tracing::warn!(release = %self.id(number), %error, "cannot observe"),
            }
        }
        Ok(happened)
    }

    /// Nothing of a release is there.
    pub(super) fn is_gone(&mut self, number: u64) {
        if let Some(known) = self.workload.status.releases.get_mut(&number) {
            known.phase = Phase::Stopped;
        }
    }
}
