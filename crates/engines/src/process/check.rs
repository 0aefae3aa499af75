//! What of a workload cannot be honoured by processes on this machine.

use std::path::Path;

use delivery::{engine::Objection, score};
use kernel::Problem;
use rustix::fs::Access;

use super::{Machine, cgroup::Limits};
use crate::{targets, told};

/// Every objection to `workload`, refusals and warnings.
pub(super) fn check(machine: &Machine, workload: &score::Workload) -> Vec<Objection> {
    let mut objections = Vec::new();
    if machine.unshare.is_none() {
        objections.push(unwalled());
    }
    for (name, container) in &workload.containers {
        let path = format!("containers.{name}");
        program(&path, container, &mut objections);
        probes(&path, container, &mut objections);
        if machine.unshare.is_none() {
            without_mounts(&path, container, &mut objections);
        }
        objections.extend(targets::check(&path, container));
        if machine.limits == Limits::AddressSpace {
            without_groups(&path, container, &mut objections);
        }
    }
    target_ports(workload, &mut objections);
    objections
}

/// A program listens where it is told to, and not on the declared `targetPort`: who wrote that for containers
/// need not know, be the `port` that others call the same or not. Whoever speaks of `PORT`, or gives the annotation,
/// knows.
fn target_ports(workload: &score::Workload, objections: &mut Vec<Objection>) {
    let annotations = &workload.metadata.annotations;
    if annotations.contains_key(score::FIXED_PORT) || reads_port(workload) {
        return;
    }
    let Some(service) = &workload.service else {
        return;
    };
    for (name, port) in &service.ports {
        let Some(target) = port.target_port else {
            continue;
        };
        let mut variable = told::variable(name);
        if service.main_port() == Some(name.as_str()) || service.ports.len() == 1 {
            variable = format!("PORT (or {variable})");
        }
        let message = format!(
            "the variable {variable} tells the program which port to listen on, and that is not the \
             targetPort {target}"
        );
        let problem = Problem::new(
            "engine/target-port",
            format!("service.ports.{name}.targetPort"),
            message,
        )
        .remedy(format!(
            "if it listens on {target} whatever it is told, say so by the annotation {}: \"true\"; if it \
             listens where it is told to, by \"false\", or leave targetPort out",
            score::FIXED_PORT
        ));
        objections.push(Objection::Warn(problem));
    }
}

/// Whether the workload itself refers to the variables that tell ports. One of its own that is called so does not:
/// it is given in place of the engine's.
fn reads_port(workload: &score::Workload) -> bool {
    let is_port = |word: &str| word == "PORT" || word.starts_with("PORT_");
    let speaks = |text: &String| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(is_port)
    };
    workload.containers.values().any(|container| {
        let files = container.files.values();
        let files = files.filter_map(|file| file.content.as_ref());
        let program = container.command.iter().chain(&container.args);
        program
            .chain(container.variables.values())
            .chain(files)
            .any(speaks)
    })
}

/// What is the platform's cannot be hidden from the programs.
fn unwalled() -> Objection {
    let problem = Problem::new(
        "engine/walls",
        "containers",
        "this user may not mount on this machine: the workload can read the platform's own files, its \
         administrator's token too",
    )
    .remedy(
        "deploy only what you trust with the platform, or allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0), \
         or use the docker engine",
    );
    Objection::Warn(problem)
}

/// There must be a program to run.
fn program(path: &str, container: &score::Container, objections: &mut Vec<Objection>) {
    let image = &container.image;
    let refuse = |message: String| {
        let field = if container.command.is_empty() {
            "image"
        } else {
            "command.0"
        };
        Objection::Refuse(
            Problem::new("engine/program", format!("{path}.{field}"), message).remedy(
                "give the path of a program on this machine (--image PATH), or a command, or deploy \
                 with the docker engine",
            ),
        )
    };
    match container.command.first() {
        None if image.starts_with('/') => {
            let program = Path::new(image);
            if program.is_file() && !executable(program) {
                objections.push(Objection::Refuse(unmarked(path, "image", image)));
            } else if !executable(program) {
                objections.push(refuse(format!(
                    "{image} is not an executable file of this machine"
                )));
            }
        }
        // That it is still to be given is said of it on every engine.
        None if image == "." => {}
        None => objections.push(refuse(format!(
            "{image} is an image, and the process engine runs programs of this machine"
        ))),
        Some(command) => {
            let is_relative = command.contains('/') && !command.starts_with('/');
            if is_relative && !container.brings(command) {
                // Whatever lies beside the platform, or the Score file: it starts elsewhere.
                objections.push(Objection::Refuse(absent(path, command)));
            } else if command.starts_with('/') && Path::new(command).is_file() && !found(command) {
                objections.push(Objection::Refuse(unmarked(path, "command.0", command)));
            } else if !is_relative && !found(command) {
                let message = format!("there is no program {command} on this machine");
                objections.push(refuse(message));
            } else if !image.starts_with('/') && image != "." {
                let message =
                    format!("the image {image} is not used: {command} runs from this machine");
                let problem = Problem::new("engine/image-unused", format!("{path}.image"), message);
                objections.push(Objection::Warn(problem));
            }
        }
    }
}

/// What a probe runs must be there, too. A path is left to the workload: it may lead to what that makes.
fn probes(path: &str, container: &score::Container, objections: &mut Vec<Objection>) {
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
    ];
    for (field, probe) in probes {
        let exec = probe.as_ref().and_then(|probe| probe.exec.as_ref());
        let Some(command) = exec.and_then(|exec| exec.command.first()) else {
            continue;
        };
        // It is looked for where the container says, which only the workload knows.
        let own_places = container.variables.contains_key("PATH");
        if command.contains('/') || own_places || found(command) {
            continue;
        }
        let problem = Problem::new(
            "engine/program",
            format!("{path}.{field}.exec.command.0"),
            format!("there is no program {command} on this machine"),
        )
        .remedy("correct its name, or give the path of a program on this machine");
        objections.push(Objection::Refuse(problem));
    }
}

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

/// That the file `program` is there, and may not be run.
fn unmarked(path: &str, field: &str, program: &str) -> Problem {
    Problem::new(
        "engine/program",
        format!("{path}.{field}"),
        format!("the file {program} is not executable by the platform's user"),
    )
    .remedy(format!("run `chmod +x {program}`"))
}

/// That a command names what the working directory will not have.
fn absent(path: &str, command: &str) -> Problem {
    Problem::new(
        "engine/program",
        format!("{path}.command.0"),
        format!(
            "{command} counts from the working directory of the container, and is none of its files and volumes"
        ),
    )
    .remedy(
        "put it there by `files`, or give its whole path; what lies beside the Score file is named as \
         `image: ./PROGRAM`, or by a `command` whose `image` is a path of this machine: that counts from \
         the Score file as well",
    )
}

/// Whether `command` will be found: as a whole path, or where `PATH` says.
fn found(command: &str) -> bool {
    if command.starts_with('/') {
        return executable(Path::new(command));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| executable(&directory.join(command)))
}

/// Where a process cannot have mounts of its own.
fn without_mounts(path: &str, container: &score::Container, objections: &mut Vec<Objection>) {
    let mut refuse = |field: &str, target: &str, is: &str, instead: &str| {
        let message = format!("{target} {is}, and this user may not mount on this machine");
        let problem = Problem::new("engine/mounts", format!("{path}.{field}.{target}"), message)
            .remedy(format!(
                "{instead}, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or use the \
                 docker engine"
            ));
        objections.push(Objection::Refuse(problem));
    };
    let relative = "use a path relative to the working directory";
    // Whatever way it is written: `./data` is `data`.
    let place = |target: &str| Path::new("/").join(target);
    let volumes: Vec<_> = container.volumes.keys().map(|it| place(it)).collect();
    for target in container.files.keys() {
        if target.starts_with('/') {
            refuse("files", target, "is an absolute path", relative);
        } else if volumes.iter().any(|it| place(target).starts_with(it)) {
            let instead = "put it beside the volume";
            refuse("files", target, "is in a volume", instead);
        }
    }
    for (target, volume) in &container.volumes {
        if target.starts_with('/') {
            refuse("volumes", target, "is an absolute path", relative);
        } else if volume.read_only {
            refuse(
                "volumes",
                target,
                "is to be read-only",
                "leave out readOnly",
            );
        }
    }
}

/// Where there are no control groups.
fn without_groups(path: &str, container: &score::Container, objections: &mut Vec<Objection>) {
    let limits = (container.resources.as_ref()).and_then(|resources| resources.limits.as_ref());
    let remedy = "run the platform as root, or with a delegated control group (systemd-run --user \
                  --scope -p Delegate=yes), or use the docker engine";
    let mut warn = |what: &str, message: &str| {
        let path = format!("{path}.resources.{what}");
        let problem = Problem::new("engine/limits", path, message).remedy(remedy);
        objections.push(Objection::Warn(problem));
    };
    if limits.is_some_and(|limits| limits.cpu.is_some()) {
        warn(
            "limits.cpu",
            "CPU is not limited: this user may not make control groups",
        );
    }
    if limits.is_some_and(|limits| limits.memory.is_some()) {
        warn(
            "limits.memory",
            "memory is limited by each process's address space only",
        );
    }
    let requests = (container.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    let asks = |asked: fn(&score::Quantities) -> bool| requests.is_some_and(asked);
    if asks(|requests| requests.cpu.is_some()) {
        warn(
            "requests.cpu",
            "CPU is not kept for it: this user may not make control groups",
        );
    }
    if asks(|requests| requests.memory.is_some()) {
        warn(
            "requests.memory",
            "memory is not kept for it: this user may not make control groups",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_mounts_a_file_in_a_volume_is_refused_and_one_beside_it_is_not() {
        let text = json!({ "content": "" });
        let container = json!({
            "image": ".",
            "files": { "data/conf": text, "data/deep/conf": text, "database/conf": text, "conf": text },
            "volumes": { "./data": { "source": "kept" } },
        });
        let container = serde_json::from_value(container).unwrap();
        let mut objections = Vec::new();
        without_mounts("containers.main", &container, &mut objections);
        let refused: Vec<_> = (objections.iter())
            .map(|objection| match objection {
                Objection::Refuse(problem) | Objection::Warn(problem) => problem.path.as_str(),
            })
            .collect();
        assert_eq!(
            refused,
            [
                "containers.main.files.data/conf",
                "containers.main.files.data/deep/conf"
            ]
        );
    }
}
