//! From a workload to a release: every placeholder resolved.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use base64::Engine as _;
use kernel::{Problem, Secret};
use serde_json::Value;

use super::{
    Container, File, Probe, Protocol, Volume, Workload, digest,
    placeholder::{ExpandError, Reference, Resolved, expand, join_path},
    quantity,
    volumes::{sub_path, volume_reference},
};
use crate::{
    engine::{self, ReleaseRef},
    provisioner::Output,
};

/// The annotation by which a workload says that its programs listen on the declared ports, whatever
/// `PORT` tells them.
pub const FIXED_PORT: &str = "towpath.dev/fixed-port";

/// Finds an output of a resource of the workload: the resource's name in the Score file, and the
/// path of the output.
pub type Lookup<'l> = dyn Fn(&str, &[&str]) -> Option<Output> + 'l;

/// The output at `path` of a resource with these outputs: the first name is the output's, further
/// names lead into its value.
pub fn output_at(outputs: &BTreeMap<String, Output>, path: &[&str]) -> Option<Output> {
    let (first, rest) = path.split_first()?;
    match outputs.get(*first)? {
        Output::Secret(secret) => rest.is_empty().then(|| Output::Secret(secret.clone())),
        Output::Plain(value) => {
            let value = rest.iter().try_fold(value, |value, name| match value {
                Value::Array(items) => items.get(name.parse::<usize>().ok()?),
                other => other.get(name),
            })?;
            Some(Output::Plain(value.clone()))
        }
    }
}

/// Resolves `workload` for an engine. Every problem is reported, not only the first; none of them
/// shows what a placeholder resolved to. The digest is keyed with `digest_key`, so that it tells
/// nothing of the secrets in it; it covers everything but `id` and `team`.
pub fn release(
    workload: &Workload,
    (id, team): (ReleaseRef, String),
    reaches: Vec<SocketAddr>,
    lookup: &Lookup<'_>,
    digest_key: &Secret,
) -> Result<engine::Release, Vec<Problem>> {
    let metadata = serde_json::to_value(&workload.metadata).unwrap_or_default();
    let mut resolver = Resolver {
        workload,
        metadata,
        lookup,
        problems: Vec::new(),
    };
    let containers = workload
        .containers
        .iter()
        .map(|(name, container)| (name.clone(), resolver.container(name, container)))
        .collect();
    if !resolver.problems.is_empty() {
        return Err(resolver.problems);
    }
    let ports = workload.service.iter().flat_map(|service| &service.ports);
    let ports = ports.map(|(name, port)| {
        let resolved = engine::Port {
            port: port.port,
            target: port.target_port.unwrap_or(port.port),
            udp: port.protocol == Some(Protocol::Udp),
        };
        (name.clone(), resolved)
    });
    let annotations = &workload.metadata.annotations;
    let mut release = engine::Release {
        id,
        team,
        digest: String::new(),
        containers,
        ports: ports.collect(),
        fixed_ports: annotations
            .get(FIXED_PORT)
            .is_some_and(|value| value == "true"),
        reaches,
    };
    release.digest = digest::of(&release, digest_key);
    Ok(release)
}

/// What `${metadata...}` stands for: the value at `path` in the workload's metadata.
pub fn metadata_at(workload: &Workload, path: &[&str]) -> Option<Value> {
    let metadata = serde_json::to_value(&workload.metadata).ok()?;
    path.iter()
        .try_fold(&metadata, |value, name| value.get(name))
        .cloned()
}

struct Resolver<'r> {
    workload: &'r Workload,
    metadata: Value,
    lookup: &'r Lookup<'r>,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    fn container(&mut self, name: &str, container: &Container) -> engine::Container {
        let mut variables = BTreeMap::new();
        for (variable, text) in &container.variables {
            let path = ["containers", name, "variables", variable];
            if let Some(value) = self.text(&path, text) {
                if value.contains('\0') {
                    self.wrong(
                        "score/variable",
                        &path,
                        "has a NUL character once resolved, which no program can be given",
                        "refer to another output",
                    );
                }
                variables.insert(variable.clone(), Secret::from(value));
            }
        }
        let files = container.files.iter();
        let files = files.filter_map(|(target, file)| self.file(name, target, file));
        let files = files.collect();
        let volumes = container.volumes.iter();
        let volumes = volumes.filter_map(|(target, volume)| self.volume(name, target, volume));
        let volumes = volumes.collect();
        let compute = container.resources.clone().unwrap_or_default();
        let (requests, limits) = compute.amounts();
        engine::Container {
            image: container.image.clone(),
            command: container.command.clone(),
            args: container.args.clone(),
            variables,
            files,
            volumes,
            cpu_limit_millis: limits.cpu_millis,
            memory_limit_bytes: limits.memory_bytes,
            cpu_request_millis: requests.cpu_millis,
            memory_request_bytes: requests.memory_bytes,
            liveness: container.liveness_probe.as_ref().and_then(probe),
            readiness: container.readiness_probe.as_ref().and_then(probe),
            before: container
                .before
                .iter()
                .map(|(other, before)| (other.clone(), before.ready))
                .collect(),
        }
    }

    fn file(&mut self, container: &str, target: &str, file: &File) -> Option<engine::File> {
        let path = |field| ["containers", container, "files", target, field];
        let content = match (&file.content, &file.binary_content) {
            (Some(text), None) if file.no_expand => text.as_bytes().to_vec(),
            (Some(text), None) => self.text(&path("content"), text)?.into_bytes(),
            (None, Some(encoded)) => {
                let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
                if decoded.is_err() {
                    let remedy = "encode the bytes as standard base64";
                    self.wrong(
                        "score/pattern",
                        &path("binaryContent"),
                        "is not base64",
                        remedy,
                    );
                }
                decoded.ok()?
            }
            _ => {
                self.wrong(
                    "score/source",
                    &path("source"),
                    "has not been replaced by the file's content",
                    "deploy with `towpath`, which sends the file along",
                );
                return None;
            }
        };
        let mode = match file.mode.as_deref().map(quantity::file_mode) {
            None => 0o644,
            Some(Some(mode)) => mode,
            Some(None) => {
                let remedy = "write three octal digits, in quotes: \"0644\"";
                self.wrong("score/pattern", &path("mode"), "is not a file mode", remedy);
                return None;
            }
        };
        Some(engine::File {
            target: PathBuf::from(target),
            mode,
            content: Secret::new(content),
        })
    }

    fn volume(&mut self, container: &str, target: &str, volume: &Volume) -> Option<engine::Mount> {
        let path = |field| ["containers", container, "volumes", target, field];
        let (name, output) = match volume_reference(self.workload, volume) {
            Ok(reference) => reference,
            Err((message, remedy)) => {
                self.wrong("score/volume", &path("source"), &message, &remedy);
                return None;
            }
        };
        let names: Vec<&str> = output.iter().map(String::as_str).collect();
        let directory = match (self.lookup)(&name, &names) {
            Some(Output::Plain(Value::String(directory))) => PathBuf::from(directory),
            _ => PathBuf::new(),
        };
        if !directory.is_absolute() {
            self.wrong(
                "score/volume",
                &path("source"),
                &format!(
                    "resource `{name}` gives no directory in its output `{}`",
                    output.join(".")
                ),
                "use a resource of type `volume`, or a definition whose output `source` is the \
                 absolute path of a directory",
            );
            return None;
        }
        match sub_path(volume) {
            Ok(below) => Some(engine::Mount {
                source: directory,
                path: below,
                target: PathBuf::from(target),
                read_only: volume.read_only,
            }),
            Err((message, remedy)) => {
                self.wrong("score/volume", &path("path"), &message, &remedy);
                None
            }
        }
    }

    /// The text with its placeholders resolved; notes what is wrong.
    fn text(&mut self, path: &[&str], text: &str) -> Option<String> {
        let expanded = expand(text, &mut |reference| self.resolve(reference));
        match expanded {
            Ok(resolved) => Some(resolved.into_text()),
            Err(ExpandError::Lookup { reference, error }) => {
                let message = format!("`{reference}`: {error}");
                let remedy = "refer to an output that the resource has";
                self.wrong("score/placeholder", path, &message, remedy);
                None
            }
            Err(other) => {
                let remedy = "shorten it, or write `$${` for a `${` that is no placeholder";
                self.wrong("score/placeholder", path, &other.to_string(), remedy);
                None
            }
        }
    }

    fn resolve(&self, reference: &Reference) -> Result<Resolved, String> {
        match reference.names().as_slice() {
            ["metadata", path @ ..] => path
                .iter()
                .try_fold(&self.metadata, |value, name| value.get(name))
                .map(|value| Resolved::plain(value.clone()))
                .ok_or_else(|| "there is no such metadata".to_owned()),
            ["resources", name, output @ ..] => match (self.lookup)(name, output) {
                Some(Output::Plain(value)) => Ok(Resolved::plain(value)),
                Some(Output::Secret(secret)) => secret
                    .expose_str()
                    .map(Resolved::secret)
                    .ok_or_else(|| "the output is not text".to_owned()),
                None => Err(format!(
                    "resource `{name}` has no output `{}`",
                    output.join(".")
                )),
            },
            _ => Err("only `metadata` and `resources` are known here".to_owned()),
        }
    }

    fn wrong(&mut self, rule: &str, path: &[&str], message: &str, remedy: &str) {
        let path = join_path(path.iter().copied());
        self.problems
            .push(Problem::new(rule, path, message).remedy(remedy));
    }
}

/// Where both are given, the command: it can be run on any engine, and sees the program from inside.
fn probe(probe: &Probe) -> Option<engine::Probe> {
    if let Some(exec) = &probe.exec {
        return Some(engine::Probe::Exec {
            command: exec.command.clone(),
        });
    }
    let http = probe.http_get.as_ref()?;
    let headers = http.http_headers.iter();
    Some(engine::Probe::Http(engine::HttpProbe {
        host: http.host.clone(),
        https: http.scheme.as_deref() == Some("HTTPS"),
        path: http.path.clone(),
        port: http.port,
        headers: headers.map(|h| (h.name.clone(), h.value.clone())).collect(),
    }))
}
