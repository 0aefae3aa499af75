//! What a workload's placeholders ask of its resources.

use serde_json::Value;

use super::{
    Workload,
    placeholder::{Template, for_each_text, join_path},
    volumes::volume_reference,
};

/// An output of a resource that a workload asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputReference {
    /// Where: `containers.web.variables.DB_HOST`.
    pub path: String,
    /// The resource, by its name in the workload.
    pub resource: String,
    /// The output's name; further names lead into its value.
    pub output: Vec<String>,
    /// Whether it is asked for as the directory of a volume.
    pub is_volume: bool,
}

impl std::fmt::Display for OutputReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["resources", &self.resource].into_iter();
        let names = names.chain(self.output.iter().map(String::as_str));
        write!(f, "${{{}}}", join_path(names))
    }
}

/// Every output that `workload` asks for: in variables, files, volumes, and parameters of resources.
pub fn output_references(workload: &Workload) -> Vec<OutputReference> {
    let mut found = Vec::new();
    for (name, container) in &workload.containers {
        for (variable, text) in &container.variables {
            within(
                text,
                &["containers", name, "variables", variable],
                &mut found,
            );
        }
        for (target, file) in &container.files {
            if let Some(text) = file.content.as_ref().filter(|_| !file.no_expand) {
                within(
                    text,
                    &["containers", name, "files", target, "content"],
                    &mut found,
                );
            }
        }
        for (target, volume) in &container.volumes {
            // One that is no volume is reported as that.
            if let Ok((resource, output)) = volume_reference(workload, volume) {
                found.push(OutputReference {
                    path: join_path(["containers", name, "volumes", target, "source"]),
                    resource,
                    output,
                    is_volume: true,
                });
            }
        }
    }
    for (name, resource) in &workload.resources {
        let params = Value::Object(resource.params.clone());
        for_each_text(&params, &mut Vec::new(), &mut |path, text| {
            let place = ["resources", name, "params"].into_iter();
            let place: Vec<_> = place.chain(path.iter().map(String::as_str)).collect();
            within(text, &place, &mut found);
        });
    }
    found
}

/// Adds what `text` refers to. A text that is malformed is reported where workloads are checked.
fn within(text: &str, path: &[&str], found: &mut Vec<OutputReference>) {
    let template = Template::parse(text).unwrap_or_default();
    found.extend(
        template
            .references()
            .filter_map(|reference| match reference.path.as_slice() {
                [first, resource, output @ ..] if first == "resources" && !output.is_empty() => {
                    Some(OutputReference {
                        path: join_path(path.iter().copied()),
                        resource: resource.clone(),
                        output: output.to_vec(),
                        is_volume: false,
                    })
                }
                _ => None,
            }),
    );
}
