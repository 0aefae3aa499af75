//! The adapters: engines, provisioners, policy, and the servers that Towpath runs itself.

mod s3;
mod secrets;
mod servers;

use std::{net::SocketAddr, process::ExitCode, sync::Arc};

use ::secrets::SecretStore;
use delivery::{Engine, Provisioner, Verifier};
use engines::{
    docker::{DockerConfig, DockerEngine},
    process::{ProcessConfig, ProcessEngine},
};
use gateway::tcp::Slots;
use kernel::{Authorizer, Result, Secret, Store};
use policy::{Bundle, RegoAuthorizer, RegoVerifier};
use provisioners::{Domains, S3, S3Config, ServersConfig};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::secrets::DeployKeysOf;
pub use self::servers::running_servers;
use crate::Config;

/// Everything at the edge, made once.
pub(crate) struct Adapters {
    pub(crate) engines: Vec<Arc<dyn Engine>>,
    pub(crate) provisioners: Vec<Arc<dyn Provisioner>>,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    /// The port of each service port that is there must stay its own.
    pub(crate) service_ports: Arc<provisioners::ServicePort>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Adapters {
    pub(crate) async fn connect(
        config: &Config,
        store: &Store,
        gateway: SocketAddr,
        key: &Secret,
        secrets: Arc<dyn SecretStore>,
        leadership: watch::Receiver<bool>,
        passed_on: Slots,
    ) -> Result<Self> {
        let domains = config.allotted.iter().fold(
            Domains::new(config.domain.as_str()),
            |domains, (domain, team)| domains.allot(domain.as_str(), team.as_str()),
        );
        let secret = |url: &Option<String>| url.as_deref().map(Secret::from);
        let servers = provisioners::Servers::new(ServersConfig {
            postgres: secret(&config.servers.postgres),
            mysql: secret(&config.servers.mysql),
            redis: secret(&config.servers.redis),
            amqp: secret(&config.servers.amqp),
            amqp_management: secret(&config.servers.amqp_management),
            allow_start: config.start_servers,
            docker: config.start_servers,
            ..ServersConfig::new(store.platform(), servers::directory(&config.data))
        });
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(servers::keep(
            servers.clone(),
            leadership.clone(),
            stop.clone(),
        ));
        let s3: Arc<dyn Provisioner> = if let Some(endpoint) = &config.s3_endpoint {
            Arc::new(S3::on(endpoint.connect()?))
        } else {
            let embedded = Arc::new(s3::Embedded::default());
            let own = S3Config {
                listen: config.s3_listen,
                directory: config.data.join("s3"),
                key: key.derive("towpath s3 access keys", 32),
            };
            tasks.spawn(embedded.clone().run(own, leadership, stop.clone()));
            embedded
        };
        let mut dns = provisioners::Dns::new(domains.clone());
        if let Some(file) = &config.hosts_file
            && let Some(address) = file.leads_to(gateway.ip())
        {
            dns = dns.with_hosts_file(&file.path, address);
        }
        let service_ports = Arc::new(provisioners::ServicePort::new());
        let provisioners: Vec<Arc<dyn Provisioner>> = vec![
            Arc::new(provisioners::Postgres::new(servers.clone())),
            Arc::new(provisioners::Mysql::new(servers.clone())),
            Arc::new(provisioners::Redis::new(servers.clone())),
            Arc::new(provisioners::Amqp::new(servers)),
            s3,
            Arc::new(provisioners::Volume::new(config.data.join("volumes"))),
            Arc::new(provisioners::Route::new(domains.clone(), gateway).with_records_of(&dns)),
            Arc::new(dns),
            service_ports.clone(),
            Arc::new(provisioners::Secret::new(Arc::new(secrets::OfTeams(
                secrets,
            )))),
            Arc::new(provisioners::EnvironmentValues::new(domains)),
            Arc::new(provisioners::Template::new()),
            Arc::new(provisioners::Command::new().with_directory(config.data.join("commands"))),
        ];
        // Made where it is missing: from then on its absence is a fault, and no policy is lost to one.
        let policies = config.data.join("policies");
        crate::machine::make_directory(&policies)?;
        let own = Bundle::default().with_directory(&policies)?;
        let bundle = Bundle::built_in().with_directory(&policies)?;
        Ok(Self {
            engines: engines(config, store, passed_on).await?,
            provisioners,
            verifier: Arc::new(RegoVerifier::new(bundle)?),
            authorizer: Arc::new(RegoAuthorizer::with_overseers(
                &own,
                &config.managers_group,
                &config.keepers,
            )?),
            service_ports,
            tasks,
            stop,
        })
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(done) = self.tasks.join_next().await {
            if let Err(error) = done {
                tracing::warn!(%error, "a task of the adapters failed");
            }
        }
    }
}

/// The process engine, and Docker's, whose daemon may come later.
async fn engines(config: &Config, store: &Store, passed_on: Slots) -> Result<Vec<Arc<dyn Engine>>> {
    let mut process = ProcessConfig::new(
        config.data.join("engine"),
        store.platform(),
        config.shim.clone(),
    );
    process.private.push(config.data.clone());
    process.private.extend(config.private.iter().cloned());
    let process = ProcessEngine::new(process).await?;
    let docker = DockerEngine::new(DockerConfig {
        slots: passed_on,
        ..DockerConfig::new(config.data.join("docker"), store.platform())
    });
    match docker.connect().await {
        Ok(()) => {}
        Err(error) if config.engine == "docker" => {
            tracing::warn!(%error, remedy = error.remedy, "workloads wait for Docker");
        }
        Err(error) => tracing::debug!(%error, "no Docker engine yet"),
    }
    Ok(vec![Arc::new(process), Arc::new(docker)])
}

/// What a process that the engine starts runs first: reads its orders and becomes the program. To be
/// called before anything else runs in the process.
pub fn shim_main() -> ExitCode {
    engines::process::shim::main()
}
