//! How the containers of one release are run by Docker.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    container::LogOutput,
    exec::StartExecOptions,
    models::{ContainerInspectResponse, ContainerState, ExecConfig},
    query_parameters::{
        CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
        UploadToContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use delivery::engine::{Before, EngineError, Port, Release, ReleaseRef};
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::time::sleep;

use super::{
    create::{self, Attach},
    daemon::{Daemon, address_in, failed, status},
    names::{self, Labels},
};
use crate::supervisor::{Advice, Exit, Runtime, Started, Tell};

/// The containers of one release.
pub(super) struct Containers {
    pub(super) daemon: Arc<Daemon>,
    pub(super) id: ReleaseRef,
    pub(super) names: Vec<String>,
    pub(super) ports: BTreeMap<String, Port>,
    pub(super) kill_grace: Duration,
    /// What to start; `None` where it was adopted and nobody has said yet.
    pub(super) release: Option<Release>,
}

/// A container that runs.
pub(super) struct Running {
    id: String,
    at: Timestamp,
    endpoints: Option<BTreeMap<String, SocketAddr>>,
}

impl Containers {
    pub(super) fn name(&self, container: &str) -> String {
        names::container(self.daemon.platform, &self.id, container)
    }

    /// The container that the others are attached beside, so that they talk over localhost: the
    /// first of those that stay and that wait for nothing that stays.
    pub(super) fn main(release: &Release) -> Option<&str> {
        let stays = |name: &str| {
            let before = release
                .containers
                .get(name)
                .map(|container| &container.before);
            !before.is_some_and(|before| before.values().any(|it| *it == Before::Complete))
        };
        let waits = |name: &str| {
            (release.containers.iter())
                .any(|(other, container)| stays(other) && container.before.contains_key(name))
        };
        let mut names = release.containers.keys().map(String::as_str);
        names
            .clone()
            .find(|name| stays(name) && !waits(name))
            .or_else(|| names.next())
    }

    pub(super) async fn inspect(
        &self,
        container: &str,
    ) -> Result<Option<ContainerInspectResponse>, EngineError> {
        match self
            .daemon
            .api
            .inspect_container(&self.name(container), None)
            .await
        {
            Ok(found) => Ok(Some(found)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed(
                format!("inspect container {}", self.name(container)),
                error,
            )),
        }
    }

    /// The release's address: that of any of its running containers in the network that stays. Who
    /// is attached beside another has none of its own.
    async fn host(&self) -> Result<Option<IpAddr>, EngineError> {
        let network = names::network(self.daemon.platform, &self.id.environment);
        let main = self.release.as_ref().and_then(Self::main);
        for name in main.map_or_else(|| self.names.clone(), |main| vec![main.to_owned()]) {
            let Some(found) = self.inspect(&name).await? else {
                continue;
            };
            let networks = found
                .network_settings
                .as_ref()
                .and_then(|it| it.networks.as_ref());
            if let Some(address) = address_in(networks, &network) {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    async fn running(&self, found: ContainerInspectResponse) -> Result<Running, EngineError> {
        let at = found.state.and_then(|state| state.started_at?.parse().ok());
        let endpoints = self.host().await?.map(|host| {
            (self.ports.iter())
                .map(|(name, port)| (name.clone(), SocketAddr::new(host, port.target)))
                .collect()
        });
        Ok(Running {
            id: found.id.unwrap_or_default().chars().take(12).collect(),
            at: at.unwrap_or_else(Timestamp::now),
            endpoints,
        })
    }

    async fn create(
        &self,
        release: &Release,
        container: &str,
        work_dir: &str,
    ) -> Result<(), EngineError> {
        let labels = Labels {
            release: self.id.clone(),
            container: container.into(),
            digest: release.digest.clone(),
            ports: json(&release.ports),
        };
        let main = Self::main(release);
        let completes = (release.containers[container].before.values())
            .any(|before| *before == Before::Complete);
        let attach = match main {
            // What ends takes its network along: it has one of its own.
            Some(main) if main != container && !completes => Attach::Beside(self.name(main)),
            _ => Attach::Network {
                name: self.daemon.network(&self.id.environment).await?.0,
                alias: (main == Some(container)).then(|| self.id.workload.clone()),
            },
        };
        let body = create::body(
            release,
            &release.containers[container],
            labels.write(self.daemon.platform),
            attach,
            work_dir,
        )?;
        let name = self.name(container);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        match self.daemon.api.create_container(Some(options), body).await {
            Ok(_) => Ok(()),
            // It is there already.
            Err(error) if status(&error) == Some(409) => Ok(()),
            Err(error) => Err(failed(format!("create container {name}"), error)),
        }
    }

    /// Stops every container, all at once. What is not there needs no stopping.
    pub(super) async fn stop(&self, grace: Duration) -> Result<(), EngineError> {
        let stop = |name: String| async move {
            let options = StopContainerOptionsBuilder::default()
                .t(grace.as_secs() as i32)
                .build();
            match self.daemon.api.stop_container(&name, Some(options)).await {
                Ok(()) => Ok(()),
                // Stopped already, or gone.
                Err(error) if matches!(status(&error), Some(304 | 404)) => Ok(()),
                Err(error) => Err(failed(format!("stop container {name}"), error)),
            }
        };
        let names = self
            .names
            .iter()
            .map(|container| stop(self.name(container)));
        futures::future::try_join_all(names).await?;
        Ok(())
    }

    /// Removes every container. What is not there needs no removal.
    pub(super) async fn remove(&self) -> Result<(), EngineError> {
        for container in &self.names {
            let name = self.name(container);
            let options = RemoveContainerOptionsBuilder::default()
                .force(true)
                .v(true)
                .build();
            match self.daemon.api.remove_container(&name, Some(options)).await {
                Ok(()) => {}
                // 409: its removal has begun already.
                Err(error) if matches!(status(&error), Some(404 | 409)) => {}
                Err(error) => return Err(failed(format!("remove container {name}"), error)),
            }
        }
        Ok(())
    }

    /// Runs `command` in the container and gives its exit code.
    async fn run(
        &self,
        container: &str,
        command: &[String],
    ) -> Result<i64, bollard::errors::Error> {
        let api = &self.daemon.api;
        let config = ExecConfig {
            cmd: Some(command.to_vec()),
            ..ExecConfig::default()
        };
        let exec = api.create_exec(&self.name(container), config).await?;
        let detached = StartExecOptions {
            detach: true,
            ..StartExecOptions::default()
        };
        api.start_exec(&exec.id, Some(detached)).await?;
        loop {
            let seen = api.inspect_exec(&exec.id).await?;
            if let (Some(false), Some(code)) = (seen.running, seen.exit_code) {
                return Ok(code);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How a container that no longer runs has ended.
fn exit(state: &ContainerState) -> Exit {
    if state.oom_killed == Some(true) {
        return Exit::OutOfMemory;
    }
    match state.exit_code {
        Some(code) => Exit::Code(code as i32),
        None => Exit::Unseen,
    }
}

/// JSON of plain data.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("maps and lists of plain data are JSON")
}

#[async_trait]
impl Runtime for Containers {
    type Instance = Running;

    async fn find(&self, container: &str) -> Result<Option<Running>, EngineError> {
        match self.inspect(container).await? {
            Some(found) if found.state.as_ref().and_then(|state| state.running) == Some(true) => {
                Ok(Some(self.running(found).await?))
            }
            _ => Ok(None),
        }
    }

    async fn start(&self, container: &str, tell: Tell<'_>) -> Result<Running, EngineError> {
        let name = self.name(container);
        let described = self
            .release
            .as_ref()
            .and_then(|release| Some((release, release.containers.get(container)?)));
        let (release, described) = described.ok_or_else(|| EngineError {
            message: format!("container {name} was adopted, and what to start is not known"),
            remedy: None,
            retry: true,
        })?;
        let work_dir = self.daemon.image(&described.image, tell).await?;
        self.create(release, container, &work_dir).await?;
        if !described.files.is_empty() {
            let archive = Bytes::from(create::archive(&described.files, &work_dir)?);
            let options = UploadToContainerOptionsBuilder::default().path("/").build();
            let body = bollard::body_full(archive);
            let sent = self
                .daemon
                .api
                .upload_to_container(&name, Some(options), body)
                .await;
            sent.map_err(|error| failed(format!("put files into container {name}"), error))?;
        }
        match self.daemon.api.start_container(&name, None).await {
            Ok(()) => {}
            Err(error) => {
                // The container that it is attached beside is not made yet, or does not run yet.
                let said = error.to_string();
                let early = ["non running container", "No such container"];
                let beside = early.iter().any(|words| said.contains(words));
                let error = failed(format!("start container {name}"), error);
                return Err(EngineError {
                    retry: error.retry || beside,
                    ..error
                });
            }
        }
        let found = self.inspect(container).await?.ok_or_else(|| EngineError {
            message: format!("container {name} was removed while it started"),
            remedy: None,
            retry: true,
        })?;
        self.running(found).await
    }

    fn started(&self, running: &Running) -> Started {
        Started {
            handle: running.id.clone(),
            at: running.at,
            endpoints: running.endpoints.clone(),
        }
    }

    async fn wait(&self, container: &str, _running: &mut Running) -> Exit {
        let name = self.name(container);
        loop {
            let options = WaitContainerOptionsBuilder::default()
                .condition("not-running")
                .build();
            let mut end = Box::pin(self.daemon.api.wait_container(&name, Some(options)));
            let waited = end.next().await;
            match self.inspect(container).await {
                Ok(None) => return Exit::Unseen,
                Ok(Some(found)) => {
                    let state = found.state.unwrap_or_default();
                    if state.running != Some(true) {
                        return exit(&state);
                    }
                }
                Err(error) => {
                    tracing::warn!(container = name, %error, "cannot ask for the container");
                }
            }
            if !matches!(waited, Some(Ok(_))) {
                // The daemon is away or has cut the wait short: not too eager.
                sleep(Duration::from_millis(500)).await;
            }
        }
    }

    async fn kill(&self, container: &str, _running: &mut Running) {
        let name = self.name(container);
        let grace = self.kill_grace.as_secs() as i32;
        let options = StopContainerOptionsBuilder::default().t(grace).build();
        while let Err(error) = self
            .daemon
            .api
            .stop_container(&name, Some(options.clone()))
            .await
        {
            if matches!(status(&error), Some(304 | 404)) {
                return;
            }
            tracing::warn!(container = name, %error, "cannot stop the container");
            sleep(Duration::from_secs(1)).await;
        }
    }

    async fn clear(&self, container: &str) {
        // Docker itself ends all that a container has started. Those that were attached beside the
        // main one have lost their network with it: their supervisors start them again.
        if self.release.as_ref().and_then(Self::main) != Some(container) {
            return;
        }
        for other in self.names.iter().filter(|other| *other != container) {
            let found = self.inspect(other).await.ok().flatten();
            let mode = found.and_then(|found| found.host_config?.network_mode);
            if mode.is_some_and(|mode| mode.starts_with("container:")) {
                let options = StopContainerOptionsBuilder::default().t(0).build();
                // Gone or stopped already: as good. Away: then it has no network to speak over.
                let _ = self
                    .daemon
                    .api
                    .stop_container(&self.name(other), Some(options))
                    .await;
            }
        }
    }

    async fn exec(&self, container: &str, _handle: &str, command: &[String]) -> Result<(), String> {
        match self.run(container, command).await {
            Ok(0) => Ok(()),
            Ok(code) => Err(format!("{} ends with exit code {code}", command.join(" "))),
            Err(error) => Err(failed("run the command", error).message),
        }
    }

    async fn address(&self, port: u16) -> Result<SocketAddr, String> {
        match self.host().await {
            Ok(Some(host)) => Ok(SocketAddr::new(host, port)),
            Ok(None) => Err("the container has no address yet".into()),
            Err(error) => Err(error.message),
        }
    }

    /// A release has a network of its own, in which nobody else is.
    async fn strangers(&self, _: &[(String, SocketAddr)]) -> Vec<(String, SocketAddr)> {
        vec![]
    }

    async fn advice(&self, missing: &[(String, SocketAddr)]) -> Advice {
        self.listens(missing).await
    }

    async fn completed(&self, _container: &str) -> Result<(), EngineError> {
        // Docker remembers how a container has ended.
        Ok(())
    }

    async fn has_completed(&self, container: &str) -> bool {
        // Where the daemon does not answer, `find` asks again.
        let found = self.inspect(container).await.ok().flatten();
        found.and_then(|found| found.state).is_some_and(|state| {
            state.running == Some(false)
                && state.exit_code == Some(0)
                && state.finished_at.is_some_and(|at| !at.starts_with("0001"))
        })
    }
}

/// Text and stream of what a container has written; `None` for what is not its output.
pub(super) fn output(output: LogOutput) -> Option<(&'static str, Bytes)> {
    match output {
        LogOutput::StdOut { message } | LogOutput::Console { message } => Some(("stdout", message)),
        LogOutput::StdErr { message } => Some(("stderr", message)),
        LogOutput::StdIn { .. } => None,
    }
}
