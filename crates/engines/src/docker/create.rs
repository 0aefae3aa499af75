//! What a container is made of.

use std::path::{Component, Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount, MountType,
    NetworkingConfig,
};
use delivery::engine::{Container, EngineError, File, Release};

use super::listens::told;
use crate::process::mounts::open_below;

/// How a container is attached.
pub(super) enum Attach {
    /// To the network of this name, under the workload's name where it is the one that serves.
    Network { name: String, alias: Option<String> },
    /// To what the container of this name is attached to.
    Beside(String),
}

/// The daemon's description of `container`.
pub(super) fn body(
    release: &Release,
    container: &Container,
    labels: std::collections::HashMap<String, String>,
    attach: Attach,
    work_dir: &str,
) -> Result<ContainerCreateBody, EngineError> {
    let words = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
    let (mode, networking) = match attach {
        Attach::Beside(main) => (format!("container:{main}"), None),
        Attach::Network { name, alias } => {
            let endpoint = EndpointSettings {
                aliases: alias.map(|alias| vec![alias]),
                ..EndpointSettings::default()
            };
            let config = NetworkingConfig {
                endpoints_config: Some([(name.clone(), endpoint)].into()),
            };
            (name, Some(config))
        }
    };
    let memory = container.memory_limit_bytes.map(|bytes| bytes as i64);
    let log = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let host = HostConfig {
        network_mode: Some(mode),
        mounts: Some(mounts(container, work_dir)?),
        memory,
        // As much as memory: no swap beyond it.
        memory_swap: memory,
        memory_reservation: (container.memory_request_bytes)
            .filter(|request| {
                container
                    .memory_limit_bytes
                    .is_none_or(|limit| *request <= limit)
            })
            .map(|bytes| bytes as i64),
        nano_cpus: container
            .cpu_limit_millis
            .map(|millis| millis as i64 * 1_000_000),
        cpu_shares: container
            .cpu_request_millis
            .map(|millis| (millis as i64 * 1024 / 1000).max(2)),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some([log("max-size", "10m"), log("max-file", "3")].into()),
        }),
        ..HostConfig::default()
    };
    Ok(ContainerCreateBody {
        image: Some(container.image.clone()),
        entrypoint: words(&container.command),
        cmd: words(&container.args),
        env: Some(variables(release, container)?),
        labels: Some(labels),
        host_config: Some(host),
        networking_config: networking,
        ..ContainerCreateBody::default()
    })
}

fn variables(release: &Release, container: &Container) -> Result<Vec<String>, EngineError> {
    // In a network of its own the program listens where the workload says.
    let mut all = told(&release.ports).variables();
    for (name, value) in &container.variables {
        let value = value.expose_str().ok_or_else(|| {
            refused(
                format!("variable {name}"),
                "its value is not UTF-8, which Docker cannot pass on",
            )
        })?;
        all.insert(name.clone(), value.to_owned());
    }
    Ok(all
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

fn mounts(container: &Container, work_dir: &str) -> Result<Vec<Mount>, EngineError> {
    let mount = |volume: &delivery::engine::Mount| {
        let target = Path::new(work_dir)
            .join(&volume.target)
            .display()
            .to_string();
        open_below(&volume.source, &volume.path)
            .map_err(|error| refused(format!("volume {target}"), error))?;
        Ok(Mount {
            target: Some(target),
            source: Some(volume.source.join(&volume.path).display().to_string()),
            typ: Some(MountType::BIND),
            read_only: Some(volume.read_only),
            ..Mount::default()
        })
    };
    container.volumes.iter().map(mount).collect()
}

fn refused(what: impl std::fmt::Display, why: impl std::fmt::Display) -> EngineError {
    EngineError {
        message: format!("cannot put {what} in place: {why}"),
        remedy: None,
        retry: false,
    }
}

/// The container's files as a tar archive to unpack at its root.
pub(super) fn archive(files: &[File], work_dir: &str) -> Result<Vec<u8>, EngineError> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let wrong = |error: std::io::Error| refused(file.target.display(), error);
        let target: PathBuf = (Path::new(work_dir).join(&file.target).components())
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        let content = file.content.expose();
        let mut header = tar::Header::new_gnu();
        header.set_mode(file.mode);
        header.set_size(content.len() as u64);
        archive
            .append_data(&mut header, target, content)
            .map_err(wrong)?;
    }
    archive
        .into_inner()
        .map_err(|error| refused("the files", error))
}
