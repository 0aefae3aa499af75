//! What counts for containers that do not say what they need.

use serde::{Deserialize, Serialize};

use super::{Amounts, Cpu, Memory};

/// What counts for a container where a quota bounds it, of what the container itself does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerDefaults {
    /// Of a container that says neither its request nor its limit.
    #[serde(default = "ContainerDefaults::small")]
    pub requests: Amounts,
    /// Of a container that says no limit: deployed with it, so that it is kept. Without it such a container has no
    /// limit, and its request counts as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

impl Default for ContainerDefaults {
    /// What a small service needs. No limit: what ran without one would be killed by it.
    fn default() -> Self {
        Self {
            requests: Self::small(),
            limits: None,
        }
    }
}

impl ContainerDefaults {
    fn small() -> Amounts {
        Amounts {
            cpu: Cpu(100),
            memory: Memory(128 << 20),
        }
    }

    /// What cannot be so: the field, and why.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let Self { requests, limits } = self;
        let beyond = |request: u64, limit: fn(&Amounts) -> u64| {
            limits.as_ref().is_some_and(|most| request > limit(most))
        };
        if requests.cpu.0 == 0 {
            Some(("requests.cpu", "a container would count for nothing"))
        } else if requests.memory.0 == 0 {
            Some(("requests.memory", "a container would count for nothing"))
        } else if beyond(requests.cpu.0, |most| most.cpu.0) {
            Some(("requests.cpu", "it is more than the limit of a container"))
        } else if beyond(requests.memory.0, |most| most.memory.0) {
            Some((
                "requests.memory",
                "it is more than the limit of a container",
            ))
        } else {
            None
        }
    }
}
