//! Servers that Towpath runs in containers, where there are no binaries but a Docker engine.
//!
//! Docker looks after them: they are started again when they die or the machine restarts.

use std::collections::HashMap;

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerCreateBody, HostConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum},
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, StartContainerOptions,
        StopContainerOptions,
    },
};
use delivery::provisioner::ProvisionError;
use futures::TryStreamExt as _;

/// How long a server may take to end its work before Docker kills it, in seconds. A RabbitMQ that has
/// nothing to do takes seven; Docker's own limit is ten.
const STOP_LIMIT: i64 = 60;

/// How a server runs in a container.
pub(crate) struct Container {
    /// The container's and its volume's name.
    pub(crate) name: String,
    pub(crate) image: &'static str,
    pub(crate) env: Vec<String>,
    /// The command; none for the image's own.
    pub(crate) command: Option<Vec<String>>,
    /// Where the server keeps its data.
    pub(crate) data: &'static str,
    /// The container's ports, each with the port of this machine's loopback.
    pub(crate) ports: Vec<(u16, u16)>,
}

impl Container {
    /// Starts it, made from its image where it is not there yet. It need not be ready afterwards.
    pub(crate) async fn ensure(self) -> Result<(), ProvisionError> {
        let docker = connect()?;
        match docker.inspect_container(&self.name, None).await {
            Ok(_) => {}
            Err(error) if is(&error, 404) => self.create(&docker).await?,
            Err(error) => return Err(explain("ask for the container", &self.name, &error)),
        }
        match docker
            .start_container(&self.name, None::<StartContainerOptions>)
            .await
        {
            Ok(()) => Ok(()),
            // It runs already.
            Err(error) if is(&error, 304) => Ok(()),
            Err(error) => Err(explain("start the container", &self.name, &error)),
        }
    }

    async fn create(&self, docker: &Docker) -> Result<(), ProvisionError> {
        pull(docker, self.image).await?;
        let bindings = self.ports.iter().map(|(inside, outside)| {
            let binding = PortBinding {
                host_ip: Some("127.0.0.1".to_owned()),
                host_port: Some(outside.to_string()),
            };
            (format!("{inside}/tcp"), Some(vec![binding]))
        });
        let body = ContainerCreateBody {
            image: Some(self.image.to_owned()),
            // RabbitMQ names its data after the host: it must not change with the container.
            hostname: Some("towpath".to_owned()),
            env: Some(self.env.clone()),
            cmd: self.command.clone(),
            exposed_ports: Some(self.ports.iter().map(|(p, _)| format!("{p}/tcp")).collect()),
            stop_timeout: Some(STOP_LIMIT),
            labels: Some(HashMap::from([(
                "towpath.dev/server".to_owned(),
                self.name.clone(),
            )])),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:{}", self.name, self.data)]),
                port_bindings: Some(bindings.collect()),
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                    maximum_retry_count: None,
                }),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new()
            .name(&self.name)
            .build();
        match docker.create_container(Some(options), body).await {
            Ok(_) => Ok(()),
            // Another process was first.
            Err(error) if is(&error, 409) => Ok(()),
            Err(error) => Err(explain("make the container", &self.name, &error)),
        }
    }
}

/// Whether the container runs.
pub(crate) async fn runs(name: &str) -> Result<bool, ProvisionError> {
    match connect()?.inspect_container(name, None).await {
        Ok(found) => Ok(found.state.and_then(|state| state.running) == Some(true)),
        Err(error) if is(&error, 404) => Ok(false),
        Err(error) => Err(explain("ask for the container", name, &error)),
    }
}

/// Ends the container; its volume stays.
pub(crate) async fn stop(name: &str) -> Result<(), ProvisionError> {
    match connect()?
        .stop_container(name, None::<StopContainerOptions>)
        .await
    {
        Ok(()) => Ok(()),
        Err(error) if is(&error, 304) || is(&error, 404) => Ok(()),
        Err(error) => Err(explain("stop the container", name, &error)),
    }
}

/// Whether a Docker engine answers.
pub(crate) async fn engine_answers() -> bool {
    match connect() {
        Ok(docker) => docker.ping().await.is_ok(),
        Err(_) => false,
    }
}

fn connect() -> Result<Docker, ProvisionError> {
    Docker::connect_with_defaults()
        .map_err(|error| explain("reach the engine at", "DOCKER_HOST", &error))
}

async fn pull(docker: &Docker, image: &str) -> Result<(), ProvisionError> {
    match docker.inspect_image(image).await {
        Ok(_) => return Ok(()),
        Err(error) if is(&error, 404) => {}
        Err(error) => return Err(explain("ask for the image", image, &error)),
    }
    tracing::info!(image, "pulling");
    let options = CreateImageOptionsBuilder::new().from_image(image).build();
    docker
        .create_image(Some(options), None, None)
        .try_for_each(|progress| async move {
            tracing::debug!(
                image,
                layer = progress.id,
                status = progress.status,
                "pulling"
            );
            Ok(())
        })
        .await
        .map_err(|error| {
            explain("pull the image", image, &error).remedy(format!(
                "let this machine reach the image's registry, or load it by hand (`docker load`), \
                 so that `docker image inspect {image}` finds it"
            ))
        })
}

fn is(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

fn explain(doing: &str, what: &str, error: &Error) -> ProvisionError {
    ProvisionError::transient(format!("Docker cannot {doing} {what}: {error}"))
}
