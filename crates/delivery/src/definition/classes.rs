//! Classes that nobody knows: a class that no definition names chooses nothing, and makes another resource all the
//! same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Catalogue, graph::DEFAULT_CLASS};
use crate::{
    model::{Graph, ResourceDefinitionSpec},
    score::{
        placeholder::{Template, for_each_text},
        suggest::nearest,
    },
};

/// Every class that a workload's resource gives, and no definition of its type names or reads: with what meets it.
pub fn unnamed_classes(graph: &Graph, catalogue: &Catalogue) -> Vec<String> {
    let mut warnings = Vec::new();
    for (workload, resources) in &graph.workloads {
        for (resource, id) in resources {
            let Some(node) = graph.nodes.get(id) else {
                continue;
            };
            let of_type = || catalogue.of_type(&id.resource_type).map(|(_, spec)| spec);
            let named: BTreeSet<&str> = of_type()
                .flat_map(|spec| &spec.criteria)
                .filter_map(|criterion| criterion.class.as_deref())
                .collect();
            let (class, definition) = (id.class.as_str(), &node.definition);
            let is_known = class == DEFAULT_CLASS || named.contains(class);
            // One that stays on what it was accepted with is said to, with the reason.
            let reads = catalogue.get(definition).is_none_or(reads_class);
            if is_known || reads {
                continue;
            }
            let names: Vec<_> = named.iter().map(|name| format!("`{name}`")).collect();
            let known = match (nearest(class, named.iter().copied()), names.as_slice()) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, []) => "none names any: leave `class` out".to_owned(),
                (None, names) => format!("those that are named are {}", names.join(", ")),
            };
            let what = &id.resource_type;
            warnings.push(format!(
                "{workload}.resources.{resource}.class: no definition of `{what}` names the class `{class}`, and \
                 {definition} meets it as it does any other; {known}"
            ));
        }
    }
    warnings
}

/// Whether `spec` makes something of the class without naming it in its criteria.
fn reads_class(spec: &ResourceDefinitionSpec) -> bool {
    let own = std::iter::once(&spec.params);
    let further = || {
        let along = spec.coprovision.iter().map(|along| &along.resource);
        spec.resources.values().chain(along)
    };
    let mut reads = further().any(|further| further.class.as_deref() == Some("@"));
    for params in own.chain(further().map(|further| &further.params)) {
        let params = Value::Object(params.clone());
        for_each_text(&params, &mut Vec::new(), &mut |_, text| {
            let template = Template::parse(text).unwrap_or_default();
            reads |= template
                .references()
                .any(|reference| reference.names() == ["context", "class"]);
        });
    }
    reads
}
