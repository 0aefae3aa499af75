//! Building the resource graph: every need of every workload to the definition that meets it, and
//! what that definition needs in turn. Deterministic: workloads, resources and aliases are visited in
//! the order of their names.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Problem;
use serde_json::{Map, Value};

use super::{
    Catalogue, Context,
    explain::AMBIGUOUS,
    params::{Scope, inherit, inherited},
};
use crate::{
    model::{
        CoProvisionOrder, DefinitionRef, Dependency, Graph, Node, NodeId, ResourceDefinitionSpec,
    },
    score,
};

/// How deep definitions may ask for further resources: far beyond any sensible one.
const DEPTH: usize = 32;

/// The class of a resource that names none.
pub(super) const DEFAULT_CLASS: &str = "default";

/// What a graph is built from.
pub struct Input<'a> {
    /// The environment: name, role, team and labels; the rest is ignored.
    pub environment: &'a Context,
    /// The platform's domain, for `${context.domain}`.
    pub domain: &'a str,
    /// The workloads by name.
    pub workloads: &'a BTreeMap<String, score::Workload>,
    /// The definitions in force.
    pub catalogue: &'a Catalogue,
    /// What instances that are there were last accepted with: they stay on it where no definition
    /// holds any more.
    pub accepted: &'a BTreeMap<NodeId, Revised>,
    /// Whether what a provisioner makes holds data.
    pub holds_data: &'a dyn Fn(&str) -> bool,
}

/// A definition at one of its revisions.
pub type Revised = (DefinitionRef, ResourceDefinitionSpec);

/// A graph, and what is remarkable about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The graph.
    pub graph: Graph,
    /// What stays on a definition that no longer holds, and why.
    pub stays: Vec<Problem>,
}

/// Builds the graph, or says everything that is wrong with it.
pub fn build(input: &Input<'_>) -> Result<Built, Vec<Problem>> {
    let (built, problems) = partly(input);
    if problems.is_empty() {
        Ok(built)
    } else {
        Err(problems)
    }
}

/// Builds as much of the graph as can be, and says everything that is wrong with the rest: that is not in
/// the graph.
pub fn partly(input: &Input<'_>) -> (Built, Vec<Problem>) {
    let mut builder = Builder {
        input,
        graph: Graph::default(),
        beside: Vec::new(),
        stays: Vec::new(),
        problems: Vec::new(),
        way: Vec::new(),
        is_endless: false,
    };
    for (name, workload) in input.workloads {
        builder.workload(name, workload);
    }
    builder.wait_for_what_stands_beside();
    if let Some(cycle) = find_cycle(&builder.graph) {
        let shown: Vec<_> = cycle.iter().map(ToString::to_string).collect();
        builder.problems.push(
            Problem::new(
                "graph/cycle",
                "",
                format!("resources wait for each other: {}", shown.join(" -> ")),
            )
            .remedy("remove one of these references"),
        );
    }
    let built = Built {
        graph: builder.graph,
        stays: builder.stays,
    };
    (built, builder.problems)
}

/// A need on its way to a node.
struct Need {
    id: NodeId,
    /// Who asks: `notes.resources.db`, or a node.
    asker: String,
    /// The workload whose alone it is; none for what is shared by id.
    workload: Option<String>,
    labels: BTreeMap<String, String>,
    /// The asker's parameters, and what the aliases in them stand for.
    params: Map<String, Value>,
    aliases: BTreeMap<String, NodeId>,
    /// Whether nothing is wrong with these: what meets them is judged by them.
    is_sound: bool,
}

struct Builder<'a> {
    input: &'a Input<'a>,
    graph: Graph,
    /// Pairs of a parent and what is made beside it.
    beside: Vec<(NodeId, NodeId)>,
    stays: Vec<Problem>,
    problems: Vec<Problem>,
    /// The definitions on the way from the workload to what is met now, the last one asking for it.
    way: Vec<String>,
    /// Whether the way from this resource of the workload has no end.
    is_endless: bool,
}

impl Builder<'_> {
    fn workload(&mut self, name: &str, workload: &score::Workload) {
        let ids: BTreeMap<String, NodeId> = workload
            .resources
            .iter()
            .map(|(resource, asked)| {
                let id = NodeId {
                    resource_type: asked.resource_type.clone(),
                    class: asked.class.clone().unwrap_or_else(|| DEFAULT_CLASS.into()),
                    id: asked
                        .id
                        .clone()
                        .unwrap_or_else(|| format!("{name}.{resource}")),
                };
                (resource.clone(), id)
            })
            .collect();
        let metadata = serde_json::to_value(&workload.metadata).unwrap_or_default();
        for (resource, asked) in &workload.resources {
            let asker = format!("{name}.resources.{resource}");
            let scope = Scope {
                place: asker.clone(),
                context: None,
                params: None,
                metadata: Some(&metadata),
            };
            let known = self.problems.len();
            let mut used = Vec::new();
            let params = scope.resolve(&asked.params, &mut used, &mut self.problems);
            let aliases = self.aliases_of(&asker, &used, &ids);
            let need = Need {
                id: ids[resource].clone(),
                workload: asked.id.is_none().then(|| name.to_owned()),
                labels: annotations(asked),
                params,
                aliases,
                asker,
                is_sound: self.problems.len() == known,
            };
            self.is_endless = false;
            self.meet(need, 0);
        }
        self.graph.workloads.insert(name.to_owned(), ids);
    }

    /// What the aliases in `used` stand for.
    fn aliases_of(
        &mut self,
        asker: &str,
        used: &[String],
        known: &BTreeMap<String, NodeId>,
    ) -> BTreeMap<String, NodeId> {
        let mut aliases = BTreeMap::new();
        for alias in used {
            if let Some(id) = known.get(alias) {
                aliases.insert(alias.clone(), id.clone());
                continue;
            }
            let names: Vec<_> = known.keys().map(String::as_str).collect();
            self.problems.push(
                Problem::new(
                    "graph/unknown-resource",
                    asker,
                    format!("`${{resources.{alias}.*}}` refers to no resource"),
                )
                .remedy(format!("the resources here are: {}", names.join(", "))),
            );
        }
        aliases
    }

    /// The definition that meets `need`; else the one that it was last accepted with. Which of two
    /// rivals is meant, nobody can say: that stays an error.
    fn definition(&mut self, need: &Need, context: &Context) -> Option<Revised> {
        let problem = match self.input.catalogue.find(context) {
            Ok((definition, spec)) => return Some((definition, spec.clone())),
            Err(problem) => Problem {
                path: need.asker.clone(),
                ..problem
            },
        };
        let accepted = self.input.accepted.get(&need.id);
        let Some(accepted) = accepted.filter(|_| problem.rule != AMBIGUOUS) else {
            self.problems.push(problem);
            return None;
        };
        self.stays.push(Problem {
            message: format!(
                "{}: {}; it stays on {}",
                need.id, problem.message, accepted.0
            ),
            ..problem
        });
        Some(accepted.clone())
    }

    /// Adds the node that meets `need`, and what it needs in turn.
    fn meet(&mut self, need: Need, depth: usize) {
        if depth > DEPTH {
            self.without_end();
            return;
        }
        let mut context = self
            .input
            .environment
            .of_node(&need.id, need.workload.as_deref());
        context.labels.extend(need.labels.clone());
        let Some((definition, spec)) = self.definition(&need, &context) else {
            return;
        };
        if !need.is_sound {
            return;
        }
        let own = dependencies(&need.id, &spec);
        let asker_params = match inherit(&Value::Object(need.params.clone())) {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        let mut known: BTreeMap<String, NodeId> = need
            .aliases
            .iter()
            .map(|(alias, id)| (inherited(alias), id.clone()))
            .collect();
        known.extend(own.iter().map(|(alias, id)| (alias.clone(), id.clone())));

        let scope = Scope {
            place: definition.to_string(),
            context: Some((&context, self.input.domain)),
            params: Some(&asker_params),
            metadata: None,
        };
        let before = self.problems.len();
        let mut used = Vec::new();
        let params = scope.resolve(&spec.params, &mut used, &mut self.problems);
        let mut aliases = self.aliases_of(&definition.to_string(), &used, &known);
        aliases.extend(own.clone());
        let depends_on: BTreeSet<NodeId> = aliases.values().cloned().collect();
        let node = Node {
            definition: definition.clone(),
            provisioner: spec.provisioner.clone(),
            params,
            aliases,
            depends_on: depends_on.into_iter().collect(),
            asked_by: vec![need.asker.clone()],
            workload: need.workload.clone(),
            holds_data: spec
                .holds_data
                .unwrap_or_else(|| (self.input.holds_data)(&spec.provisioner)),
        };
        let is_sound = self.problems.len() == before;
        if is_sound && !self.add(&need, node) {
            return;
        }
        let further = spec
            .resources
            .iter()
            .map(|(alias, dependency)| (own[alias].clone(), dependency, None));
        let along = spec.coprovision.iter().enumerate().map(|(index, along)| {
            (
                along_id(&need.id, index, &along.resource),
                &along.resource,
                Some(along.order),
            )
        });
        self.way.push(definition.name.clone());
        for (id, dependency, order) in further.chain(along).collect::<Vec<_>>() {
            // Every way on from here is as long, and there may be twice as many with each step.
            if self.is_endless {
                break;
            }
            let mut known = known.clone();
            if order == Some(CoProvisionOrder::After) {
                known.insert("parent".into(), need.id.clone());
            }
            let before = self.problems.len();
            let mut used = Vec::new();
            let params = scope.resolve(&dependency.params, &mut used, &mut self.problems);
            let mut aliases = self.aliases_of(&definition.to_string(), &used, &known);
            if order == Some(CoProvisionOrder::After) {
                aliases.insert("parent".into(), need.id.clone());
            }
            if order == Some(CoProvisionOrder::Beside) {
                self.beside.push((need.id.clone(), id.clone()));
            }
            let shared = dependency.id.as_deref().is_some_and(|id| id != "@");
            let inner = Need {
                id: id.clone(),
                asker: need.id.to_string(),
                workload: if shared { None } else { need.workload.clone() },
                labels: BTreeMap::new(),
                params,
                aliases,
                is_sound: self.problems.len() == before,
            };
            self.meet(inner, depth + 1);
            if order == Some(CoProvisionOrder::After)
                && let Some(node) = self.graph.nodes.get_mut(&id)
                && !node.depends_on.contains(&need.id)
            {
                node.depends_on.push(need.id.clone());
                node.depends_on.sort();
            }
        }
        self.way.pop();
    }

    /// Says which definitions ask for each other: those from where the last one on the way stood before.
    fn without_end(&mut self) {
        self.is_endless = true;
        let way = self.way.as_slice();
        let circle = way.split_last().and_then(|(last, before)| {
            let start = before.iter().rposition(|name| name == last)?;
            Some(&way[start..])
        });
        let message = format!(
            "definitions ask for each other without end: {}",
            circle.unwrap_or(way).join(" -> ")
        );
        self.problems.push(
            Problem::new("graph/too-deep", "", message)
                .remedy("let one of these definitions ask for a resource with a fixed id"),
        );
    }

    /// Adds `node`, or joins it with the one that is there. Says whether it is new.
    fn add(&mut self, need: &Need, node: Node) -> bool {
        let Some(held) = self.graph.nodes.get_mut(&need.id) else {
            self.graph.nodes.insert(need.id.clone(), node);
            return true;
        };
        if held.params != node.params
            || held.aliases != node.aliases
            || held.definition != node.definition
        {
            self.problems.push(
                Problem::new(
                    "graph/shared-conflict",
                    &need.asker,
                    format!(
                        "{} and {} ask for the same resource {} with different parameters",
                        held.asked_by.join(", "),
                        need.asker,
                        need.id
                    ),
                )
                .remedy("give both the same parameters, or one of them another id"),
            );
            return false;
        }
        held.asked_by.push(need.asker.clone());
        held.asked_by.sort();
        held.asked_by.dedup();
        false
    }

    /// Whoever waits for a parent waits for what is made beside it, too.
    fn wait_for_what_stands_beside(&mut self) {
        for (parent, beside) in &self.beside {
            for (id, node) in &mut self.graph.nodes {
                if id != beside
                    && node.depends_on.contains(parent)
                    && !node.depends_on.contains(beside)
                {
                    node.depends_on.push(beside.clone());
                    node.depends_on.sort();
                }
            }
        }
    }
}

/// The nodes that a definition's aliases stand for. `@` inherits the asker's class or id.
fn dependencies(asker: &NodeId, spec: &ResourceDefinitionSpec) -> BTreeMap<String, NodeId> {
    spec.resources
        .iter()
        .map(|(alias, dependency)| {
            (
                alias.clone(),
                node_id(asker, dependency, &format!("{}.{alias}", asker.id)),
            )
        })
        .collect()
}

fn along_id(asker: &NodeId, index: usize, along: &Dependency) -> NodeId {
    node_id(
        asker,
        along,
        &format!(
            "{}.{}-{}",
            asker.id,
            along.resource_type.to_lowercase(),
            index + 1
        ),
    )
}

fn node_id(asker: &NodeId, dependency: &Dependency, own_id: &str) -> NodeId {
    let class = match dependency.class.as_deref() {
        Some("@") => asker.class.clone(),
        Some(class) => class.to_owned(),
        None => DEFAULT_CLASS.into(),
    };
    let id = match dependency.id.as_deref() {
        Some("@") => asker.id.clone(),
        Some(id) => id.to_owned(),
        None => own_id.to_owned(),
    };
    NodeId {
        resource_type: dependency.resource_type.clone(),
        class,
        id,
    }
}

/// A resource's annotations: the labels that criteria may name.
fn annotations(asked: &score::Resource) -> BTreeMap<String, String> {
    let found = asked.metadata.get("annotations").and_then(Value::as_object);
    found
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// A cycle in `graph`, from a node back to itself; the same one for the same graph.
fn find_cycle(graph: &Graph) -> Option<Vec<NodeId>> {
    let mut done = BTreeSet::new();
    let mut path = Vec::new();
    graph
        .nodes
        .keys()
        .find_map(|id| visit(graph, id, &mut done, &mut path))
}

fn visit<'g>(
    graph: &'g Graph,
    id: &'g NodeId,
    done: &mut BTreeSet<&'g NodeId>,
    path: &mut Vec<&'g NodeId>,
) -> Option<Vec<NodeId>> {
    if let Some(start) = path.iter().position(|seen| *seen == id) {
        let cycle = path[start..].iter().copied().chain(std::iter::once(id));
        return Some(cycle.cloned().collect());
    }
    if !done.insert(id) {
        return None;
    }
    path.push(id);
    let found = graph
        .nodes
        .get(id)
        .into_iter()
        .flat_map(|node| &node.depends_on)
        .find_map(|next| visit(graph, next, done, path));
    path.pop();
    found
}
