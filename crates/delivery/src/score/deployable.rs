//! What a workload that keeps the schema needs beyond it before it can be deployed here.

use std::path::Path;

use kernel::Problem;

use super::{
    Compute, Container, Probe, Volume, Workload,
    placeholder::{Part, Template, join_path},
    quantity,
};

/// What must be mended before `workload` can be deployed. Files must be inlined already
/// ([`super::inline_sources`]).
pub fn deployable(workload: &Workload) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, container) in &workload.containers {
        let at = |below: &[&str]| {
            let path = ["containers", name]
                .into_iter()
                .chain(below.iter().copied());
            join_path(path)
        };
        if container.image == "." {
            problems.push(
                Problem::new(
                    "score/image",
                    at(&["image"]),
                    "`.` stands for an image to be given",
                )
                .remedy("give it: `--image IMAGE`, or `--image ./PROGRAM` on the process engine"),
            );
        }
        for (target, file) in &container.files {
            if let Some(source) = &file.source {
                problems.push(
                    Problem::new(
                        "score/source",
                        at(&["files", target, "source"]),
                        format!("the platform cannot read `{source}`: it is not on its machine"),
                    )
                    .remedy(
                        "deploy with `towpath`, which sends the file along, or write `content`",
                    ),
                );
            }
        }
        for (target, volume) in &container.volumes {
            let problem = |field, (message, remedy): (String, &str)| {
                let path = at(&["volumes", target, field]);
                Problem::new("score/volume", path, message).remedy(remedy)
            };
            if let Err(wrong) = volume_reference(workload, volume) {
                problems.push(problem("source", wrong));
            }
            if let Err(wrong) = sub_path(volume) {
                problems.push(problem("path", wrong));
            }
        }
        below_files(container, &at, &mut problems);
        let probes = [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
        ];
        for (field, probe) in probes {
            let Some(Probe { http_get, exec }) = probe else {
                continue;
            };
            let nothing = exec.as_ref().is_some_and(|exec| exec.command.is_empty());
            if nothing || (http_get.is_none() && exec.is_none()) {
                problems.push(
                    Problem::new("score/probe", at(&[field]), "the probe asks nothing")
                        .remedy("give it `httpGet`, or `exec` with a command, or remove it"),
                );
            }
        }
    }
    problems
}

/// Nothing can stand at or below the place of a file.
fn below_files(container: &Container, at: &dyn Fn(&[&str]) -> String, problems: &mut Vec<Problem>) {
    let targets = || container.files.keys().chain(container.volumes.keys());
    for file in container.files.keys() {
        let below = targets().find(|other| *other != file && Path::new(other).starts_with(file));
        let other = match below {
            Some(below) => below,
            None if container.volumes.contains_key(file) => file,
            None => continue,
        };
        let problem = Problem::new(
            "score/target",
            at(&["files", file]),
            format!("there is a file at `{file}`, so nothing else can be at `{other}`"),
        );
        problems.push(problem.remedy("give one of them another target"));
    }
}

/// What is allowed, and probably not meant: for the plan to show.
pub fn advice(workload: &Workload) -> Vec<Problem> {
    let ports = workload
        .service
        .iter()
        .flat_map(|service| service.ports.values());
    let targets: Vec<u16> = ports
        .map(|port| port.target_port.unwrap_or(port.port))
        .collect();
    let mut problems = Vec::new();
    for (name, container) in &workload.containers {
        compute(name, container, &mut problems);
        let probes = [
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
        ];
        for (field, probe) in probes {
            let http = probe
                .iter()
                .filter(|probe| probe.exec.is_none())
                .find_map(|probe| probe.http_get.as_ref());
            if let Some(http) = http.filter(|http| !targets.contains(&http.port)) {
                problems.push(
                    Problem::new(
                        "score/probe-port",
                        join_path(["containers", name, field, "httpGet", "port"]),
                        format!("the service has no port with the target {}", http.port),
                    )
                    .remedy("declare the port in `service.ports`, so that engines can map it"),
                );
            }
        }
    }
    problems
}

/// No more can be kept for a container than it may have.
fn compute(name: &str, container: &Container, problems: &mut Vec<Problem>) {
    let Some(Compute {
        limits: Some(limits),
        requests: Some(requests),
    }) = &container.resources
    else {
        return;
    };
    let cpu = |text: &Option<String>| text.as_deref().and_then(quantity::cpu_millis);
    let memory = |text: &Option<String>| text.as_deref().and_then(quantity::memory_bytes);
    let pairs = [
        ("cpu", cpu(&requests.cpu), cpu(&limits.cpu)),
        ("memory", memory(&requests.memory), memory(&limits.memory)),
    ];
    for (what, request, limit) in pairs {
        if request
            .zip(limit)
            .is_some_and(|(request, limit)| request > limit)
        {
            problems.push(
                Problem::new(
                    "score/request",
                    join_path(["containers", name, "resources", "requests", what]),
                    format!("the request of {what} is above its limit, and counts as the limit"),
                )
                .remedy("raise the limit, or lower the request"),
            );
        }
    }
}

/// The resource behind a volume, and which output of it is the directory. `${resources.data}` and a
/// plain `data` mean its output `source`.
pub(super) fn volume_reference(
    workload: &Workload,
    volume: &Volume,
) -> Result<(String, Vec<String>), (String, &'static str)> {
    const REMEDY: &str = "declare a resource of type `volume`, and write `${resources.NAME}`";
    let source = &volume.source;
    let template = Template::parse(source).map_err(|error| (error.reason.to_owned(), REMEDY))?;
    let (name, output) = match template.parts() {
        [Part::Text(name)] => (name.as_str(), &[][..]),
        [Part::Reference(reference)] => match reference.path.as_slice() {
            [resources, name, output @ ..] if resources == "resources" => (name.as_str(), output),
            _ => return Err((format!("`{source}` is not a volume"), REMEDY)),
        },
        _ => return Err((format!("`{source}` is not a volume"), REMEDY)),
    };
    if !workload.resources.contains_key(name) {
        return Err((format!("there is no resource `{name}`"), REMEDY));
    }
    let output = if output.is_empty() {
        vec!["source".to_owned()]
    } else {
        output.to_vec()
    };
    Ok((name.to_owned(), output))
}

/// The path below a volume: relative, and not out of it.
pub(super) fn sub_path(volume: &Volume) -> Result<std::path::PathBuf, (String, &'static str)> {
    use std::path::{Component, Path};
    let path = volume.path.as_deref().unwrap_or_default();
    // Score's own samples write `/sub/path`: it means the volume's root.
    Path::new(path.trim_start_matches('/'))
        .components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err((
                format!("`{path}` leads out of the volume"),
                "write a path below the volume, without `..`",
            )),
        })
        .collect()
}
