//! The Docker daemon, with its errors in words for people.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use bollard::{
    Docker,
    errors::Error,
    models::{ContainerSummary, Network as BridgeNetwork, NetworkCreateRequest},
    query_parameters::{
        CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    },
};
use delivery::engine::EngineError;
use futures::StreamExt as _;
use kernel::outbound::Network;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    logins::{self, Login, RegistryLogins},
    names,
};
use crate::supervisor::Tell;

/// The daemon, and the platform on whose behalf it is asked.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    pub(super) api: Docker,
    pub(super) platform: Uuid,
    pub(super) logins: RegistryLogins,
    /// Held while a network is made or removed.
    pub(super) makes_network: Arc<Mutex<()>>,
}

/// The HTTP status of the daemon's answer, if it was an answer.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// `error` in words: what the daemon refuses will be refused again, all else may pass.
pub(super) fn failed(what: impl std::fmt::Display, error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => EngineError {
            message: format!("cannot {what}: Docker says: {}", message.trim()),
            remedy: None,
            retry: !(400..409).contains(&status_code),
        },
        error => EngineError {
            message: format!("cannot {what}: Docker does not answer: {error}"),
            remedy: Some("start the Docker daemon, or let DOCKER_HOST name one that runs".into()),
            retry: true,
        },
    }
}

impl Daemon {
    /// The platform's containers, running or not; of one workload where it is given.
    pub(super) async fn containers(
        &self,
        workload: Option<(&str, &str)>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&names::filter(self.platform, workload))
            .build();
        let listed = self.api.list_containers(Some(options)).await;
        listed.map_err(|error| failed("list containers", error))
    }

    /// The network of an environment, made where it is not there, and the address of this machine
    /// in it.
    pub(super) async fn network(&self, environment: &str) -> Result<(String, IpAddr), EngineError> {
        let name = names::network(self.platform, environment);
        // Docker gives one name to several networks, and then to none of them: one is made at a time.
        let _turn = self.makes_network.lock().await;
        let mut found = self.networks(environment).await?;
        if found.is_empty() {
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".into()),
                labels: Some(names::network_labels(self.platform, environment)),
                ..NetworkCreateRequest::default()
            };
            match self.api.create_network(request).await {
                // 409: another replica has just made it.
                Ok(_) => {}
                Err(error) if status(&error) == Some(409) => {}
                Err(error) => return Err(no_network(&name, error)),
            }
            found = self.networks(environment).await?;
        }
        let mut found = found.into_iter();
        let gateway = (found.next().as_ref().and_then(gateway)).ok_or_else(|| EngineError {
            message: format!("the network {name} has no gateway address"),
            remedy: Some(format!("remove it: docker network rm {name}")),
            retry: false,
        })?;
        // Another replica has made one at the same moment: all keep the eldest.
        for other in found.filter_map(|network| network.id) {
            self.remove_network_of(&name, &other).await?;
        }
        Ok((name, gateway))
    }

    /// The networks of an environment, the eldest first.
    async fn networks(&self, environment: &str) -> Result<Vec<BridgeNetwork>, EngineError> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&names::filter(self.platform, None))
            .build();
        let listed = self.api.list_networks(Some(options)).await;
        let mut listed = listed.map_err(|error| failed("list networks", error))?;
        listed.retain(|network| {
            let of = network.labels.as_ref().and_then(names::environment);
            of.as_deref() == Some(environment)
        });
        listed.sort_by(|a, b| (&a.created, &a.id).cmp(&(&b.created, &b.id)));
        Ok(listed)
    }

    /// The environment in whose network an address is. By the network, not by the containers in it: one
    /// that has ended had its address all the same.
    pub(super) async fn environment_at(
        &self,
        address: IpAddr,
    ) -> Result<Option<String>, EngineError> {
        let options = ListNetworksOptionsBuilder::default()
            .filters(&names::filter(self.platform, None))
            .build();
        let listed = self.api.list_networks(Some(options)).await;
        let listed = listed.map_err(|error| failed("list networks", error))?;
        let has = |network: &BridgeNetwork| {
            let configs = network.ipam.iter().flat_map(|ipam| &ipam.config).flatten();
            configs
                .filter_map(|config| config.subnet.as_ref()?.parse::<Network>().ok())
                .any(|subnet| subnet.contains(address))
        };
        let found = listed.iter().find(|network| has(network));
        Ok(found.and_then(|network| names::environment(network.labels.as_ref()?)))
    }

    /// Removes the network of an environment, unless something is still attached to it.
    pub(super) async fn remove_network(&self, environment: &str) -> Result<(), EngineError> {
        let name = names::network(self.platform, environment);
        let _turn = self.makes_network.lock().await;
        for id in self
            .networks(environment)
            .await?
            .into_iter()
            .filter_map(|it| it.id)
        {
            self.remove_network_of(&name, &id).await?;
        }
        Ok(())
    }

    async fn remove_network_of(&self, name: &str, id: &str) -> Result<(), EngineError> {
        match self.api.remove_network(id).await {
            Ok(()) => Ok(()),
            // Not there, or in use.
            Err(error) if matches!(status(&error), Some(403 | 404)) => Ok(()),
            Err(error) => Err(failed(format!("remove the network {name}"), error)),
        }
    }

    /// Pulls `image` unless the daemon has it; gives the working directory that it sets.
    pub(super) async fn image(&self, image: &str, tell: Tell<'_>) -> Result<String, EngineError> {
        for pulled in [false, true] {
            match self.api.inspect_image(image).await {
                Ok(found) => {
                    let directory = found.config.and_then(|config| config.working_dir);
                    return Ok(directory.filter(|it| !it.is_empty()).unwrap_or("/".into()));
                }
                Err(error) if status(&error) == Some(404) && !pulled => {
                    self.pull(image, tell).await?;
                }
                Err(error) => return Err(failed(format!("inspect the image {image}"), error)),
            }
        }
        unreachable!("the second round returns")
    }

    async fn pull(&self, image: &str, tell: Tell<'_>) -> Result<(), EngineError> {
        tell(format!("pulls the image {image}"));
        // A reference without tag or digest would pull every tag.
        let name = image.rsplit('/').next().unwrap_or(image);
        let image = if name.contains([':', '@']) {
            image.to_owned()
        } else {
            format!("{image}:latest")
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&image)
            .build();
        // Where logins cannot be read, the image may be one that needs none.
        let login = self.logins.of(&image).await;
        if let Err(why) = &login {
            tracing::warn!(image, why, "pulls without a login");
        }
        let given = login.as_ref().ok().and_then(Option::as_ref);
        let given = given.map(Login::for_daemon);
        let mut progress = self.api.create_image(Some(options), None, given);
        while let Some(step) = progress.next().await {
            let step = step.map_err(|error| self.not_pulled(&image, &login, error))?;
            if let Some(status) = step.status {
                tell(format!("pulls the image {image}: {status}"));
            }
        }
        Ok(())
    }
}

/// This machine's address in a network.
fn gateway(network: &BridgeNetwork) -> Option<IpAddr> {
    let configs = network.ipam.as_ref()?.config.as_ref()?;
    configs
        .iter()
        .find_map(|config| config.gateway.as_ref()?.parse().ok())
}

/// How a login to the registry of `image` is given.
fn to_log_in(image: &str, logins: &RegistryLogins) -> String {
    let (login, place) = match logins::registry(image) {
        "docker.io" => ("docker login".to_owned(), "Docker Hub".to_owned()),
        registry => (format!("docker login {registry}"), registry.to_owned()),
    };
    let file = logins.file().map_or_else(
        || "the config.json of the directory that DOCKER_CONFIG names".to_owned(),
        |file| {
            format!(
                "{} (DOCKER_CONFIG may name another directory)",
                file.display()
            )
        },
    );
    format!(
        "run `{login}` as the user that runs the platform, with a login that may pull from {place}: it is \
         read from {file} at the next try, by itself; or pull it by hand: an image that is here is not pulled"
    )
}

impl Daemon {
    /// Why `image` was not pulled, and what a person can do about it.
    fn not_pulled(
        &self,
        image: &str,
        login: &Result<Option<Login>, String>,
        error: Error,
    ) -> EngineError {
        let mut error = not_pulled(image, &self.logins, error);
        match login {
            Ok(None) => {}
            Ok(Some(login)) => {
                error.message = format!("{} (with the login of {})", error.message, login.user);
            }
            Err(why) => error.message = format!("{} (without a login: {why})", error.message),
        }
        error
    }
}

/// What is said of an image that a registry does not have. A host that is not found is another matter.
const NOT_THERE: &[&str] = &[
    "manifest unknown",
    "name unknown",
    "does not exist",
    ": not found",
    " not found: ",
    "invalid reference",
];

fn not_pulled(image: &str, logins: &RegistryLogins, error: Error) -> EngineError {
    let mut error = failed(format!("pull the image {image}"), error);
    let said = error.message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let remedy = if says(&["unauthorized", "denied", "authentication", "no basic auth"]) {
        format!("check the reference; {}", to_log_in(image, logins))
    } else if says(NOT_THERE) {
        // Whatever the status: daemons differ in how they pass on what a registry has answered.
        error.retry = false;
        format!("check the reference: `docker pull {image}` must find it")
    } else {
        format!(
            "see that this machine reaches the registry (`docker pull {image}`), or load the image by \
             hand (`docker load`)"
        )
    };
    EngineError {
        remedy: Some(remedy),
        ..error
    }
}

fn no_network(name: &str, error: Error) -> EngineError {
    let error = failed(format!("make the network {name}"), error);
    if !error.message.contains("address pool") {
        return error;
    }
    EngineError {
        remedy: Some(
            "every environment has a network of its own: remove environments or unused networks \
             (docker network prune), or give the daemon more default-address-pools"
                .into(),
        ),
        ..error
    }
}

/// A container's address in the network `name`.
pub(super) fn address_in(
    networks: Option<&HashMap<String, bollard::models::EndpointSettings>>,
    name: &str,
) -> Option<IpAddr> {
    networks?.get(name)?.ip_address.as_ref()?.parse().ok()
}
