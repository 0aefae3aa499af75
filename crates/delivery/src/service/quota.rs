//! Quotas: what the workloads of a team's namespace may ask for together.

use kernel::{Problem, Resource, Result};
use teams::model::{Amounts, Cpu, Memory, Namespace, Quota, Usage};

use super::{Delivery, deploy::Order};
use crate::{
    model::{Environment, Workload},
    score::{self, quantity},
};

/// What workloads ask for together.
pub(crate) struct Asked {
    pub(crate) quota: Quota,
    /// Containers that do not say what they need.
    pub(crate) unbounded: usize,
}

/// What these workloads ask for: a request that is not said is the limit, and a limit the request.
pub(crate) fn asked<'a>(workloads: impl IntoIterator<Item = &'a score::Workload>) -> Asked {
    let mut sum = Asked {
        quota: Quota::NONE,
        unbounded: 0,
    };
    for container in workloads.into_iter().flat_map(|w| w.containers.values()) {
        let said = container.resources.clone().unwrap_or_default();
        let (requests, limits) = (
            said.requests.unwrap_or_default(),
            said.limits.unwrap_or_default(),
        );
        let cpu = |text: Option<&String>| text.and_then(|text| quantity::cpu_millis(text));
        let memory = |text: Option<&String>| text.and_then(|text| quantity::memory_bytes(text));
        let (cpu_request, cpu_limit) = (cpu(requests.cpu.as_ref()), cpu(limits.cpu.as_ref()));
        let (memory_request, memory_limit) = (
            memory(requests.memory.as_ref()),
            memory(limits.memory.as_ref()),
        );
        let amounts = |cpu: Option<u64>, memory: Option<u64>| Amounts {
            cpu: Cpu(cpu.unwrap_or(0)),
            memory: Memory(memory.unwrap_or(0)),
        };
        let one = Quota {
            requests: amounts(cpu_request.or(cpu_limit), memory_request.or(memory_limit)),
            limits: amounts(cpu_limit.or(cpu_request), memory_limit.or(memory_request)),
        };
        sum.unbounded += usize::from(one == Quota::NONE);
        sum.quota = sum.quota.plus(&one);
    }
    sum
}

impl Delivery {
    /// What a deployment would ask for beyond the quota of the namespace that the environment backs, and
    /// where it would come near its end.
    pub(super) async fn check_quota(
        &self,
        environment: &Resource<Environment>,
        order: &Order,
        running: &[Resource<Workload>],
    ) -> Result<(Vec<Problem>, Vec<String>)> {
        let (name, team) = (&environment.meta.name, &environment.spec.team);
        let found = self.store.get::<Namespace>(team, name).await?;
        let backs =
            |one: &Resource<Namespace>| one.status.environment == Some(environment.meta.uid);
        let Some(namespace) = found.filter(backs) else {
            return Ok((vec![], vec![]));
        };
        let quota = &namespace.spec.quota;
        let stays = running.iter().filter(|workload| {
            !workload.is_deleting() && !order.workloads.contains_key(&workload.meta.name)
        });
        let others = asked(stays.map(|workload| &workload.spec.score)).quota;
        let now = asked(running.iter().map(|workload| &workload.spec.score)).quota;
        let wanted = asked(order.workloads.values()).quota;
        let sum = others.plus(&wanted);
        let part = |of: &Quota, name: &str| of.parts().into_iter().find(|part| part.0 == name);
        let mut problems = Vec::new();
        for (what, total, most) in sum.beyond(quota) {
            let more = part(&sum, what).map(|p| p.1) > part(&now, what).map(|p| p.1);
            if !more {
                // The quota was lowered below what runs: what asks for no more may be deployed.
                continue;
            }
            let text = |of: &Quota| part(of, what).map(|p| p.2).unwrap_or_default();
            let who: Vec<_> = order
                .workloads
                .iter()
                .filter(|(_, score)| {
                    part(&asked([*score]).quota, what).is_some_and(|part| part.1 > 0)
                })
                .map(|(workload, _)| workload.as_str())
                .collect();
            problems.push(
                Problem::new(
                    "namespace/quota",
                    format!("workloads.{}", who.join(",")),
                    format!(
                        "namespace `{name}` would have {total} of {what}, and its quota is {most}: {} asks \
                         for {}, the other workloads for {}, and {} is left",
                        who.join(", "),
                        text(&wanted),
                        text(&others),
                        left(quota, &others, what),
                    ),
                )
                .remedy(format!(
                    "ask for less, delete what is not needed, or have a lead of team `{team}` raise the \
                     quota: `towpath namespace quota {name} --team {team}`, up to the team's allowance"
                )),
            );
        }
        let near = Usage::near(&sum, quota);
        let warnings = near
            .iter()
            .filter(|_| problems.is_empty())
            .filter_map(|what| Some((what, part(&sum, what)?.2, part(quota, what)?.2)))
            .map(|(what, total, most)| {
                format!("namespace {name} will have {total} of its {most} of {what}")
            })
            .collect();
        Ok((problems, warnings))
    }
}

/// What of one part of `quota` is left beside what the others ask for.
fn left(quota: &Quota, others: &Quota, what: &str) -> String {
    let take = |most: u64, used: u64| most.saturating_sub(used);
    let rest = |most: &Amounts, used: &Amounts| Amounts {
        cpu: Cpu(take(most.cpu.0, used.cpu.0)),
        memory: Memory(take(most.memory.0, used.memory.0)),
    };
    let rest = Quota {
        requests: rest(&quota.requests, &others.requests),
        limits: rest(&quota.limits, &others.limits),
    };
    let parts = rest.parts().into_iter();
    let mut text = parts.filter(|part| part.0 == what).map(|part| part.2);
    text.next().unwrap_or_default()
}
