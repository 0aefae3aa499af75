//! The volumes of containers: which resource is behind each, and which part of it is mounted.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use kernel::Problem;
use serde_json::Map;

use super::{
    Resource, Volume, Workload, pattern,
    placeholder::{Part, Template, join_path},
    suggest,
};

/// The type of a resource that a volume names and nobody declares.
const TYPE: &str = "volume";

/// What is wrong, and how to mend it.
type Wrong = (String, String);

/// Adds to the resources of `workload` those that its volumes name by a plain name and it does not declare, as
/// the specification's own samples have them: each is a resource of type `volume`. Says which, each at the
/// volume that names it first. A name that is nearly that of a declared volume is not added: `data` that is called
/// `dta` once would be found empty, and [`super::deployable()`] refuses it.
pub fn declare_volumes(workload: &mut Workload) -> Vec<Problem> {
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for (container, spec) in &workload.containers {
        for (target, volume) in &spec.volumes {
            let name = &volume.source;
            if is_plain(name)
                && !workload.resources.contains_key(name)
                && near_volume(workload, name).is_none()
            {
                let path = join_path(["containers", container, "volumes", target, "source"]);
                named.entry(name.clone()).or_insert(path);
            }
        }
    }
    let declared = || workload.resources.keys().map(String::as_str);
    let said = named.iter().map(|(name, path)| {
        let message = format!(
            "volume `{name}` is not among the workload's resources: a volume of that name is made for it"
        );
        let declare = declare(name);
        Problem::new("score/volume", path, message).remedy(
            match suggest::nearest(name, declared()) {
                Some(near) => format!("did you mean `{near}`? If not, {declare}"),
                None => declare,
            },
        )
    });
    let said: Vec<Problem> = said.collect();
    let resources = named.into_keys().map(|name| {
        let resource = Resource {
            resource_type: TYPE.to_owned(),
            class: None,
            id: None,
            metadata: Map::new(),
            params: Map::new(),
        };
        (name, resource)
    });
    workload.resources.extend(resources);
    said
}

fn declare(name: &str) -> String {
    format!("declare it: `resources.{name}: {{ type: {TYPE} }}`")
}

/// The declared volume that `name`, which is none, was most likely meant to be.
fn near_volume<'w>(workload: &'w Workload, name: &str) -> Option<&'w str> {
    let volumes = workload.resources.iter();
    let volumes = volumes.filter(|(_, resource)| resource.resource_type == TYPE);
    suggest::nearest(name, volumes.map(|(name, _)| name.as_str()))
}

/// Whether a volume's `source` stands for a resource of that name, declared or not.
pub(super) fn is_plain(source: &str) -> bool {
    (pattern::RESOURCE_NAME.accepts)(source)
}

/// The resource behind a volume, and which output of it is the directory. `${resources.data}` and a
/// plain `data` mean its output `source`; what is plain need not be declared ([`declare_volumes`]), where it is not
/// nearly what is.
pub(super) fn volume_reference(
    workload: &Workload,
    volume: &Volume,
) -> Result<(String, Vec<String>), Wrong> {
    const REMEDY: &str = "declare a resource of type `volume`, and write `${resources.NAME}`";
    let source = &volume.source;
    let wrong = |message: String| (message, REMEDY.to_owned());
    let template = Template::parse(source).map_err(|error| wrong(error.reason.to_owned()))?;
    let (name, output) = match template.parts() {
        [Part::Text(name)] => (name.as_str(), &[][..]),
        [Part::Reference(reference)] => match reference.path.as_slice() {
            [resources, name, output @ ..] if resources == "resources" => (name.as_str(), output),
            _ => return Err(wrong(format!("`{source}` is not a volume"))),
        },
        _ => return Err(wrong(format!("`{source}` is not a volume"))),
    };
    if !workload.resources.contains_key(name) {
        let message = format!("there is no resource `{name}`");
        if !is_plain(source) {
            return Err(wrong(message));
        }
        if let Some(near) = near_volume(workload, name) {
            let remedy = format!("did you mean `{near}`? If not, {}", declare(name));
            return Err((message, remedy));
        }
    }
    let output = if output.is_empty() {
        vec!["source".to_owned()]
    } else {
        output.to_vec()
    };
    Ok((name.to_owned(), output))
}

/// The path below a volume: relative, and not out of it.
pub(super) fn sub_path(volume: &Volume) -> Result<PathBuf, Wrong> {
    let path = volume.path.as_deref().unwrap_or_default();
    // Score's own samples write `/sub/path`: it means the volume's root.
    Path::new(path.trim_start_matches('/'))
        .components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err((
                format!("`{path}` leads out of the volume"),
                "write a path below the volume, without `..`".to_owned(),
            )),
        })
        .collect()
}
