//! What a workload that keeps the schema needs beyond it before it can be deployed here.

use std::path::Path;

use kernel::Problem;
use serde_json::Value;

use super::{
    Compute, Container, Probe, Workload,
    check::shortened,
    placeholder::{Template, join_path},
    quantity,
    release::FIXED_PORT,
    suggest,
    volumes::{sub_path, volume_reference},
};

/// What must be mended before `workload` can be deployed. Files must be inlined already
/// ([`super::inline_sources`]).
pub fn deployable(workload: &Workload) -> Vec<Problem> {
    let mut problems = Vec::new();
    annotations(workload, &mut problems);
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
            let problem = |field, (message, remedy): (String, String)| {
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

/// What annotations of ours begin with: one that is not known says nothing to anybody.
const OURS: &str = "towpath.dev/";

/// Annotations of ours that are misspelt, or say what they cannot.
fn annotations(workload: &Workload, problems: &mut Vec<Problem>) {
    let ours = workload.metadata.annotations.iter();
    for (name, value) in ours.filter(|(name, _)| name.starts_with(OURS)) {
        let (message, remedy) = if name != FIXED_PORT {
            let meant = match suggest::nearest(name, [FIXED_PORT]) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; of those that begin so there is `{FIXED_PORT}`"),
            };
            (format!("there is no annotation `{name}`"), meant)
        } else if matches!(value.as_str(), "true" | "false") {
            continue;
        } else {
            let value = shortened(value);
            (
                format!("this must be `true` or `false`, and is `{value}`"),
                "write \"true\" where the program listens on its declared port whatever `PORT` tells it"
                    .to_owned(),
            )
        };
        let path = join_path(["metadata", "annotations", name]);
        problems.push(Problem::new("score/annotation", path, message).remedy(remedy));
    }
    for (resource, asked) in &workload.resources {
        let theirs = asked.metadata.get("annotations").and_then(Value::as_object);
        let ours = theirs.into_iter().flat_map(|all| all.keys());
        for name in ours.filter(|name| name.starts_with(OURS)) {
            let path = join_path(["resources", resource, "metadata", "annotations", name]);
            let message = format!("there is no annotation `{name}` of a resource");
            let remedy = match suggest::nearest(name, [FIXED_PORT]) {
                Some(near) => format!(
                    "`{near}` is one of the workload: write it into its `metadata.annotations`"
                ),
                None => format!(
                    "remove it, or give it another beginning; of those of workloads that begin so there is \
                     `{FIXED_PORT}`"
                ),
            };
            problems.push(Problem::new("score/annotation", path, message).remedy(remedy));
        }
    }
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
        verbatim(name, container, &mut problems);
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

/// The specification has no placeholders in images, commands and arguments: they go to the program as they stand.
fn verbatim(name: &str, container: &Container, problems: &mut Vec<Problem>) {
    let lists = [("command", &container.command), ("args", &container.args)];
    let items = lists.into_iter().flat_map(|(field, texts)| {
        let texts = texts.iter().enumerate();
        texts.map(move |(index, text)| (join_path([field, &index.to_string()]), text))
    });
    for (field, text) in std::iter::once(("image".to_owned(), &container.image)).chain(items) {
        // What a shell makes of another `${` is its own affair.
        let template = Template::parse(text).unwrap_or_default();
        let is_ours = |first: &String| matches!(first.as_str(), "resources" | "metadata");
        let ours = template.references().find(|reference| {
            reference.path.len() > 1 && reference.path.first().is_some_and(is_ours)
        });
        if let Some(reference) = ours {
            let path = format!("{}.{field}", join_path(["containers", name]));
            let message =
                format!("`{reference}` stays as it stands: there are no placeholders here");
            let remedy = if field == "image" {
                "write the image itself, or give it with the deployment: `--image IMAGE`"
            } else {
                "put it into a variable of the container, which a shell here reads as `$NAME`"
            };
            let problem = Problem::new("score/placeholder-unused", path, message);
            problems.push(problem.remedy(remedy));
        }
    }
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
