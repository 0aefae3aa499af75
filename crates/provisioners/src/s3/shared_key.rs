//! That an instance was handed the access key that all buckets of an endpoint share, as its state keeps it: no
//! rotation of the instance ends that key, also where the instance has a user of its own by now.

use delivery::provisioner::Request;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
pub(super) struct SharedKey {
    /// Which: after another was configured, the former one is taken to have ended where it was made.
    id: String,
    /// The first rotation that it was handed out at.
    from: u32,
    /// The last one.
    to: u32,
}

impl SharedKey {
    /// The one that is handed out now.
    pub(super) fn handed_out(request: &Request, id: &str) -> Self {
        let before = Self::of(&request.state, id, request.rotation);
        let from = before
            .filter(|before| before.id == id)
            .map_or(request.rotation, |before| before.from);
        Self {
            id: id.to_owned(),
            from,
            to: request.rotation,
        }
    }

    /// The last one that was handed out, by the state of the instance; none where there was none. Of what was made
    /// before this was kept, it is taken to be `present`, and to have been handed out until `rotation`.
    pub(super) fn of(state: &Value, present: &str, rotation: u32) -> Option<Self> {
        if let Some(kept) = state.get("sharedKey") {
            return serde_json::from_value(kept.clone()).ok();
        }
        (state.get("endpoint").is_some() && state.get("iam").is_none()).then(|| Self {
            id: present.to_owned(),
            from: 0,
            to: rotation,
        })
    }

    /// Whether it is `present`, and was handed out at `rotation`.
    pub(super) fn is_good(&self, present: &str, rotation: u32) -> bool {
        self.id == present && (self.from..=self.to).contains(&rotation)
    }
}
