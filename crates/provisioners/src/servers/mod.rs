//! The servers that instances are made on: configured, found on this machine, or run by Towpath.
//!
//! For each sort, in this order: the configured URL; the server that was chosen before; one found
//! on its standard local port that lets us in as an administrator; one that Towpath starts from
//! binaries on this machine; one that Towpath starts from a Docker image; else an error that says
//! what to do. The choice is kept on disk and stays while the server is away: instances made on one
//! server are never looked for on another.

mod account;
mod amqp;
mod container;
mod home;
mod mysql;
mod postgres;
mod program;
mod redis;
mod running;
mod search;
mod server_log;
mod slot;
mod supervise;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use delivery::provisioner::{ProvisionError, Request};
use kernel::{Secret, Turns};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};
use uuid::Uuid;

pub(crate) use amqp::AmqpServer;
use container::Container;
use home::Home;
pub(crate) use mysql::{MysqlServer, SORT as MYSQL};
pub(crate) use postgres::{PostgresServer, SORT as POSTGRES, trusted};
pub(crate) use redis::{RedisServer, explain as explain_redis};
pub use running::{RunningServer, running_servers};
use slot::Slot;
use supervise::Supervisor;

/// After how long a database server ends a session that holds an instance's lock and says nothing, in
/// seconds: its process hangs, or its machine is gone.
pub(crate) const SILENCE: u64 = 15;

/// How long one call waits for another one of the same instance, in seconds: longer than the server
/// leaves one that hangs.
pub(crate) const LOCK_WAIT: u64 = 20;

/// Which servers may be used, and how.
#[derive(Debug, Clone)]
pub struct ServersConfig {
    /// The platform: its administrators' names carry it.
    pub platform: Uuid,
    /// Where passwords, choices and the files of servers that Towpath runs are kept.
    pub data_dir: PathBuf,
    /// `postgres://admin:password@host:5432/postgres` (`TOWPATH_POSTGRES_URL`).
    pub postgres: Option<Secret>,
    /// `mysql://admin:password@host:3306` (`TOWPATH_MYSQL_URL`).
    pub mysql: Option<Secret>,
    /// `redis://:password@host:6379` (`TOWPATH_REDIS_URL`).
    pub redis: Option<Secret>,
    /// `amqp://host:5672`, where workloads connect (`TOWPATH_AMQP_URL`).
    pub amqp: Option<Secret>,
    /// `http://admin:password@host:15672`, RabbitMQ's management
    /// (`TOWPATH_AMQP_MANAGEMENT_URL`).
    pub amqp_management: Option<Secret>,
    /// Whether a server on its standard local port may be used.
    pub find_local: bool,
    /// Whether Towpath may start servers from binaries on this machine.
    pub allow_start: bool,
    /// Whether Towpath may start servers in containers.
    pub docker: bool,
}

impl ServersConfig {
    /// Nothing configured, everything allowed.
    pub fn new(platform: Uuid, data_dir: PathBuf) -> Self {
        Self {
            platform,
            data_dir,
            postgres: None,
            mysql: None,
            redis: None,
            amqp: None,
            amqp_management: None,
            find_local: true,
            allow_start: true,
            docker: true,
        }
    }

    /// The name of Towpath's administrator on servers where it makes one.
    fn administrator(&self) -> String {
        let uid = self.platform.simple().to_string();
        format!("towpath_{}", &uid[uid.len() - 6..])
    }
}

/// The servers of one platform: found once, kept connected, looked after. Cheap to clone.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

struct Inner {
    config: ServersConfig,
    supervisor: Supervisor,
    postgres: Slot<PostgresServer>,
    mysql: Slot<MysqlServer>,
    redis: Slot<RedisServer>,
    amqp: Slot<AmqpServer>,
    /// By instance: who starts, resumes or removes its own Redis.
    own_redis_turns: Turns<String>,
    /// Containers that this process started or found running.
    containers: Mutex<BTreeSet<String>>,
}

impl Servers {
    /// Nothing is looked for or started before it is needed.
    pub fn new(config: ServersConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                supervisor: Supervisor::default(),
                postgres: Slot::default(),
                mysql: Slot::default(),
                redis: Slot::default(),
                amqp: Slot::default(),
                own_redis_turns: Turns::default(),
                containers: Mutex::default(),
            }),
        }
    }

    /// Starts or adopts again all servers that Towpath ran before, and looks after them: workloads
    /// need them although nobody provisions anything. For the platform's start. All are tried; what
    /// failed is told for each.
    pub async fn resume(&self) -> Vec<ProvisionError> {
        let shared = async {
            tokio::join!(
                async { self.known_postgres().await.err() },
                async { self.known_mysql().await.err() },
                async { self.known_redis().await.err() },
                async { self.known_amqp().await.err() },
            )
        };
        let own = async {
            let names = match self.own_redis_names() {
                Ok(names) => names,
                Err(error) => return vec![Some(error)],
            };
            let all = names
                .iter()
                .map(|name| async { self.resume_own_redis(name).await.err() });
            futures::future::join_all(all).await
        };
        let ((postgres, mysql, redis, amqp), own) = tokio::join!(Box::pin(shared), Box::pin(own));
        let shared = [postgres, mysql, redis, amqp];
        shared.into_iter().chain(own).flatten().collect()
    }

    /// Leaves them to another process on the same data directory: they run on, and are no longer
    /// looked after from here until they are needed again.
    pub async fn stand_down(&self) {
        let inner = &self.inner;
        inner.postgres.clear().await;
        inner.mysql.clear().await;
        inner.redis.clear().await;
        inner.amqp.clear().await;
        inner.supervisor.release_all().await;
    }

    /// Ends the servers that Towpath started. Their data stays, and the next need starts them again.
    pub async fn stop_all(&self) -> Result<(), ProvisionError> {
        self.inner.supervisor.stop_all().await?;
        let containers = std::mem::take(&mut *self.inner.containers.lock().await);
        for name in containers {
            container::stop(&name).await?;
        }
        Ok(())
    }

    /// Starts the container of ours that is the server of `home`, with the ports given.
    async fn contain(&self, home: &Home, container: Container) -> Result<(), ProvisionError> {
        let name = container.name.clone();
        container.ensure().await?;
        home.keep_container(&name)?;
        self.inner.containers.lock().await.insert(name);
        Ok(())
    }

    /// The name of this platform's container for `sort`.
    fn container_name(&self, sort: &str) -> String {
        format!("{}-{sort}", self.config().administrator().replace('_', "-"))
    }

    fn config(&self) -> &ServersConfig {
        &self.inner.config
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `port` of this machine's loopback.
    pub(crate) fn local(port: u16) -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
        }
    }

    /// The socket on this machine's loopback, where it is one.
    pub(crate) fn loopback(&self) -> Option<SocketAddr> {
        let ip = match self.host.as_str() {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.trim_matches(['[', ']']).parse().ok()?,
        };
        ip.is_loopback().then(|| SocketAddr::new(ip, self.port))
    }

    /// The host by which the workloads of `request` reach it.
    pub(crate) fn host_for(&self, request: &Request) -> String {
        match self.loopback() {
            Some(_) => request.machine_host.clone(),
            None => self.host.clone(),
        }
    }

    /// Whether something accepts connections there.
    pub(crate) async fn listens(&self) -> bool {
        let connect = TcpStream::connect((self.host.as_str(), self.port));
        matches!(timeout(Duration::from_secs(2), connect).await, Ok(Ok(_)))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Whether a database server answered that this login may not come in, which no other try mends:
/// unlike "starting up", "shutting down" and "too many connections". By the class of its SQLSTATE:
/// invalid authorization, no such database, access rule violation.
pub(crate) fn is_refusal(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().unwrap_or_default();
    ["28", "3D", "42"]
        .iter()
        .any(|class| code.starts_with(class))
}

/// That another call has the lock of an instance, as long as this one could wait.
pub(crate) fn held(instance: &str) -> ProvisionError {
    ProvisionError::transient(format!(
        "another call holds the lock of {instance}; this is tried again"
    ))
    .remedy(
        "the server ends the session of a call that hangs (Postgres from version 14 on); where it \
         stays so, see who is connected to the server, and end that session",
    )
}

/// What the logins of all rotations of an instance begin with: `tp_red` of `tp_red_r2`.
pub(crate) fn login_stem(login: &str) -> Option<&str> {
    let (stem, rotation) = login.rsplit_once("_r")?;
    let is_number = !rotation.is_empty() && rotation.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(stem)
}
