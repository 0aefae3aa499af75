//! The difference between what runs and what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Plan, ResourceStep, WorkloadStep, difference};
use crate::{
    definition::as_written,
    model::{Graph, Node, NodeId, ResourceInstanceSpec, RouteSpec, instance_name},
    provisioner::Description,
    score,
};

/// What is there, as the store has it.
#[derive(Debug, Clone, Default)]
pub struct Running<'a> {
    /// Every instance of the environment, by its name.
    pub resources: BTreeMap<String, RunningResource<'a>>,
    /// Every workload of the environment, by its name.
    pub workloads: BTreeMap<String, &'a score::Workload>,
    /// Every route of the environment.
    pub routes: Vec<&'a RouteSpec>,
}

/// An instance that is there.
#[derive(Debug, Clone, Copy)]
pub struct RunningResource<'a> {
    /// What it should be: as last accepted.
    pub spec: &'a ResourceInstanceSpec,
    /// The workloads that need it.
    pub used_by: &'a [String],
}

/// What a deployment asks for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// What its workloads need.
    pub graph: &'a Graph,
    /// Its workloads; others of the environment stay as they are.
    pub workloads: &'a BTreeMap<String, score::Workload>,
    /// The routes of its workloads, as far as they are known before anything is made.
    pub routes: &'a [RouteSpec],
    /// The address of each workload through the gateway.
    pub urls: &'a BTreeMap<String, String>,
    /// Resources whose replacement is accepted, by the instance's name or its id in the graph.
    pub accept: &'a BTreeSet<String>,
    /// What a provisioner is like, by its name; none where there is no such provisioner.
    pub describe: &'a dyn Fn(&str) -> Option<Description>,
    /// The address of a host and path through the gateway.
    pub url: &'a dyn Fn(&str, &str) -> String,
}

/// Computes the plan. Pure, and the same for the same input.
pub fn compute(running: &Running<'_>, wanted: &Wanted<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut accepted = BTreeSet::new();
    for (id, node) in &wanted.graph.nodes {
        let name = instance_name(id);
        let step = match running.resources.get(&name) {
            None => new_resource(id, node),
            Some(held) => {
                let step = known_resource(id, node, held.spec, wanted);
                if step.action == Action::Replace {
                    let names: Vec<_> = [&name, &step.node]
                        .into_iter()
                        .filter(|n| wanted.accept.contains(*n))
                        .cloned()
                        .collect();
                    if step.holds_data && names.is_empty() {
                        plan.held.push(name.clone());
                    }
                    accepted.extend(names);
                }
                step
            }
        };
        plan.resources.insert(name, step);
    }
    for name in &plan.held {
        if let (Some(step), Some(held)) =
            (plan.resources.get_mut(name), running.resources.get(name))
        {
            hold(step, held.spec);
        }
    }
    for (name, held) in &running.resources {
        if !plan.resources.contains_key(name)
            && let Some(step) = no_longer_needed(held, wanted)
        {
            plan.resources.insert(name.clone(), step);
        }
    }
    left_with_data(running, wanted, &mut plan);
    for (name, workload) in wanted.workloads {
        let url = wanted.urls.get(name).cloned();
        plan.workloads.insert(
            name.clone(),
            workload_step(running.workloads.get(name).copied(), workload, url),
        );
    }
    routes(running, wanted, &mut plan);
    for name in wanted.accept.difference(&accepted) {
        plan.warnings.push(format!(
            "the replacement of `{name}` is accepted, but this deployment does not replace it"
        ));
    }
    plan
}

fn new_resource(id: &NodeId, node: &Node) -> ResourceStep {
    ResourceStep {
        action: Action::Add,
        node: id.to_string(),
        definition: node.definition.to_string(),
        reasons: node
            .asked_by
            .iter()
            .map(|asker| format!("asked for by {asker}"))
            .collect(),
        holds_data: node.holds_data,
    }
}

/// What becomes of an instance that is there and still wanted. What is asked of it decides: a new
/// revision that asks for the same is a change that costs nothing.
fn known_resource(
    id: &NodeId,
    node: &Node,
    held: &ResourceInstanceSpec,
    wanted: &Wanted<'_>,
) -> ResourceStep {
    let mut reasons = Vec::new();
    if held.definition.name != node.definition.name {
        reasons.push(format!(
            "definition {} -> {}",
            held.definition, node.definition
        ));
    } else if held.definition.revision != node.definition.revision {
        reasons.push(format!(
            "revision {} -> {}",
            held.definition.revision, node.definition.revision
        ));
    }
    let moved = held.provisioner != node.provisioner;
    if moved {
        reasons.push(format!(
            "provisioner {} -> {}",
            held.provisioner, node.provisioner
        ));
    }
    reasons.extend(difference::params(&held.params, &node.params));
    for (name, target) in &node.aliases {
        let before = held.aliases.get(name);
        let name = as_written(name);
        match before {
            Some(before) if before == target => {}
            Some(before) => reasons.push(format!("resources.{name}: {before} -> {target}")),
            None => reasons.push(format!("resources.{name}: added {target}")),
        }
    }
    for (name, before) in &held.aliases {
        if !node.aliases.contains_key(name) {
            reasons.push(format!("resources.{}: removed {before}", as_written(name)));
        }
    }
    if held.depends_on != node.depends_on && held.aliases == node.aliases {
        let waits: Vec<_> = node.depends_on.iter().map(ToString::to_string).collect();
        reasons.push(if waits.is_empty() {
            "waits for nothing any more".into()
        } else {
            format!("waits for {}", waits.join(", "))
        });
    }
    if held.holds_data != node.holds_data {
        let word = if node.holds_data {
            "holds"
        } else {
            "no longer holds"
        };
        reasons.push(format!("{word} data"));
    }
    let replaced_by = replacing(node, held, wanted);
    for name in &replaced_by {
        reasons.push(format!("params.{name} cannot change in place"));
    }
    let action = if moved || !replaced_by.is_empty() {
        Action::Replace
    } else if reasons.is_empty() {
        Action::None
    } else {
        Action::Change
    };
    ResourceStep {
        action,
        node: id.to_string(),
        definition: node.definition.to_string(),
        reasons,
        // Data that is there counts, whatever the new definition says of itself.
        holds_data: node.holds_data || held.holds_data,
    }
}

/// Parameters that differ and that the provisioner cannot change in place.
fn replacing(node: &Node, held: &ResourceInstanceSpec, wanted: &Wanted<'_>) -> Vec<&'static str> {
    let Some(description) = (wanted.describe)(&node.provisioner) else {
        return Vec::new();
    };
    let changed = difference::changed_params(&held.params, &node.params);
    description
        .replaced_by
        .iter()
        .copied()
        .filter(|name| changed.contains(name))
        .collect()
}

/// A replacement that nobody has accepted: the instance stays as it was last accepted, and says so.
fn hold(step: &mut ResourceStep, held: &ResourceInstanceSpec) {
    step.action = Action::None;
    let kept = held.definition.to_string();
    step.reasons.push(format!(
        "replacing it would lose its data: it stays on {kept} until that is accepted by name"
    ));
    step.definition = kept;
}

/// What becomes of an instance that the new graph does not have: nothing, where another workload
/// needs it, or where nobody has needed it for a while.
fn no_longer_needed(held: &RunningResource<'_>, wanted: &Wanted<'_>) -> Option<ResourceStep> {
    let stays = held
        .used_by
        .iter()
        .any(|user| !wanted.workloads.contains_key(user));
    if stays || held.used_by.is_empty() {
        return None;
    }
    let spec = held.spec;
    let mut reasons = vec![format!(
        "no longer asked for by {}",
        held.used_by.join(", ")
    )];
    if spec.holds_data {
        reasons.push("it holds data, and stays until it is removed by name".into());
    }
    Some(ResourceStep {
        action: if spec.holds_data {
            Action::Keep
        } else {
            Action::Remove
        },
        node: spec.node.to_string(),
        definition: spec.definition.to_string(),
        reasons,
        holds_data: spec.holds_data,
    })
}

/// What comes empty in the place of a resource with data: a class or an id makes another resource, and nothing
/// of the data goes along.
fn left_with_data(running: &Running<'_>, wanted: &Wanted<'_>, plan: &mut Plan) {
    for (id, node) in &wanted.graph.nodes {
        if running.resources.contains_key(&instance_name(id)) {
            continue;
        }
        let asks = |user: &String| {
            let resource = format!("{user}.resources.");
            node.asked_by
                .iter()
                .any(|asker| asker.starts_with(&resource))
        };
        for (name, held) in &running.resources {
            let left = &held.spec.node;
            let is_kept = plan
                .resources
                .get(name)
                .is_some_and(|step| step.action == Action::Keep);
            if is_kept && left.resource_type == id.resource_type && held.used_by.iter().any(asks) {
                plan.warnings.push(format!(
                    "{id} is new and EMPTY: the data of {left}, which is no longer asked for, does not come along; \
                     if that is not meant, give the resource the name, class and id that it had"
                ));
            }
        }
    }
}

fn workload_step(
    before: Option<&score::Workload>,
    after: &score::Workload,
    url: Option<String>,
) -> WorkloadStep {
    let changes = before.map_or_else(Vec::new, |before| difference::workloads(before, after));
    let action = match before {
        None => Action::Add,
        Some(_) if changes.is_empty() => Action::None,
        Some(_) => Action::Change,
    };
    WorkloadStep {
        action,
        changes,
        url,
    }
}

fn routes(running: &Running<'_>, wanted: &Wanted<'_>, plan: &mut Plan) {
    let url = |route: &RouteSpec| (wanted.url)(&route.host, &route.path);
    let before: BTreeSet<String> = running
        .routes
        .iter()
        .filter(|route| wanted.workloads.contains_key(&route.workload))
        .map(|route| url(route))
        .collect();
    let after: BTreeSet<String> = wanted.routes.iter().map(url).collect();
    plan.routes_added = after.difference(&before).cloned().collect();
    plan.routes_removed = before.difference(&after).cloned().collect();
}
