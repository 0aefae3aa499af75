//! Parameters that a Score file gives, and nobody reads: a definition takes `${params.NAME}`, and passes over all
//! else.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Problem;
use serde_json::Value;

use super::Catalogue;
use crate::{
    model::{Graph, ResourceDefinitionSpec},
    score::{
        self,
        placeholder::{Template, for_each_text},
        suggest::nearest,
    },
};

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub struct Unread {
    /// Parameters that no definition of their type reads: most likely they are misspelt.
    pub problems: Vec<Problem>,
    /// Those that the definition in force here does not read, and another of the type does, or a newer revision: a
    /// workload is written for all environments, and each takes what it can use.
    pub warnings: Vec<String>,
}

/// Every parameter of `workloads` that the definition which meets its resource, by `graph`, does not read.
/// `catalogue` is what holds in the environment, and `newest` what does where nothing is pinned.
pub fn unread_params(
    graph: &Graph,
    workloads: &BTreeMap<String, score::Workload>,
    catalogue: &Catalogue,
    newest: &Catalogue,
) -> Unread {
    let mut unread = Unread::default();
    for (name, workload) in workloads {
        for (resource, asked) in &workload.resources {
            let id = graph.workloads.get(name).and_then(|all| all.get(resource));
            let Some(node) = id.and_then(|id| graph.nodes.get(id)) else {
                continue;
            };
            // One that stays on what it was accepted with is said to, with the reason.
            let Some(spec) = catalogue.get(&node.definition) else {
                continue;
            };
            let reads = read_by(spec);
            for param in asked.params.keys().filter(|param| !reads.contains(*param)) {
                let definition = &node.definition;
                let readers = |of: &Catalogue| readers(of, &spec.resource_type, param);
                let others = readers(catalogue).map(|others| format!("as {others} does"));
                let others = others.or_else(|| {
                    let newer = readers(newest)?;
                    Some(format!(
                        "as the newest of {newer} does: this environment is pinned to the definitions of its source, \
                         until `towpath env unpin` has it follow the newest"
                    ))
                });
                if let Some(others) = others {
                    unread.warnings.push(format!(
                        "resource `{resource}` of workload `{name}`: {definition}, which meets it here, does not \
                         read the parameter `{param}`, {others}"
                    ));
                    continue;
                }
                let message = format!(
                    "resource `{resource}` of workload `{name}` gives a parameter `{param}`, which {definition} \
                     does not read"
                );
                let path = format!("workloads.{name}.resources.{resource}.params.{param}");
                let problem = Problem::new("graph/unread-parameter", path, message);
                let of_type = [catalogue, newest].into_iter();
                let of_type = of_type.flat_map(|all| all.of_type(&spec.resource_type));
                let of_type = of_type.flat_map(|(_, other)| read_by(other)).collect();
                let remedy = remedy(param, &reads, &of_type);
                unread.problems.push(problem.remedy(remedy));
            }
        }
    }
    unread
}

/// The definitions of a type that read a parameter, for people.
fn readers(catalogue: &Catalogue, resource_type: &str, param: &str) -> Option<String> {
    let readers: Vec<_> = catalogue
        .of_type(resource_type)
        .filter(|(_, spec)| read_by(spec).contains(param))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    (!readers.is_empty()).then(|| readers.join(" and "))
}

/// What to do instead; what is meant may be what another definition of the type reads.
fn remedy(param: &str, reads: &BTreeSet<String>, of_type: &BTreeSet<String>) -> String {
    let known: Vec<_> = reads.iter().map(|name| format!("`{name}`")).collect();
    let all = match known.as_slice() {
        [] => "the definition reads no parameters".to_owned(),
        known => format!("the definition reads {}", known.join(", ")),
    };
    match nearest(param, of_type.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => format!("leave it out; {all}"),
    }
}

/// The parameters of whoever asks that a definition reads, for itself or for what it asks for in turn.
pub(super) fn read_by(spec: &ResourceDefinitionSpec) -> BTreeSet<String> {
    let own = std::iter::once(&spec.params);
    let further = spec.resources.values().map(|further| &further.params);
    let along = spec.coprovision.iter().map(|along| &along.resource.params);
    let mut names = BTreeSet::new();
    for params in own.chain(further).chain(along) {
        let params = Value::Object(params.clone());
        for_each_text(&params, &mut Vec::new(), &mut |_, text| {
            for reference in Template::parse(text).unwrap_or_default().references() {
                if let ["params", name, ..] = reference.names().as_slice() {
                    names.insert((*name).to_owned());
                }
            }
        });
    }
    names
}
