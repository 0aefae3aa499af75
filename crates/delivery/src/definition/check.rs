//! What is wrong with a definition, before it is taken.

use std::collections::BTreeMap;

use kernel::Problem;
use serde_json::Value;

use crate::{
    model::{CoProvisionOrder, ResourceDefinitionSpec},
    provisioner::Provisioner,
    score::placeholder::{Template, for_each_text},
};

/// Everything that is wrong with `spec`; the problems' paths begin with `place` (`documents[0]`).
/// `provisioner` finds those of the platform, which are `known`.
pub fn check<'p>(
    place: &str,
    spec: &ResourceDefinitionSpec,
    provisioner: impl Fn(&str) -> Option<&'p dyn Provisioner>,
    known: &[&str],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !is_type(&spec.resource_type) {
        problems.push(not_a_type(
            format!("{place}.spec.type"),
            &spec.resource_type,
        ));
    }
    if let Some(learn) = spec.learn.as_ref().filter(|learn| !is_web_address(learn)) {
        problems.push(
            Problem::new(
                "definition/learn",
                format!("{place}.spec.learn"),
                format!("`{}` is no address of a page", learn.escape_debug()),
            )
            .remedy("write an absolute URL: https://www.postgresql.org/docs/current/"),
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
                        path: format!("{place}.spec.{}", problem.path),
                        ..problem
                    }),
            );
            outputs(place, spec, found, &mut problems);
        }
        None => problems.push(
            Problem::new(
                "definition/provisioner",
                format!("{place}.spec.provisioner"),
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
                    format!("{place}.spec.resources.{alias}"),
                    format!("`{alias}` cannot be an alias"),
                )
                .remedy("use lower-case letters, digits and hyphens; `parent` is taken"),
            );
        }
    }
    let further = spec.resources.iter();
    let further = further.map(|(alias, resource)| (format!("resources.{alias}"), resource));
    let along = spec.coprovision.iter().enumerate();
    let along = along.map(|(index, along)| (format!("coprovision[{index}]"), &along.resource));
    for (at, dependency) in further.chain(along) {
        if !is_type(&dependency.resource_type) {
            problems.push(not_a_type(
                format!("{place}.spec.{at}.type"),
                &dependency.resource_type,
            ));
        }
    }
    references(place, spec, &mut problems);
    problems
}

/// Whether it can be followed: what else it says is its author's affair.
fn is_web_address(text: &str) -> bool {
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Outputs that are declared, although the provisioner gives no such output.
fn outputs(
    place: &str,
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
                    format!("{place}.spec.outputs[{index}]"),
                    format!("`{}` gives no output `{declared}` here", spec.provisioner),
                )
                .remedy(format!("remove it; the outputs are {}", known.join(", "))),
            );
        }
    }
}

/// Placeholders that refer to nothing that the definition could know.
fn references(place: &str, spec: &ResourceDefinitionSpec, problems: &mut Vec<Problem>) {
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
    for (part, (params, knows_parent)) in places {
        for_each_text(&params, &mut Vec::new(), &mut |path, text| {
            let path = format!("{place}.spec.{part}.{}", path.join("."));
            let template = match Template::parse(text) {
                Ok(template) => template,
                Err(malformed) => {
                    problems.push(
                        Problem::new("definition/placeholder", path, malformed.reason)
                            .remedy("write `$${` for a `${` that is no placeholder"),
                    );
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

fn not_a_type(path: String, given: &str) -> Problem {
    Problem::new(
        "definition/type",
        path,
        format!("`{given}` is not a resource type"),
    )
    .remedy("use letters, digits and hyphens, 2 to 63 of them")
}

/// A resource type, by Score's schema.
fn is_type(text: &str) -> bool {
    (2..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
