//! Taking in what the engine sees of releases.

use jiff::Timestamp;
use kernel::{NewEvent, Outcome, Result};
use serde_json::json;

use super::Pass;
use crate::engine::{Phase, ReleaseState};

impl Pass<'_> {
    /// Takes in what the engine sees of the release that should serve, and lets it take over once it
    /// is ready.
    pub(super) fn take_in(&mut self, number: u64, state: ReleaseState) -> Vec<NewEvent> {
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

    /// Refreshes what is known of releases other than the one in the spec.
    pub(super) async fn look_at_others(&mut self) -> Result<()> {
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
                Ok(None) => self.is_gone(number),
                // Unknown is neither there nor gone: what was known stands.
                Err(error) => tracing::warn!(release = %self.id(number), %error, "cannot observe"),
            }
        }
        Ok(())
    }

    /// Nothing of a release is there.
    pub(super) fn is_gone(&mut self, number: u64) {
        if let Some(known) = self.workload.status.releases.get_mut(&number) {
            known.phase = Phase::Stopped;
        }
    }
}
