//! Whether the outputs that placeholders ask for will be there: as far as that can be told before
//! anything is made.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Problem;
use serde_json::{Map, Value};

use super::Catalogue;
use crate::{
    model::{Graph, Node, NodeId},
    score::{
        self, output_references,
        placeholder::{Template, for_each_text},
        suggest::nearest,
    },
};

/// The outputs that a provisioner gives with these parameters; none where it cannot tell.
pub type Given<'a> = dyn Fn(&str, &Map<String, Value>) -> Option<BTreeSet<String>> + 'a;

/// What is asked, and of what.
pub struct Asked<'a> {
    /// Everything that is needed.
    pub graph: &'a Graph,
    /// The workloads that ask.
    pub workloads: &'a BTreeMap<String, score::Workload>,
    /// The definitions that `graph` was built from.
    pub catalogue: &'a Catalogue,
    /// What the provisioners give.
    pub given: &'a Given<'a>,
}

/// Every placeholder for an output that the resource behind it does not have.
pub fn unknown_outputs(asked: &Asked<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, workload) in asked.workloads {
        for reference in output_references(workload) {
            let resources = asked.graph.workloads.get(name);
            let Some(id) = resources.and_then(|all| all.get(&reference.resource)) else {
                continue;
            };
            if let Some((node, remedy)) = asked.lacks(id, &reference.output) {
                let path = format!("workloads.{name}.{}", reference.path);
                let is_other = id.resource_type != "volume";
                if is_other && reference.is_volume && reference.output == ["source"] {
                    let (what, resource) = (&id.resource_type, &reference.resource);
                    let message = format!("`{resource}` is a {what}, not a volume");
                    problems.push(
                        Problem::new("graph/unknown-output", path, message)
                            .remedy("name a resource of `type: volume`"),
                    );
                    continue;
                }
                let message = format!(
                    "`{reference}`: resource `{}` ({id}, by {}) has no output `{}`",
                    reference.resource, node.definition, reference.output[0]
                );
                problems.push(Problem::new("graph/unknown-output", path, message).remedy(remedy));
            }
        }
    }
    for (id, node) in &asked.graph.nodes {
        asked.of_definition(id, node, &mut problems);
    }
    problems
}

impl Asked<'_> {
    /// What the definition of `node` asks of the resources that it names.
    fn of_definition(&self, id: &NodeId, node: &Node, problems: &mut Vec<Problem>) {
        // A revision that is not in force was checked when it was.
        let Some(spec) = self.catalogue.get(&node.definition) else {
            return;
        };
        let own = [&spec.params].into_iter();
        let own = own.chain(spec.resources.values().map(|further| &further.params));
        let all = own.chain(spec.coprovision.iter().map(|along| &along.resource.params));
        for params in all {
            let params = Value::Object(params.clone());
            for_each_text(&params, &mut Vec::new(), &mut |_, text| {
                let template = Template::parse(text).unwrap_or_default();
                for reference in template.references() {
                    let [first, alias, output @ ..] = reference.path.as_slice() else {
                        continue;
                    };
                    let target = match alias.as_str() {
                        "parent" => Some(id),
                        alias => node.aliases.get(alias),
                    };
                    if first != "resources" || output.is_empty() {
                        continue;
                    }
                    if let Some(target) = target
                        && let Some((behind, remedy)) = self.lacks(target, output)
                    {
                        let message = format!(
                            "definition {} refers to `{reference}`, but {target} (by {}) has no output `{}`",
                            node.definition, behind.definition, output[0]
                        );
                        let remedy =
                            format!("correct definition {}: {remedy}", node.definition.name);
                        let path = node.asked_by.join(", ");
                        problems.push(
                            Problem::new("graph/unknown-output", path, message).remedy(remedy),
                        );
                    }
                }
            });
        }
    }

    /// The node `id` and what to do instead, where it is known to have no such output.
    fn lacks(&self, id: &NodeId, output: &[String]) -> Option<(&Node, String)> {
        let node = self.graph.nodes.get(id)?;
        let given = (self.given)(&node.provisioner, &node.params).or_else(|| {
            let declared = &self.catalogue.get(&node.definition)?.outputs;
            (!declared.is_empty()).then(|| declared.iter().cloned().collect())
        })?;
        let name = output.first()?;
        if given.contains(name) {
            return None;
        }
        let remedy = match nearest(name, given.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if given.is_empty() => "it has no outputs".to_owned(),
            None => {
                let names: Vec<_> = given.into_iter().collect();
                format!("it has {}", names.join(", "))
            }
        };
        Some((node, remedy))
    }
}
