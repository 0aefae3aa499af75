//! What is wrong with a definition, before it is taken.

use std::collections::BTreeMap;

use kernel::Problem;
use serde_json::Value;

use crate::{
    model::{CoProvisionOrder, ResourceDefinitionSpec},
    provisioner::Provisioner,
    score::placeholder::{Template, for_each_text},
};

/// Everything that is wrong with `spec`. `provisioners` are those of the platform, by name.
pub fn check<'p>(
    name: &str,
    spec: &ResourceDefinitionSpec,
    provisioner: impl Fn(&str) -> Option<&'p dyn Provisioner>,
    known: &[&str],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !is_type(&spec.resource_type) {
        problems.push(
            Problem::new(
                "definition/type",
                format!("{name}.spec.type"),
                format!("`{}` is not a resource type", spec.resource_type),
            )
            .remedy("use letters, digits and hyphens, 2 to 63 of them"),
        );
    }
    match provisioner(&spec.provisioner) {
        Some(found) => {
            // Their paths begin with `params`.
            problems.extend(
                found
                    .check(&spec.params)
                    .into_iter()
                    .map(|problem| Problem {
                        path: format!("{name}.spec.{}", problem.path),
                        ..problem
                    }),
            );
            outputs(name, spec, found, &mut problems);
        }
        None => problems.push(
            Problem::new(
                "definition/provisioner",
                format!("{name}.spec.provisioner"),
                format!("there is no provisioner `{}`", spec.provisioner),
            )
            .remedy(format!("use one of: {}", known.join(", "))),
        ),
    }
    for alias in spec.resources.keys() {
        if kernel::Name::new(alias.as_str()).is_err() || alias == "parent" {
            problems.push(
                Problem::new(
                    "definition/alias",
                    format!("{name}.spec.resources.{alias}"),
                    format!("`{alias}` cannot be an alias"),
                )
                .remedy("use lower-case letters, digits and hyphens; `parent` is taken"),
            );
        }
    }
    let all = spec
        .resources
        .values()
        .chain(spec.coprovision.iter().map(|c| &c.resource));
    for dependency in all {
        if !is_type(&dependency.resource_type) {
            problems.push(Problem::new(
                "definition/type",
                format!("{name}.spec.resources"),
                format!("`{}` is not a resource type", dependency.resource_type),
            ));
        }
    }
    references(name, spec, &mut problems);
    problems
}

/// Outputs that are declared, although the provisioner gives no such output.
fn outputs(
    name: &str,
    spec: &ResourceDefinitionSpec,
    provisioner: &dyn Provisioner,
    problems: &mut Vec<Problem>,
) {
    let Some(given) = provisioner.outputs(&spec.params) else {
        return;
    };
    for (index, declared) in spec.outputs.iter().enumerate() {
        if !given.contains(declared) {
            let known: Vec<_> = given.iter().map(String::as_str).collect();
            problems.push(
                Problem::new(
                    "definition/outputs",
                    format!("{name}.spec.outputs[{index}]"),
                    format!("`{}` gives no output `{declared}` here", spec.provisioner),
                )
                .remedy(format!("remove it; the outputs are {}", known.join(", "))),
            );
        }
    }
}

/// Placeholders that refer to nothing that the definition could know.
fn references(name: &str, spec: &ResourceDefinitionSpec, problems: &mut Vec<Problem>) {
    let mut places: BTreeMap<String, (Value, bool)> = BTreeMap::new();
    places.insert("params".into(), (Value::Object(spec.params.clone()), false));
    for (alias, dependency) in &spec.resources {
        let params = Value::Object(dependency.params.clone());
        places.insert(format!("resources.{alias}.params"), (params, false));
    }
    for (index, along) in spec.coprovision.iter().enumerate() {
        let params = Value::Object(along.resource.params.clone());
        let after = along.order == CoProvisionOrder::After;
        places.insert(format!("coprovision[{index}].params"), (params, after));
    }
    for (place, (params, knows_parent)) in places {
        for_each_text(&params, &mut Vec::new(), &mut |path, text| {
            let path = format!("{name}.spec.{place}.{}", path.join("."));
            let template = match Template::parse(text) {
                Ok(template) => template,
                Err(malformed) => {
                    problems.push(Problem::new(
                        "definition/placeholder",
                        path,
                        malformed.reason,
                    ));
                    return;
                }
            };
            for reference in template.references() {
                let good = match reference.names().as_slice() {
                    ["context", _] | ["params", ..] => true,
                    ["resources", "parent", _, ..] => knows_parent,
                    ["resources", alias, _, ..] => spec.resources.contains_key(*alias),
                    _ => false,
                };
                if !good {
                    problems.push(
                        Problem::new(
                            "definition/placeholder",
                            path.clone(),
                            format!("`{reference}` refers to nothing here"),
                        )
                        .remedy(
                            "use ${context.NAME}, ${params.NAME}, or ${resources.ALIAS.OUTPUT} with an \
                             alias of spec.resources",
                        ),
                    );
                }
            }
        });
    }
}

/// A resource type, by Score's schema.
fn is_type(text: &str) -> bool {
    (2..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
