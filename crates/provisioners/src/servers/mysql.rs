//! MySQL and MariaDB: an administrator's connection to the server that databases are made on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use delivery::provisioner::ProvisionError;
use kernel::{Secret, SecretText};
use rustix::process::Signal;
use sqlx::{
    ConnectOptions as _, Connection as _, MySql, MySqlConnection, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
    pool::PoolConnection,
};
use tokio::time::timeout;

use super::{
    Address, Servers,
    account::{self, become_one_of},
    container::Container,
    home::Home,
    is_refusal,
    program::{self, Run},
    search::{Search, Sort, until_open},
    supervise::{self, Launch, Probe},
};

const STANDARD_PORT: u16 = 3306;
pub(crate) const SORT: Sort = Sort {
    name: "MySQL or MariaDB",
    port: STANDARD_PORT,
    program: "mariadbd",
    package: "mariadb-server",
    by_hand: "mariadbd-safe",
    variable: "TOWPATH_MYSQL_URL=mysql://admin:password@host:3306",
    started: "MariaDB",
    home: "mysql",
    accounts: &ACCOUNTS,
    pid_file: "mysqld.pid",
    stop_signal: Signal::TERM,
};
const ACCOUNTS: [&str; 2] = ["mysql", "nobody"];
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// As for Postgres: as many instances as are usefully made at once.
const CONNECTIONS: u32 = 8;

/// A MySQL or MariaDB on which we may make users and databases.
pub(crate) struct MysqlServer {
    pub(crate) pool: MySqlPool,
    pub(crate) options: MySqlConnectOptions,
    /// Where workloads connect.
    pub(crate) address: Address,
    /// Whether a login made by us was let in by this server once.
    proven: AtomicBool,
}

impl MysqlServer {
    async fn connect(options: MySqlConnectOptions, address: Address) -> Result<Self, sqlx::Error> {
        // Statements that set a password carry it, and slow ones would be logged as warnings.
        let options = options.disable_statement_logging();
        // A pool tries for a while and then does not say why; this says it at once.
        let first = MySqlConnection::connect_with(&options).await?;
        first.close().await?;
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_LIMIT)
            // Kept warm: a deployment must not wait for a login.
            .min_connections(1)
            .idle_timeout(Duration::from_mins(10))
            .connect_with(options.clone())
            .await?;
        Ok(Self {
            pool,
            options,
            address,
            proven: AtomicBool::new(false),
        })
    }

    /// A connection of the pool. A pool that gives up after trying for a while does not say why: the
    /// server itself is asked for that.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<MySql>, sqlx::Error> {
        match self.pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {
                let tried = MySqlConnection::connect_with(&self.options).await;
                Err(tried.err().unwrap_or(sqlx::Error::PoolTimedOut))
            }
            outcome => outcome,
        }
    }

    /// Whether this server has let in a login that we made.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// It has let one in.
    pub(crate) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// It has refused one: the next that is made has to be let in again.
    pub(crate) fn doubt(&self) {
        self.proven.store(false, Ordering::Relaxed);
    }
}

impl Servers {
    /// The MySQL or MariaDB of this platform: found, or started.
    pub(crate) async fn mysql(&self) -> Result<Arc<MysqlServer>, ProvisionError> {
        let find = Box::pin(self.look_for_mysql());
        self.inner.mysql.get(find).await
    }

    /// The same, where one was configured or chosen before: for questions that start nothing.
    pub(crate) async fn known_mysql(&self) -> Result<Option<Arc<MysqlServer>>, ProvisionError> {
        if self.config().mysql.is_none() && self.mysql_home().origin().is_none() {
            return Ok(None);
        }
        self.mysql().await.map(Some)
    }

    /// It did not answer: the next need looks for it anew.
    pub(crate) async fn forget_mysql(&self, server: &Arc<MysqlServer>) {
        self.inner.mysql.forget(server).await;
    }

    fn mysql_home(&self) -> Home {
        SORT.home(&self.config().data_dir)
    }

    async fn look_for_mysql(&self) -> Result<MysqlServer, ProvisionError> {
        if let Some(url) = &self.config().mysql {
            return configured(url).await;
        }
        let home = self.mysql_home();
        Search {
            config: self.config(),
            home: &home,
            sort: &SORT,
            can_start: program::find("mariadbd", &[]).is_some()
                && program::find("mariadb-install-db", &[]).is_some(),
        }
        .run(
            Box::pin(self.found_mysql(&home)),
            Box::pin(self.started_mysql(&home)),
            Box::pin(self.contained_mysql(&home)),
        )
        .await
    }

    /// The server on the standard local port, where it lets us in as an administrator.
    async fn found_mysql(&self, home: &Home) -> Result<MysqlServer, String> {
        let address = Address::local(STANDARD_PORT);
        if !address.listens().await {
            return Err("nothing listens".to_owned());
        }
        let administrator = self.config().administrator();
        let password = home.password().map_err(|error| error.message)?;
        let ours = local_options(STANDARD_PORT, &administrator, Some(&password));
        if administers(&ours).await.is_ok() {
            return opened(ours, address).await;
        }
        let untouched = local_options(STANDARD_PORT, "root", None);
        let refused = match administers(&untouched).await {
            Ok(()) => return opened(untouched, address).await,
            Err(why) => why,
        };
        if !account::is_root() {
            return Err(refused);
        }
        let made = make_administrator(&administrator, &password).await;
        // Another process may have made it at the same time: what counts is the login.
        administers(&ours)
            .await
            .map_err(|why| made.err().unwrap_or(why))?;
        opened(ours, address).await
    }

    /// The MariaDB that Towpath runs from binaries.
    async fn started_mysql(&self, home: &Home) -> Result<MysqlServer, ProvisionError> {
        let (Some(install), Some(program)) = (
            program::find("mariadb-install-db", &[]),
            program::find("mariadbd", &[]),
        ) else {
            return Err(ProvisionError::permanent(
                "the MariaDB that Towpath runs has lost its binaries",
            )
            .remedy("`apt-get install mariadb-server`"));
        };
        let administrator = self.config().administrator();
        let password = home.password()?;
        home.make_directory()?;
        let data = home.directory.join("data");
        if !data.exists() {
            initialize(home, &install, &data).await?;
        }
        let init_file = home.directory.join("administrator.sql");
        home.write_for_server(
            &init_file,
            administrator_sql(&administrator, &password).as_bytes(),
        )?;
        let known_port = home.port("mysql");
        let lets_in = match known_port {
            Some(port) => administers(&local_options(port, &administrator, Some(&password)))
                .await
                .is_ok(),
            None => false,
        };
        let pid_file = home.directory.join(SORT.pid_file);
        let port = match known_port {
            Some(port) if lets_in || supervise::runs(&home.directory, &pid_file) => port,
            _ => home.free_port("mysql")?,
        };
        let options = local_options(port, &administrator, Some(&password));
        let launch = launch(home, program, &data, &init_file, port, probe(&options));
        self.inner.supervisor.ensure(launch).await?;
        let address = Address::local(port);
        MysqlServer::connect(options, address.clone())
            .await
            .map_err(|error| SORT.away(&address, error))
    }

    /// The MariaDB that Towpath runs in a container; there the administrator is `root`.
    async fn contained_mysql(&self, home: &Home) -> Result<MysqlServer, ProvisionError> {
        let password = home.password()?;
        let port = home.kept_port("mysql")?;
        let name = self.container_name("mysql");
        let container = Container {
            name: name.clone(),
            image: "mariadb:11",
            env: vec![format!("MARIADB_ROOT_PASSWORD={}", password.expose())],
            command: None,
            data: "/var/lib/mysql",
            ports: vec![(STANDARD_PORT, port)],
        };
        self.contain(home, container).await?;
        let options = local_options(port, "root", Some(&password));
        until_open(&SORT, &name, &probe(&options)).await?;
        let address = Address::local(port);
        MysqlServer::connect(options, address.clone())
            .await
            .map_err(|error| SORT.away(&address, error))
    }
}

async fn configured(url: &Secret) -> Result<MysqlServer, ProvisionError> {
    let options: MySqlConnectOptions = url
        .expose_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            ProvisionError::permanent("TOWPATH_MYSQL_URL is not a MySQL URL")
                .remedy("write it as mysql://admin:password@host:3306")
        })?;
    let address = Address {
        host: options.get_host().to_owned(),
        port: options.get_port(),
    };
    MysqlServer::connect(options, address.clone())
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(refused) if is_refusal(refused.as_ref()) => {
                ProvisionError::permanent(format!(
                    "the server at {address} refuses the login of TOWPATH_MYSQL_URL: {}",
                    refused.message()
                ))
                .remedy("correct user and password in TOWPATH_MYSQL_URL")
            }
            _ => SORT.away(&address, error),
        })
}

async fn opened(options: MySqlConnectOptions, address: Address) -> Result<MysqlServer, String> {
    MysqlServer::connect(options, address)
        .await
        .map_err(|error| error.to_string())
}

fn local_options(port: u16, user: &str, password: Option<&SecretText>) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(user);
    match password.map(SecretText::expose) {
        Some(password) => options.password(password),
        None => options,
    }
}

/// Whether this login may make users and hand on rights; the server's words where it may not.
async fn administers(options: &MySqlConnectOptions) -> Result<(), String> {
    let ask = async {
        let mut connection = MySqlConnection::connect_with(options).await?;
        let may: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES \
             WHERE PRIVILEGE_TYPE = 'CREATE USER' AND IS_GRANTABLE = 'YES'",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok::<bool, sqlx::Error>(may > 0)
    };
    match timeout(CONNECT_LIMIT, ask).await {
        Err(_) => Err("no answer".to_owned()),
        Ok(Err(sqlx::Error::Database(refused))) => Err(refused.message().to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(false)) => Err(format!(
            "the user `{}` may not make users",
            options.get_username()
        )),
        Ok(Ok(true)) => Ok(()),
    }
}

/// Over TCP a login comes from `localhost` where names are resolved, from `127.0.0.1` elsewhere.
fn administrator_sql(name: &str, password: &SecretText) -> String {
    let password = password.expose();
    // One statement a line: a server's start reads the file so.
    let hosts = ["localhost", "127.0.0.1"].map(|host| {
        let who = format!("'{name}'@'{host}'");
        format!(
            "CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{password}';\n\
             ALTER USER {who} IDENTIFIED BY '{password}';\n\
             GRANT ALL PRIVILEGES ON *.* TO {who} WITH GRANT OPTION;\n"
        )
    });
    hosts.concat()
}

/// Makes our administrator through the server's own client, as root over the socket.
async fn make_administrator(name: &str, password: &SecretText) -> Result<(), String> {
    let Some(client) = program::find("mariadb", &[]).or_else(|| program::find("mysql", &[])) else {
        return Err("there is no `mariadb` or `mysql` to make an administrator with".to_owned());
    };
    Run {
        program: &client,
        args: &[
            "--no-defaults",
            "--protocol=socket",
            "--user=root",
            "--batch",
        ],
        env: &[],
        account: None,
        input: &administrator_sql(name, password),
        limit: Duration::from_secs(15),
    }
    .output()
    .await
    .map(|_| ())
    .map_err(|error| error.message)
}

/// Makes the data directory beside its place and moves it there, so that a half-made one is never
/// started.
async fn initialize(home: &Home, install: &Path, data: &Path) -> Result<(), ProvisionError> {
    let failed = |error: std::io::Error| ProvisionError::transient(error.to_string());
    let half = home.directory.join("data.new");
    if half.exists() {
        fs::remove_dir_all(&half).map_err(failed)?;
    }
    let datadir = format!("--datadir={}", half.display());
    Run {
        program: install,
        args: &[
            "--no-defaults",
            &datadir,
            // Only the system's root, over the socket: no login without a password is left open.
            "--auth-root-authentication-method=socket",
            "--skip-test-db",
        ],
        env: &[],
        account: become_one_of(&ACCOUNTS),
        input: "",
        limit: Duration::from_mins(2),
    }
    .output()
    .await?;
    fs::rename(&half, data).map_err(failed)
}

fn launch(
    home: &Home,
    program: PathBuf,
    data: &Path,
    init_file: &Path,
    port: u16,
    probe: Probe,
) -> Launch {
    let pid_file = home.directory.join(SORT.pid_file);
    let account = become_one_of(&ACCOUNTS);
    let mut args = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        // Within the data directory: a whole path may be longer than a socket's may be.
        "--socket=mysqld.sock".to_owned(),
        format!("--pid-file={}", pid_file.display()),
        format!("--init-file={}", init_file.display()),
        "--skip-name-resolve".to_owned(),
        "--character-set-server=utf8mb4".to_owned(),
    ];
    if account.is_none() && account::is_root() {
        args.push("--user=root".to_owned());
    }
    Launch {
        name: SORT.started.to_owned(),
        program,
        args: args.into_iter().map(Into::into).collect(),
        env: Vec::new(),
        account,
        directory: home.directory.clone(),
        pid_file,
        stop_signal: SORT.stop_signal,
        probe,
    }
}

fn probe(options: &MySqlConnectOptions) -> Probe {
    let options = options.clone();
    Arc::new(move || {
        let options = options.clone();
        Box::pin(async move { administers(&options).await.is_ok() })
    })
}
