//! Workloads as they are to run in an environment.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    engine::{Phase, ReleaseState},
    score,
};

/// A workload of an environment. Scope: the environment.
#[derive(Debug)]
pub enum Workload {}

impl Kind for Workload {
    const KIND: &'static str = "Workload";
    type Spec = WorkloadSpec;
    type Status = WorkloadStatus;

    fn listed_by(scope: &str) -> Option<String> {
        Some(format!("towpath get workloads --env {scope}"))
    }
}

/// What should run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSpec {
    /// The deployment that says so.
    pub deployment: String,
    /// The release that should serve; goes back when a deployment fails.
    pub release: u64,
    /// The highest release so far: the next one is one more, also after a return.
    pub highest_release: u64,
    /// Joins the events of its making.
    pub correlation: Uuid,
    /// Its description, overrides applied, files inlined, placeholders unresolved.
    pub score: score::Workload,
    /// Whether its data-holding resources go with it: set with the deletion.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_data: bool,
}

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadStatus {
    /// The release that gets the traffic; 0: none yet.
    #[serde(default)]
    pub active_release: u64,
    /// The deployment that the active release is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deployment: Option<String>,
    /// The last deployment that was seen ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_deployment: Option<String>,
    /// Where the active release serves each port, by the port's name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub endpoints: BTreeMap<String, SocketAddr>,
    /// Each release that is there, by number.
    #[serde(default)]
    pub releases: BTreeMap<u64, ReleaseState>,
    /// The digest of the release in the spec, as it was last resolved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Why it is not as it should be.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Why what should be gone is still there, in the engine's words: a release that no longer
    /// serves, or the whole workload where its deletion was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub removal_failure: String,
    /// When the active release took over: the others drain from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub switched: Option<Timestamp>,
}

impl WorkloadStatus {
    /// Release `number`, where it runs what the spec says, as that was last resolved.
    pub fn current(&self, number: u64) -> Option<&ReleaseState> {
        let state = self.releases.get(&number)?;
        (!self.digest.is_empty() && state.digest == self.digest).then_some(state)
    }

    /// The one thing that people should know of first; empty where all is as it should be.
    pub fn trouble(&self) -> &str {
        if self.removal_failure.is_empty() {
            &self.message
        } else {
            &self.removal_failure
        }
    }
}

/// Names a further release of `workload` as the one that should serve, and answers its number. It
/// stands in the status before any engine hears of it: whatever happens next, what was begun is
/// known, and is removed when another has taken its place.
pub fn begin_release(workload: &mut kernel::Resource<Workload>) -> u64 {
    let spec = &mut workload.spec;
    spec.highest_release += 1;
    spec.release = spec.highest_release;
    workload.status.digest.clear();
    // It is of the release before.
    workload.status.message.clear();
    let begun = ReleaseState {
        digest: String::new(),
        phase: Phase::Stopped,
        message: String::new(),
        lasting: false,
        presumed: false,
        endpoints: BTreeMap::new(),
        containers: BTreeMap::new(),
    };
    workload.status.releases.insert(spec.release, begun);
    spec.release
}
