//! Where no engine can put files.

use std::path::Path;

use delivery::engine::Objection;
use kernel::Problem;

/// What the kernel shows there is no place for files.
pub(crate) const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The refusal of a target below one of them: `field` is `files` or `volumes` of what `path` names.
pub(crate) fn kernels(path: &str, field: &str, target: &str) -> Option<Objection> {
    let below = |kernels: &&&str| Path::new(target).starts_with(kernels);
    let kernels = KERNELS.iter().find(below)?;
    let message = format!("{target} is below {kernels}, where the kernel alone shows files");
    let problem = Problem::new("engine/target", format!("{path}.{field}.{target}"), message)
        .remedy("choose a path that is not below /proc, /sys or /dev");
    Some(Objection::Refuse(problem))
}
