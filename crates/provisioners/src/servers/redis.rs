//! Redis: the shared server, and servers that belong to one instance alone.

use std::{path::Path, sync::Arc, time::Duration};

use delivery::provisioner::ProvisionError;
use kernel::{Secret, SecretText, Turn};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, aio::MultiplexedConnection,
};
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use super::{
    Address, Servers,
    account::become_one_of,
    container::Container,
    home::Home,
    program,
    search::{Search, Sort, until_open},
    supervise::{self, Launch, Probe},
};

const STANDARD_PORT: u16 = 6379;
pub(super) const SORT: Sort = Sort {
    name: "Redis",
    port: STANDARD_PORT,
    program: "redis-server",
    package: "redis-server",
    by_hand: "redis-server",
    variable: "TOWPATH_REDIS_URL=redis://:password@host:6379",
    started: "Redis (shared)",
    home: "redis",
    accounts: &ACCOUNTS,
    pid_file: "redis.pid",
    stop_signal: Signal::TERM,
};
const ACCOUNTS: [&str; 2] = ["redis", "nobody"];
const LIMIT: Duration = Duration::from_secs(5);
/// Where the servers of single instances are, beneath the homes of servers.
const OWN: &str = "redis-instances";

/// A Redis on which we are the administrator.
pub(crate) struct RedisServer {
    pub(crate) connection: MultiplexedConnection,
    client: Client,
    /// Where workloads connect.
    pub(crate) address: Address,
    /// Major and minor: which words its access rules know.
    pub(crate) version: (u32, u32),
}

impl RedisServer {
    async fn connect(info: ConnectionInfo, address: Address) -> redis::RedisResult<Self> {
        let client = Client::open(info)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&limits())
            .await?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        // An administrator may list the users; Redis before 6 has none to list.
        let _users: Vec<String> = redis::cmd("ACL")
            .arg("USERS")
            .query_async(&mut connection)
            .await?;
        Ok(Self {
            connection,
            client,
            address,
            version: version(&info),
        })
    }

    /// A connection to the numbered database `database`.
    pub(crate) async fn in_database(
        &self,
        database: i64,
    ) -> redis::RedisResult<MultiplexedConnection> {
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&limits())
            .await?;
        redis::cmd("SELECT")
            .arg(database)
            .query_async::<()>(&mut connection)
            .await?;
        Ok(connection)
    }
}

impl RedisServer {
    /// Logs in as a workload does, and asks after `key`, which it may: a login that the server no
    /// longer takes, or that may no longer do that, is told apart from a server that is away.
    pub(crate) async fn lets_in(
        &self,
        user: &str,
        password: &SecretText,
        key: &str,
    ) -> Result<Option<String>, ProvisionError> {
        let settings = RedisConnectionInfo::default()
            .set_username(user)
            .set_password(password.expose());
        let info = self.client.get_connection_info().clone();
        let asked = async {
            let client = Client::open(info.set_redis_settings(settings))?;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&limits())
                .await?;
            redis::cmd("EXISTS")
                .arg(key)
                .query_async::<()>(&mut connection)
                .await
        };
        match asked.await {
            Ok(()) => Ok(None),
            Err(error)
                if error.kind() == redis::ErrorKind::AuthenticationFailed
                    || matches!(error.code(), Some("WRONGPASS" | "NOPERM" | "NOAUTH")) =>
            {
                Ok(Some(error.to_string()))
            }
            Err(error) => Err(explain(&self.address, &error)),
        }
    }
}

impl Servers {
    /// The Redis that instances share: found, or started.
    pub(crate) async fn redis(&self) -> Result<Arc<RedisServer>, ProvisionError> {
        let find = Box::pin(self.look_for_redis());
        self.inner.redis.get(find).await
    }

    /// The same, where one was configured or chosen before: for questions that start nothing.
    pub(crate) async fn known_redis(&self) -> Result<Option<Arc<RedisServer>>, ProvisionError> {
        if self.config().redis.is_none() && self.redis_home().origin().is_none() {
            return Ok(None);
        }
        self.redis().await.map(Some)
    }

    /// It did not answer: the next need looks for it anew.
    pub(crate) async fn forget_redis(&self, server: &Arc<RedisServer>) {
        self.inner.redis.forget(server).await;
    }

    /// Whether an instance can have a server of its own here, and nobody asked for a certain one.
    pub(crate) fn prefers_own_redis(&self) -> bool {
        self.config().redis.is_none() && self.can_start_redis()
    }

    /// Whether Towpath can start a Redis here.
    pub(crate) fn can_start_redis(&self) -> bool {
        self.config().allow_start && program::find("redis-server", &[]).is_some()
    }

    /// The server of the instance `name` alone: adopted, or started.
    pub(crate) async fn own_redis(&self, name: &str) -> Result<RedisServer, ProvisionError> {
        if !self.can_start_redis() {
            return Err(ProvisionError::permanent(
                "Towpath cannot start a Redis for this instance: no `redis-server` on this machine",
            )
            .remedy("`apt-get install redis-server`, or set `isolation: prefix`"));
        }
        let _turn = self.own_redis_turn(name).await;
        self.run_redis(&self.own_redis_home(name), name).await
    }

    /// The same for one that ran before, unless it was removed meanwhile.
    pub(super) async fn resume_own_redis(&self, name: &str) -> Result<(), ProvisionError> {
        let _turn = self.own_redis_turn(name).await;
        if !self.has_own_redis(name) {
            return Ok(());
        }
        let home = self.own_redis_home(name);
        self.run_redis(&home, name).await.map(drop)
    }

    /// One at a time for each instance: a server that is resumed must not come up in the midst of its
    /// removal, where nobody would know of it.
    async fn own_redis_turn(&self, name: &str) -> Turn {
        self.inner.own_redis_turns.of(&name.to_owned()).await
    }

    /// Whether the instance `name` has a server of its own.
    pub(crate) fn has_own_redis(&self, name: &str) -> bool {
        self.own_redis_home(name).exists()
    }

    /// Ends the server of the instance `name` and removes its data.
    pub(crate) async fn remove_own_redis(&self, name: &str) -> Result<(), ProvisionError> {
        let _turn = self.own_redis_turn(name).await;
        let home = self.own_redis_home(name);
        home.check_owner()?;
        let pid_file = home.directory.join(SORT.pid_file);
        let supervisor = &self.inner.supervisor;
        supervisor
            .stop(&home.directory, &pid_file, SORT.stop_signal)
            .await?;
        home.remove()?;
        Ok(())
    }

    /// The instances that have a server of their own.
    pub(crate) fn own_redis_names(&self) -> Result<Vec<String>, ProvisionError> {
        own_names(&self.config().data_dir)
    }

    fn own_redis_home(&self, name: &str) -> Home {
        own_home(&self.config().data_dir, name)
    }

    fn redis_home(&self) -> Home {
        SORT.home(&self.config().data_dir)
    }

    async fn look_for_redis(&self) -> Result<RedisServer, ProvisionError> {
        if let Some(url) = &self.config().redis {
            return configured(url).await;
        }
        let home = self.redis_home();
        Search {
            config: self.config(),
            home: &home,
            sort: &SORT,
            can_start: self.can_start_redis(),
        }
        .run(
            Box::pin(found()),
            Box::pin(self.run_redis(&home, "shared")),
            Box::pin(self.contained_redis(&home)),
        )
        .await
    }

    /// The shared Redis that Towpath runs in a container.
    async fn contained_redis(&self, home: &Home) -> Result<RedisServer, ProvisionError> {
        let password = home.password()?;
        let port = home.kept_port("redis")?;
        let words = [
            "redis-server",
            "--appendonly",
            "yes",
            "--requirepass",
            password.expose(),
        ];
        let name = self.container_name("redis");
        let container = Container {
            name: name.clone(),
            image: "redis:7",
            env: Vec::new(),
            command: Some(words.map(str::to_owned).to_vec()),
            data: "/data",
            ports: vec![(STANDARD_PORT, port)],
        };
        self.contain(home, container).await?;
        let info = local(port, None, Some(&password));
        until_open(&SORT, &name, &probe(&info)).await?;
        let address = Address::local(port);
        RedisServer::connect(info, address.clone())
            .await
            .map_err(|error| explain(&address, &error))
    }

    /// A Redis that Towpath runs from binaries.
    async fn run_redis(&self, home: &Home, name: &str) -> Result<RedisServer, ProvisionError> {
        let Some(program) = program::find("redis-server", &[]) else {
            return Err(ProvisionError::permanent(
                "the Redis that Towpath runs has lost its binary",
            )
            .remedy("`apt-get install redis-server`"));
        };
        let administrator = self.config().administrator();
        let password = home.password()?;
        home.make_directory()?;
        let users = home.directory.join("users.acl");
        if !users.exists() {
            let digest = Sha256::digest(password.expose());
            let rules =
                format!("user {administrator} on #{digest:x} ~* &* +@all\nuser default off\n");
            home.write_for_server(&users, rules.as_bytes())?;
        }
        let known_port = home.port("redis");
        let lets_in = match known_port {
            Some(port) => lets_in(local(port, Some(&administrator), Some(&password))).await,
            None => false,
        };
        let pid_file = home.directory.join(SORT.pid_file);
        let port = match known_port {
            Some(port) if lets_in || supervise::runs(&home.directory, &pid_file) => port,
            _ => home.free_port("redis")?,
        };
        let info = local(port, Some(&administrator), Some(&password));
        let args = [
            ("--port", port.to_string()),
            ("--bind", "127.0.0.1".to_owned()),
            ("--dir", home.directory.display().to_string()),
            ("--appendonly", "yes".to_owned()),
            ("--aclfile", users.display().to_string()),
            ("--pidfile", pid_file.display().to_string()),
        ];
        let launch = Launch {
            name: called(name),
            program,
            args: args
                .into_iter()
                .flat_map(|(option, value)| [option.into(), value.into()])
                .collect(),
            env: Vec::new(),
            account: become_one_of(&ACCOUNTS),
            directory: home.directory.clone(),
            pid_file,
            stop_signal: SORT.stop_signal,
            probe: probe(&info),
        };
        self.inner.supervisor.ensure(launch).await?;
        let address = Address::local(port);
        RedisServer::connect(info, address.clone())
            .await
            .map_err(|error| explain(&address, &error))
    }
}

/// The instances beneath `data_dir` that have a server of their own.
pub(super) fn own_names(data_dir: &Path) -> Result<Vec<String>, ProvisionError> {
    Home::names(data_dir, OWN)
}

/// The home of the server of the instance `name`.
pub(super) fn own_home(data_dir: &Path, name: &str) -> Home {
    let account = become_one_of(SORT.accounts);
    Home::new(data_dir, &format!("{OWN}/{name}"), account)
}

/// What people call the server `name` that Towpath runs.
pub(super) fn called(name: &str) -> String {
    format!("Redis ({name})")
}

/// The Redis on the standard local port, where it lets us in as an administrator.
async fn found() -> Result<RedisServer, String> {
    let address = Address::local(STANDARD_PORT);
    if !address.listens().await {
        return Err("nothing listens".to_owned());
    }
    // The variable that redis-cli reads.
    let password = std::env::var("REDISCLI_AUTH").ok().map(SecretText::from);
    RedisServer::connect(local(STANDARD_PORT, None, password.as_ref()), address)
        .await
        .map_err(|error| error.to_string())
}

async fn configured(url: &Secret) -> Result<RedisServer, ProvisionError> {
    let malformed = || {
        ProvisionError::permanent("TOWPATH_REDIS_URL is not a Redis URL")
            .remedy("write it as redis://:password@host:6379")
    };
    let info = url
        .expose_str()
        .and_then(|text| text.into_connection_info().ok())
        .ok_or_else(malformed)?;
    let address = match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Address {
            host: host.clone(),
            port: *port,
        },
        _ => return Err(malformed()),
    };
    RedisServer::connect(info, address.clone())
        .await
        .map_err(|error| explain(&address, &error))
}

fn limits() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(LIMIT))
        .set_response_timeout(Some(LIMIT))
}

fn local(port: u16, user: Option<&str>, password: Option<&SecretText>) -> ConnectionInfo {
    let mut settings = RedisConnectionInfo::default();
    if let Some(user) = user {
        settings = settings.set_username(user);
    }
    if let Some(password) = password.map(SecretText::expose) {
        settings = settings.set_password(password);
    }
    // Two parts that are always well-formed.
    ConnectionAddr::Tcp("127.0.0.1".to_owned(), port)
        .into_connection_info()
        .expect("a TCP address is connection info")
        .set_redis_settings(settings)
}

async fn lets_in(info: ConnectionInfo) -> bool {
    let Ok(client) = Client::open(info) else {
        return false;
    };
    let ping = async {
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&limits())
            .await?;
        redis::cmd("PING").query_async::<()>(&mut connection).await
    };
    ping.await.is_ok()
}

fn probe(info: &ConnectionInfo) -> Probe {
    let info = info.clone();
    Arc::new(move || {
        let info = info.clone();
        Box::pin(lets_in(info))
    })
}

/// Major and minor version from what `INFO server` says.
fn version(info: &str) -> (u32, u32) {
    info.lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .and_then(|version| {
            let mut parts = version.trim().split('.').map(str::parse);
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        })
        .unwrap_or((6, 0))
}

/// What Redis said, and what can be done about it.
pub(crate) fn explain(address: &Address, error: &redis::RedisError) -> ProvisionError {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return SORT.away(address, error);
    }
    let message = format!("Redis at {address}: {error}");
    match error.code() {
        Some("LOADING" | "BUSY" | "TRYAGAIN" | "MASTERDOWN") => SORT.troubled(message),
        Some("NOAUTH" | "WRONGPASS") => ProvisionError::permanent(message)
            .remedy("correct user and password in TOWPATH_REDIS_URL"),
        Some("NOPERM") => ProvisionError::permanent(message)
            .remedy("give the user of TOWPATH_REDIS_URL the rights `~* &* +@all`"),
        _ => SORT.refused(message),
    }
}
