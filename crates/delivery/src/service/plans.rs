//! Read, match, plan, verify: everything that happens before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Caller, Error, Problem, Query, Resource, Result};
use serde_json::{Value, json};

use super::{
    Delivery, claims::Claims, deploy::Order, outdated::Outdated, preview, quota::Sum,
    shields::seen_by_policy,
};
use crate::{
    definition::{self, Context},
    engine::Objection,
    model::{Environment, Graph, NodeId, ResourceInstance, RouteSpec, Workload, instance_name},
    plan::{self, Action, Plan, Running, RunningResource, Wanted},
    score::{self, suggest},
    verify::Decision,
};

/// What a deployment will do.
pub(super) struct Draft {
    pub(super) graph: Graph,
    pub(super) plan: Plan,
    pub(super) decision: Decision,
    /// What policy decided over.
    pub(super) policy_input: Value,
    pub(super) claims: Claims,
    /// What is made anew, since what it stands for has changed.
    pub(super) outdated: Outdated,
    /// What it comes to; what is wrong with that, and to be said of it, is said with the rest.
    pub(super) sum: Sum,
}

impl Draft {
    /// The plan as it is carried out, where the deployment comes to `sum` in its turn.
    pub(super) fn plan_counted(&self, sum: &Sum) -> Plan {
        let mut plan = self.plan.clone();
        let others = plan.warnings.len() - self.sum.warnings.len();
        plan.warnings.truncate(others);
        plan.warnings.extend_from_slice(&sum.warnings);
        plan
    }
}

/// What stands against workloads, and what is to be said of them all the same.
#[derive(Default)]
struct Objections {
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Delivery {
    pub(super) async fn draft(
        &self,
        caller: &Caller,
        environment: &Resource<Environment>,
        order: &Order,
    ) -> Result<Draft> {
        let name = &environment.meta.name;
        let instances = self.instances(name).await?;
        let running = self.store.list_all::<Workload>(&Query::scope(name)).await?;
        let catalogue = self.catalogue(environment, order.record.as_ref()).await?;
        let objections = self.check_workloads(environment, order)?;
        let made = self
            .graph(environment, order, &catalogue, &instances)
            .await?;
        let (definition::graph::Built { mut graph, stays }, mut problems) = made;
        // What is wanted of the missing part, nobody knows yet.
        if problems.is_empty() {
            problems.extend(accepted_of_nothing(&graph, &order.accept));
        }
        let (mistaken, wrong) = self.check_params(&graph);
        problems.extend(wrong);
        problems.extend(shared_with_others(&graph, &instances, order));
        let beside = preview::Beside {
            instances: &instances,
            running: &running,
            mistaken: &mistaken,
        };
        let (claims, wrong) = self.claims(environment, &graph, order, &beside);
        problems.extend(wrong);
        let (outdated, missing) = self.outdated(environment, &graph, &instances).await?;
        problems.extend(missing);
        problems.extend(self.refuse_taken(caller, environment, &claims).await?);
        problems.extend(objections.problems);
        let mut warnings: Vec<_> = stays.into_iter().map(|p| p.message).collect();
        warnings.extend(objections.warnings);
        let mut sum = self.check_quota(environment, order, &running).await?;
        problems.append(&mut sum.problems);
        let routes: Vec<RouteSpec> = self
            .routes_of(name)
            .await?
            .into_iter()
            .map(|route| route.spec)
            .collect();
        let mut plan = self.compute(order, &graph, &claims, &instances, &running, &routes);
        plan.warnings.extend(warnings);
        plan.warnings
            .extend(definition::unnamed_classes(&graph, &catalogue));
        show_outdated(&mut plan, &graph, &outdated, &order.workloads);
        for instance in instances
            .iter()
            .filter(|held| plan.held.contains(&held.meta.name))
        {
            // Recorded as it stands: no return to this deployment may do what nobody accepted.
            if let Some(node) = graph.nodes.get_mut(&instance.spec.node) {
                node.definition = instance.spec.definition.clone();
                node.provisioner.clone_from(&instance.spec.provisioner);
                node.params.clone_from(&instance.spec.params);
                node.aliases.clone_from(&instance.spec.aliases);
                node.depends_on.clone_from(&instance.spec.depends_on);
            }
        }
        problems.extend(definition::unknown_outputs(&definition::Asked {
            graph: &graph,
            workloads: &order.workloads,
            catalogue: &catalogue,
            given: &|provisioner, params| self.provisioner(provisioner)?.outputs(params),
        }));
        // What a return goes to was accepted once, beside definitions that are not in the record.
        if order.record.is_none() {
            let newest = self.unpinned(environment, &catalogue).await?;
            let unread = definition::unread_params(&graph, &order.workloads, &catalogue, &newest);
            problems.extend(unread.problems);
            plan.warnings.extend(unread.warnings);
        }
        // The last: `plan_counted` puts others in their place.
        plan.warnings.extend_from_slice(&sum.warnings);
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let (decision, policy_input) = self.decide(caller, environment, order, &plan).await?;
        Ok(Draft {
            graph,
            plan,
            decision,
            policy_input,
            claims,
            outdated,
            sum,
        })
    }

    /// What is wrong with the workloads by themselves: what cannot be deployed anywhere, and what their
    /// engine cannot honour.
    fn check_workloads(
        &self,
        environment: &Resource<Environment>,
        order: &Order,
    ) -> Result<Objections> {
        let engine = self.engine(&environment.spec.engine)?;
        let mut found = Objections::default();
        for (workload, score) in &order.workloads {
            let at = |problem: Problem| of_workload(workload, problem);
            found
                .problems
                .extend(score::deployable(score).into_iter().map(at));
            let advice = score::advice(score).into_iter().map(at);
            found.warnings.extend(advice.map(|said| remark(&said)));
            found.warnings.extend(literal_references(workload, score));
            for objection in engine.check(score) {
                match objection {
                    Objection::Refuse(problem) => found.problems.push(at(problem)),
                    Objection::Warn(problem) => found.warnings.push(remark(&at(problem))),
                }
            }
        }
        found.warnings.extend(order.added.iter().map(remark));
        Ok(found)
    }

    fn compute(
        &self,
        order: &Order,
        graph: &Graph,
        claims: &Claims,
        instances: &[Resource<ResourceInstance>],
        workloads: &[Resource<Workload>],
        routes: &[RouteSpec],
    ) -> Plan {
        let running = Running {
            resources: instances
                .iter()
                .map(|held| {
                    let used_by = held.status.used_by.as_slice();
                    (
                        held.meta.name.clone(),
                        RunningResource {
                            spec: &held.spec,
                            used_by,
                        },
                    )
                })
                .collect(),
            workloads: workloads
                .iter()
                .map(|w| (w.meta.name.clone(), &w.spec.score))
                .collect(),
            routes: routes.iter().collect(),
        };
        let urls = order
            .workloads
            .keys()
            .filter_map(|workload| Some((workload.clone(), self.url_of(workload, claims)?)))
            .collect();
        plan::compute(
            &running,
            &Wanted {
                graph,
                workloads: &order.workloads,
                routes: &claims.values().cloned().collect::<Vec<_>>(),
                urls: &urls,
                accept: &order.accept,
                describe: &|provisioner| self.provisioner(provisioner).map(|p| p.describe()),
                url: &|host, path| self.url(host, path),
            },
        )
    }

    /// What is wrong with the parameters, and whose they are.
    fn check_params(&self, graph: &Graph) -> (BTreeSet<NodeId>, Vec<Problem>) {
        let (mut mistaken, mut problems) = (BTreeSet::new(), Vec::new());
        for (id, node) in &graph.nodes {
            let Some(provisioner) = self.provisioner(&node.provisioner) else {
                problems.push(
                    Problem::new(
                        "definition/provisioner",
                        node.asked_by.join(", "),
                        format!(
                            "definition {} names provisioner `{}`, which this platform lacks",
                            node.definition, node.provisioner
                        ),
                    )
                    .remedy("have a platform engineer correct the definition"),
                );
                continue;
            };
            let wrong = provisioner.check(&node.params);
            if !wrong.is_empty() {
                mistaken.insert(id.clone());
            }
            problems.extend(wrong.into_iter().map(|problem| Problem {
                path: format!("{}.{}", node.asked_by.join(", "), problem.path),
                ..problem
            }));
        }
        (mistaken, problems)
    }

    fn url_of(&self, workload: &str, claims: &BTreeMap<String, RouteSpec>) -> Option<String> {
        let ours: Vec<_> = claims
            .values()
            .filter(|c| c.workload == workload && !c.path.is_empty())
            .collect();
        // A route that the team declared is what it wants people to use.
        let best = ours
            .iter()
            .find(|c| c.instance.is_some())
            .or(ours.first())?;
        Some(self.url(&best.host, &best.path))
    }

    /// What policy says, and what it was asked.
    async fn decide(
        &self,
        caller: &Caller,
        environment: &Resource<Environment>,
        order: &Order,
        plan: &Plan,
    ) -> Result<(Decision, Value)> {
        let role = self.role(&environment.spec.role).await?;
        let engine = self.engine(&environment.spec.engine)?;
        let workloads = seen_by_policy(&order.workloads, engine.runs_images())?;
        let input = json!({
            "caller": { "subject": caller.subject, "teams": caller.teams, "admin": caller.admin },
            "environment": {
                "name": environment.meta.name,
                "role": environment.spec.role,
                "protected": role.protected,
                "team": environment.spec.team,
                "labels": environment.meta.labels,
                "engine": environment.spec.engine,
            },
            "workloads": workloads,
            "plan": plan,
        });
        let decision = self.verifier.verify(&input).await?;
        Ok((decision, input))
    }
}

pub(super) fn context_of(environment: &Resource<Environment>) -> Context {
    Context {
        environment: environment.meta.name.clone(),
        role: environment.spec.role.clone(),
        team: environment.spec.team.clone(),
        labels: environment.meta.labels.clone(),
        ..Context::default()
    }
}

/// `problem`, whose path is within a workload, with that workload in its path.
pub(super) fn of_workload(workload: &str, problem: Problem) -> Problem {
    Problem {
        path: format!("workloads.{workload}.{}", problem.path),
        ..problem
    }
}

/// What is said of a workload with the plan, in one line that begins with the place:
/// `notes.containers.web.image: ...`.
fn remark(problem: &Problem) -> String {
    let path = problem.path.strip_prefix("workloads.");
    let place = path.unwrap_or(&problem.path);
    match &problem.remedy {
        Some(remedy) => format!("{place}: {}; {remedy}", problem.message),
        None => format!("{place}: {}", problem.message),
    }
}

pub(super) fn refused(problems: Vec<Problem>) -> Error {
    Error::problems("this cannot be deployed", problems)
}

/// What is made anew changes, and with it every workload that reads something of it.
fn show_outdated(
    plan: &mut Plan,
    graph: &Graph,
    outdated: &Outdated,
    workloads: &BTreeMap<String, score::Workload>,
) {
    let changes = |action: &mut Action| {
        if *action == Action::None {
            *action = Action::Change;
        }
    };
    for (id, why) in outdated {
        let name = instance_name(id);
        if let Some(step) = plan.resources.get_mut(&name) {
            step.reasons.push(why.clone());
            if !plan.held.contains(&name) {
                changes(&mut step.action);
            }
        }
        for (name, workload) in workloads {
            let ids = graph.workloads.get(name);
            let reads = score::output_references(workload)
                .iter()
                .any(|it| ids.and_then(|ids| ids.get(&it.resource)) == Some(id));
            if let Some(step) = plan.workloads.get_mut(name).filter(|_| reads) {
                changes(&mut step.action);
                step.changes.push(format!("started anew with {why}"));
            }
        }
    }
}

/// Accepted replacements of what the deployment does not have. Of what it has and does not replace, the
/// plan warns: the same command given again is no mistake.
fn accepted_of_nothing(graph: &Graph, accept: &BTreeSet<String>) -> Vec<Problem> {
    let known: BTreeSet<String> = graph
        .nodes
        .keys()
        .flat_map(|id| [instance_name(id), id.to_string()])
        .collect();
    let unknown = accept.difference(&known);
    let problem = |name: &String| {
        let near = suggest::nearest(name, known.iter().map(String::as_str));
        Problem::new(
            "deployment/accept",
            "accept",
            format!(
                "the replacement of `{name}` is accepted, which this deployment has no resource of"
            ),
        )
        .remedy(near.map_or_else(
            || "name a resource as the plan does".to_owned(),
            |near| format!("did you mean `{near}`?"),
        ))
    };
    unknown.map(problem).collect()
}

/// Shared resources that a workload outside this deployment uses with other parameters.
fn shared_with_others(
    graph: &Graph,
    instances: &[Resource<ResourceInstance>],
    order: &Order,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for instance in instances {
        let Some(node) = graph.nodes.get(&instance.spec.node) else {
            continue;
        };
        let others: Vec<_> = instance
            .status
            .used_by
            .iter()
            .filter(|user| !order.workloads.contains_key(*user))
            .collect();
        if others.is_empty() || node.params == instance.spec.params {
            continue;
        }
        let others: Vec<_> = others.into_iter().map(String::as_str).collect();
        problems.push(
            Problem::new(
                "graph/shared-conflict",
                node.asked_by.join(", "),
                format!(
                    "{} asks for {} with other parameters than workload {}, which shares it",
                    node.asked_by.join(", "),
                    instance.spec.node,
                    others.join(", ")
                ),
            )
            .remedy("give both the same parameters, or one of them another id"),
        );
    }
    problems
}

/// Variables that begin as a reference to a secret does: workloads get them as they stand.
fn literal_references(workload: &str, score: &score::Workload) -> Vec<String> {
    let mut found = Vec::new();
    for (container, spec) in &score.containers {
        let literal = |value: &str| value.starts_with("towpath://");
        for (name, _) in spec.variables.iter().filter(|(_, value)| literal(value)) {
            found.push(format!(
                "{workload}: variable `{name}` of container {container} begins with `towpath://`, and stays as \
                 it stands: the value of a secret comes from a resource of `type: secret`"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_nothing_replaces_is_told() {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "shop" },
            "containers": { "web": { "image": "shop:1", "variables": {
                "KEY": "towpath://payments/stripe/api-key",
                "VALUE": "${resources.stripe.value}",
                "HELP": "see towpath://payments/stripe/api-key",
            } } },
        });
        let workload = serde_json::from_value(workload).expect("it is a workload");
        let told = literal_references("shop", &workload);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("variable `KEY` of container web"),
            "{told:?}"
        );
    }
}
