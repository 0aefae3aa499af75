//! What a deployment leads to, as far as that is known before anything is made: hosts and paths of the
//! gateway that it claims, and ports of workloads.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Problem, Resource};
use serde_json::Value;

use super::{Delivery, claims::Claims, deploy::Order};
use crate::{
    model::{Environment, Graph, NodeId, ResourceInstance, Workload, instance_name, route_name},
    provisioner::{Output, Request, WorkloadPort},
    score::{self, placeholder},
};

/// The workloads that a deployment may lead to, by name.
type Reachable<'a> = BTreeMap<&'a str, &'a score::Workload>;

/// What there is beside a deployment's graph.
pub(super) struct Beside<'a> {
    pub(super) instances: &'a [Resource<ResourceInstance>],
    pub(super) running: &'a [Resource<Workload>],
    /// Whose parameters are wrong: what follows from these is not told as well.
    pub(super) mistaken: &'a BTreeSet<NodeId>,
}

impl Delivery {
    /// What the deployment claims of the gateway, and what is wrong with what it leads to.
    pub(super) fn claims(
        &self,
        environment: &Resource<Environment>,
        graph: &Graph,
        order: &Order,
        beside: &Beside<'_>,
    ) -> (Claims, Vec<Problem>) {
        let Beside {
            instances,
            running,
            mistaken,
        } = *beside;
        let name = &environment.meta.name;
        let reachable = reachable(order, running);
        let (mut claims, mut problems) = (Claims::new(), Vec::new());
        for score in order.workloads.values() {
            if let Some(own) = self.own_claim(name, score) {
                claims.insert(route_name(&own.host, &own.path), own);
            }
        }
        let mut previews: BTreeMap<NodeId, BTreeMap<String, Output>> = BTreeMap::new();
        for id in in_order(graph) {
            let node = &graph.nodes[&id];
            let Some(provisioner) = self.provisioner(&node.provisioner) else {
                continue;
            };
            let known = |alias: &str, path: &[&str]| {
                let outputs = previews.get(node.aliases.get(alias)?)?;
                match (outputs.get(*path.first()?)?, path.len()) {
                    (Output::Plain(value), 1) => Some(value.clone()),
                    _ => None,
                }
            };
            // What needs something that is not made yet is known only once it is made.
            let Some(params) = expand(&node.params, &known) else {
                continue;
            };
            let instance = instance_name(&id);
            let held = instances.iter().find(|held| held.meta.name == instance);
            let request = Request {
                // What was made must not decide what is asked for.
                state: Value::Null,
                ..self.request_in_plan(environment, &id, node, params, held)
            };
            let asker = node.asked_by.join(", ");
            let ways = provisioner.leads_to(&request);
            let astray = ways
                .iter()
                .filter_map(|way| unreachable(&asker, way, &reachable));
            problems.extend(astray);
            if mistaken.contains(&id) {
                continue;
            }
            match provisioner.preview(&request) {
                None => {}
                Some(Err(error)) => problems.push(Problem {
                    remedy: error.remedy,
                    ..Problem::new("resource/refused", asker, error.message)
                }),
                Some(Ok(preview)) => {
                    for claim in preview.claims {
                        let workload = node.workload.clone().unwrap_or_default();
                        let route = Self::route_of_claim(name, &workload, &instance, claim);
                        claims.insert(route_name(&route.host, &route.path), route);
                    }
                    previews.insert(id, preview.outputs);
                }
            }
        }
        (claims, problems)
    }
}

/// The workloads that there will be: those of the environment, and over them those of `order`.
fn reachable<'a>(order: &'a Order, running: &'a [Resource<Workload>]) -> Reachable<'a> {
    let stay = running.iter().filter(|workload| !workload.is_deleting());
    let stay = stay.map(|workload| (workload.meta.name.as_str(), &workload.spec.score));
    let come = order.workloads.iter();
    stay.chain(come.map(|(name, workload)| (name.as_str(), workload)))
        .collect()
}

/// What is wrong with a way to `wanted`, where it is not there; `asker` is the resource that leads to it.
fn unreachable(asker: &str, wanted: &WorkloadPort, there: &Reachable<'_>) -> Option<Problem> {
    let WorkloadPort { workload, port } = wanted;
    let Some(found) = there.get(workload.as_str()) else {
        let names: Vec<&str> = there.keys().copied().collect();
        let problem = Problem::new(
            "resource/no-workload",
            format!("{asker}.params.workload"),
            format!(
                "there is no workload `{workload}` in this environment, nor in this deployment"
            ),
        );
        return Some(problem.remedy(
            match score::suggest::nearest(workload, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "deploy `{workload}` first, or along with this; there are {}",
                    names.join(", ")
                ),
            },
        ));
    };
    let ports = || found.service.iter().flat_map(|service| &service.ports);
    let is_udp = |port: &score::ServicePort| port.protocol == Some(score::Protocol::Udp);
    // One number may stand for both.
    let mut named = ports()
        .filter(|(name, declared)| *name == port || declared.port.to_string() == *port)
        .peekable();
    if named.peek().is_some() {
        return named.all(|(_, declared)| is_udp(declared)).then(|| {
            let message = format!(
                "port `{port}` of workload `{workload}` is UDP, and what leads there carries TCP alone"
            );
            Problem::new("resource/udp-port", format!("{asker}.params.port"), message).remedy(
                format!("name a TCP port of `{workload}`; its UDP ports have no stable address"),
            )
        });
    }
    let known: Vec<String> = ports()
        .map(|(name, declared)| format!("{name} ({})", declared.port))
        .collect();
    let problem = Problem::new(
        "resource/no-port",
        format!("{asker}.params.port"),
        format!("workload `{workload}` has no port `{port}`"),
    );
    Some(problem.remedy(if known.is_empty() {
        format!("declare it in `service.ports` of `{workload}`, which declares none")
    } else {
        format!(
            "use one of its ports, or declare it: it has {}",
            known.join(", ")
        )
    }))
}

/// The nodes, each after what it depends on. The graph has no cycle.
fn in_order(graph: &Graph) -> Vec<NodeId> {
    let mut done: Vec<NodeId> = Vec::new();
    let mut left: Vec<&NodeId> = graph.nodes.keys().collect();
    while !left.is_empty() {
        let (ready, waiting): (Vec<_>, Vec<_>) = left.iter().copied().partition(|id| {
            graph.nodes[*id]
                .depends_on
                .iter()
                .all(|d| done.contains(d) || !graph.nodes.contains_key(d))
        });
        if ready.is_empty() {
            break;
        }
        done.extend(ready.into_iter().cloned());
        left = waiting;
    }
    done
}

/// `params` with what is known in place; nothing where something is not.
pub(super) fn expand(
    params: &serde_json::Map<String, Value>,
    known: &dyn Fn(&str, &[&str]) -> Option<Value>,
) -> Option<serde_json::Map<String, Value>> {
    let mut lookup = |reference: &placeholder::Reference| match reference.names().as_slice() {
        ["resources", alias, path @ ..] => known(alias, path)
            .map(placeholder::Resolved::plain)
            .ok_or("unknown"),
        _ => Err("unknown"),
    };
    placeholder::expand_map(params, &mut lookup)
        .ok()
        .map(|(params, _)| params)
}
