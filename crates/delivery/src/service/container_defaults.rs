//! What counts for containers that do not say what they need, where something bounds them, and what of that their
//! engine is handed.

use std::borrow::Cow;

use kernel::{Resource, Result};
use teams::model::{ContainerDefaults, Cpu, Memory, Namespace, Team};

use super::{Delivery, deploy::Order};
use crate::{
    model::Environment,
    score::{self, Compute, Quantities},
};

/// What a container says, and of what it does not say the default. A limit that it says is its request too.
pub(super) fn completed(said: &Compute, defaults: &ContainerDefaults) -> Compute {
    let (request, limit) = said.amounts();
    let mut requests = said.requests.clone().unwrap_or_default();
    let mut limits = said.limits.clone().unwrap_or_default();
    if request.cpu_millis.or(limit.cpu_millis).is_none() {
        requests.cpu = Some(defaults.requests.cpu.to_string());
    }
    if request.memory_bytes.or(limit.memory_bytes).is_none() {
        requests.memory = Some(defaults.requests.memory.to_string());
    }
    if let Some(most) = defaults.limits {
        // What asks for more than that by itself is not cut down to it.
        if limit.cpu_millis.is_none() {
            let most = most.cpu.0.max(request.cpu_millis.unwrap_or(0));
            limits.cpu = Some(Cpu(most).to_string());
        }
        if limit.memory_bytes.is_none() {
            let most = most.memory.0.max(request.memory_bytes.unwrap_or(0));
            limits.memory = Some(Memory(most).to_string());
        }
    }
    let some = |of: Quantities| (of != Quantities::default()).then_some(of);
    Compute {
        requests: some(requests),
        limits: some(limits),
    }
}

/// What counts for the containers of `workload` by default, a line each.
pub(super) fn remarks(
    workload: &str,
    score: &score::Workload,
    defaults: &ContainerDefaults,
) -> Vec<String> {
    let mut remarks = Vec::new();
    for (container, spec) in &score.containers {
        let said = spec.resources.clone().unwrap_or_default();
        let counts = completed(&said, defaults);
        let mut added = Vec::new();
        for (what, before, after) in [
            ("requests", said.requests, counts.requests),
            ("limits", said.limits, counts.limits),
        ] {
            let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
            let new = |before: Option<String>, after: Option<String>| {
                after.filter(|after| before.as_ref() != Some(after))
            };
            let amounts: Vec<_> = [new(before.cpu, after.cpu), new(before.memory, after.memory)]
                .into_iter()
                .flatten()
                .collect();
            if !amounts.is_empty() {
                added.push(format!("{what} {}", amounts.join(", ")));
            }
        }
        if !added.is_empty() {
            remarks.push(format!(
                "{workload}.containers.{container}: {} by default, which counts for its quota; say what it needs in \
                 `resources`",
                added.join(", ")
            ));
        }
    }
    remarks
}

impl Delivery {
    /// What counts for containers in `environment` that do not say what they need; none: nothing bounds them.
    pub(super) async fn container_defaults(
        &self,
        environment: &Resource<Environment>,
    ) -> Result<Option<ContainerDefaults>> {
        let (meta, team) = (&environment.meta, environment.spec.team.as_str());
        let namespace = self.store.get::<Namespace>(team, &meta.name).await?;
        let backed = namespace.filter(|one| one.status.environment == Some(meta.uid));
        if let Some(namespace) = backed {
            return Ok(Some(namespace.spec.defaults()));
        }
        let team = self.store.get::<Team>("", team).await?;
        let registered = team.filter(|team| team.spec.is_registered());
        Ok(registered.map(|_| ContainerDefaults::default()))
    }

    /// `order` with the limits that the environment's namespace has for containers that say none: what counts as
    /// a limit is one. Where it has none, the order as it is.
    pub(super) async fn with_default_limits<'o>(
        &self,
        environment: &Resource<Environment>,
        order: &'o Order,
    ) -> Result<Cow<'o, Order>> {
        let defaults = self.container_defaults(environment).await?;
        let Some(defaults) = defaults.filter(|defaults| defaults.limits.is_some()) else {
            return Ok(Cow::Borrowed(order));
        };
        let mut order = order.clone();
        for (name, score) in &mut order.workloads {
            order.defaulted.extend(remarks(name, score, &defaults));
            for container in score.containers.values_mut() {
                let said = container.resources.clone().unwrap_or_default();
                container.resources = Some(completed(&said, &defaults));
            }
        }
        Ok(Cow::Owned(order))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use teams::model::Amounts;

    use super::*;

    fn amounts(cpu: u64, memory: u64) -> Amounts {
        Amounts {
            cpu: Cpu(cpu),
            memory: Memory(memory << 20),
        }
    }

    #[test]
    fn what_is_said_stays_and_what_is_not_has_the_default() {
        let small = ContainerDefaults::default();
        let bounded = ContainerDefaults {
            limits: Some(amounts(500, 256)),
            ..small
        };
        let first = json!({ "cpu": "100m", "memory": "128Mi" });
        let most = json!({ "cpu": "500m", "memory": "256Mi" });
        for (defaults, said, expected) in [
            (small, json!({}), json!({ "requests": first })),
            // A limit is a request, too.
            (
                small,
                json!({ "limits": { "memory": "1Gi" } }),
                json!({ "requests": { "cpu": "100m" }, "limits": { "memory": "1Gi" } }),
            ),
            (
                bounded,
                json!({}),
                json!({ "requests": first, "limits": most }),
            ),
            (
                bounded,
                json!({ "requests": { "cpu": "2", "memory": "64Mi" } }),
                json!({
                    "requests": { "cpu": "2", "memory": "64Mi" },
                    "limits": { "cpu": "2", "memory": "256Mi" },
                }),
            ),
        ] {
            let said: Compute = serde_json::from_value(said).unwrap();
            let completed: Value = json!(completed(&said, &defaults));
            assert_eq!(completed, expected);
        }
    }
}
