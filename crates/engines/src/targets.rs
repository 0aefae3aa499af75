//! Where files and volumes can be in a container: the same for every engine, so that what one takes another
//! does not refuse.

use std::path::{Component, Path};

use delivery::{engine::Objection, score};
use kernel::Problem;

/// What the kernel shows there is no place for files.
pub(crate) const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The refusals of what `container`, which `path` names, wants where nothing can be.
pub(crate) fn check(path: &str, container: &score::Container) -> Vec<Objection> {
    let files = container.files.keys().map(|target| ("files", target));
    let volumes = container.volumes.keys().map(|target| ("volumes", target));
    files
        .chain(volumes)
        .filter_map(|(field, target)| {
            let (message, remedy) = wrong(target)?;
            let path = format!("{path}.{field}.{target}");
            let problem = Problem::new("engine/target", path, message).remedy(remedy);
            Some(Objection::Refuse(problem))
        })
        .collect()
}

/// What is wrong with `target`, and how to mend it.
fn wrong(target: &str) -> Option<(String, &'static str)> {
    let path = Path::new(target);
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if climbs || path.file_name().is_none() {
        return Some((
            format!("{target} names no place in the container"),
            "give a path without .., below / or below the working directory",
        ));
    }
    let kernels = KERNELS.iter().find(|kernels| path.starts_with(kernels))?;
    Some((
        format!("{target} is below {kernels}, where the kernel alone shows files"),
        "choose a path that is not below /proc, /sys or /dev",
    ))
}
