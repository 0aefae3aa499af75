//! Postgres: an administrator's connection to the server that databases are made on.

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
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::timeout;

use super::{
    Address, Servers,
    account::{self, become_one_of},
    container::Container,
    home::Home,
    is_refusal,
    program::{self, Run, postgres_places},
    search::{Search, Sort, until_open},
    supervise::{self, Launch, Probe},
};

const STANDARD_PORT: u16 = 5432;
pub(crate) const SORT: Sort = Sort {
    name: "Postgres",
    port: STANDARD_PORT,
    program: "initdb",
    package: "postgresql",
    by_hand: "pg_ctlcluster VERSION main start",
    variable: "TOWPATH_POSTGRES_URL=postgres://admin:password@host:5432/postgres",
    started: "Postgres",
    home: "postgres",
    accounts: &ACCOUNTS,
    pid_file: "data/postmaster.pid",
    // Ends sessions at once and writes everything out; a plain TERM waits for the clients.
    stop_signal: Signal::INT,
};
/// Never root, as whom Postgres refuses to run.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Connections of the administrator: as many as instances that are usefully made at once on one
/// server, and far from Postgres' own limit of 100.
const CONNECTIONS: u32 = 8;

/// How a Postgres of our own is set.
const SETTINGS: [&str; 3] = [
    "max_connections=200",
    // A statement that fails may hold a password: the log gets the error without it.
    "log_min_error_statement=panic",
    "log_error_verbosity=terse",
];

/// A Postgres on which we may make roles and databases.
pub(crate) struct PostgresServer {
    pub(crate) pool: PgPool,
    /// How the administrator connects: for connections to other databases.
    pub(crate) options: PgConnectOptions,
    /// Where workloads connect.
    pub(crate) address: Address,
    /// Whether a login made by us was let in by this server once.
    proven: AtomicBool,
}

impl PostgresServer {
    async fn connect(options: PgConnectOptions, address: Address) -> Result<Self, sqlx::Error> {
        let options = options
            .application_name("towpath")
            // Statements that set a password carry it, and slow ones would be logged as warnings.
            .disable_statement_logging();
        // A pool tries for a while and then does not say why; this says it at once.
        let first = PgConnection::connect_with(&options).await?;
        first.close().await?;
        let pool = PgPoolOptions::new()
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
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        match self.pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {
                let tried = PgConnection::connect_with(&self.options).await;
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
    /// The Postgres of this platform: found, or started.
    pub(crate) async fn postgres(&self) -> Result<Arc<PostgresServer>, ProvisionError> {
        let find = Box::pin(self.look_for_postgres());
        self.inner.postgres.get(find).await
    }

    /// The same, where one was configured or chosen before: for questions that start nothing.
    pub(crate) async fn known_postgres(
        &self,
    ) -> Result<Option<Arc<PostgresServer>>, ProvisionError> {
        if self.config().postgres.is_none() && self.postgres_home().origin().is_none() {
            return Ok(None);
        }
        self.postgres().await.map(Some)
    }

    /// It did not answer: the next need looks for it anew.
    pub(crate) async fn forget_postgres(&self, server: &Arc<PostgresServer>) {
        self.inner.postgres.forget(server).await;
    }

    fn postgres_home(&self) -> Home {
        SORT.home(&self.config().data_dir)
    }

    async fn look_for_postgres(&self) -> Result<PostgresServer, ProvisionError> {
        if let Some(url) = &self.config().postgres {
            return configured(url).await;
        }
        let home = self.postgres_home();
        Search {
            config: self.config(),
            home: &home,
            sort: &SORT,
            can_start: program::find("initdb", &postgres_places()).is_some(),
        }
        .run(
            Box::pin(self.found_postgres(&home)),
            Box::pin(self.started_postgres(&home)),
            Box::pin(self.contained_postgres(&home)),
        )
        .await
    }

    /// The Postgres on the standard local port, where it lets us in as an administrator.
    async fn found_postgres(&self, home: &Home) -> Result<PostgresServer, String> {
        let address = Address::local(STANDARD_PORT);
        if !address.listens().await {
            return Err("nothing listens".to_owned());
        }
        let administrator = self.config().administrator();
        let password = home.password().map_err(|error| error.message)?;
        let ours = local_options(STANDARD_PORT, &administrator, Some(&password));
        let mut last = match administers(&ours).await {
            Ok(()) => return opened(ours, address).await,
            Err(why) => why,
        };
        for options in passwordless() {
            match administers(&options).await {
                Ok(()) => return opened(options, address).await,
                Err(why) => last = why,
            }
        }
        if !account::is_root() {
            return Err(last);
        }
        let made = make_administrator(&administrator, &password).await;
        // Another process may have made it at the same time: what counts is the login.
        administers(&ours)
            .await
            .map_err(|why| made.err().unwrap_or(why))?;
        opened(ours, address).await
    }

    /// The Postgres that Towpath runs from binaries.
    async fn started_postgres(&self, home: &Home) -> Result<PostgresServer, ProvisionError> {
        let places = postgres_places();
        let (Some(initdb), Some(program)) = (
            program::find("initdb", &places),
            program::find("postgres", &places),
        ) else {
            return Err(ProvisionError::permanent(
                "the Postgres that Towpath runs has lost its binaries",
            )
            .remedy("`apt-get install postgresql`"));
        };
        let administrator = self.config().administrator();
        let password = home.password()?;
        home.make_directory()?;
        let data = home.directory.join("data");
        if !data.exists() {
            initialize(home, &initdb, &data, &administrator, &password).await?;
        }
        let known_port = home.port("postgres");
        let lets_in = match known_port {
            Some(port) => administers(&local_options(port, &administrator, Some(&password)))
                .await
                .is_ok(),
            None => false,
        };
        let pid_file = home.directory.join(SORT.pid_file);
        let port = match known_port {
            Some(port) if lets_in || supervise::runs(&home.directory, &pid_file) => port,
            _ => home.free_port("postgres")?,
        };
        let options = local_options(port, &administrator, Some(&password));
        self.inner
            .supervisor
            .ensure(launch(home, program, &data, port, probe(&options)))
            .await?;
        own(options, port).await
    }

    /// The Postgres that Towpath runs in a container.
    async fn contained_postgres(&self, home: &Home) -> Result<PostgresServer, ProvisionError> {
        let administrator = self.config().administrator();
        let password = home.password()?;
        let port = home.kept_port("postgres")?;
        let name = self.container_name("postgres");
        let settings = SETTINGS
            .iter()
            .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
        let command = std::iter::once("postgres".to_owned())
            .chain(settings)
            .collect();
        let container = Container {
            name: name.clone(),
            image: "postgres:16",
            env: vec![
                format!("POSTGRES_USER={administrator}"),
                format!("POSTGRES_PASSWORD={}", password.expose()),
                "POSTGRES_DB=postgres".to_owned(),
            ],
            command: Some(command),
            data: "/var/lib/postgresql/data",
            ports: vec![(STANDARD_PORT, port)],
        };
        self.contain(home, container).await?;
        let options = local_options(port, &administrator, Some(&password));
        until_open(&SORT, &name, &probe(&options)).await?;
        own(options, port).await
    }
}

/// A server of our own, on which a login of one database has no business in the others.
async fn own(options: PgConnectOptions, port: u16) -> Result<PostgresServer, ProvisionError> {
    let failed = |error: sqlx::Error| SORT.away(&Address::local(port), error);
    let server = PostgresServer::connect(options, Address::local(port))
        .await
        .map_err(failed)?;
    sqlx::raw_sql("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
        .execute(&server.pool)
        .await
        .map_err(failed)?;
    Ok(server)
}

async fn configured(url: &Secret) -> Result<PostgresServer, ProvisionError> {
    let options: PgConnectOptions = url
        .expose_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            ProvisionError::permanent("TOWPATH_POSTGRES_URL is not a Postgres URL")
                .remedy("write it as postgres://admin:password@host:5432/postgres")
        })?;
    let address = Address {
        host: options.get_host().to_owned(),
        port: options.get_port(),
    };
    let options = match options.get_database() {
        Some(_) => options,
        None => options.database("postgres"),
    };
    PostgresServer::connect(options, address.clone())
        .await
        .map_err(|error| match &error {
            sqlx::Error::Database(refused) if is_refusal(refused.as_ref()) => {
                ProvisionError::permanent(format!(
                    "the Postgres at {address} refuses the login of TOWPATH_POSTGRES_URL: {}",
                    refused.message()
                ))
                .remedy("correct user and password in TOWPATH_POSTGRES_URL")
            }
            _ => SORT.away(&address, error),
        })
}

async fn opened(options: PgConnectOptions, address: Address) -> Result<PostgresServer, String> {
    PostgresServer::connect(options, address)
        .await
        .map_err(|error| error.to_string())
}

fn local_options(port: u16, user: &str, password: Option<&SecretText>) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .database("postgres")
        // Over the loopback, encryption only costs time.
        .ssl_mode(PgSslMode::Disable);
    match password.map(SecretText::expose) {
        Some(password) => options.password(password),
        None => options,
    }
}

/// The logins that an untouched local server may accept: peer over the socket, trust over TCP.
fn passwordless() -> Vec<PgConnectOptions> {
    let me = std::env::var("USER").unwrap_or_else(|_| "postgres".to_owned());
    let mut all = Vec::new();
    for user in [me.as_str(), "postgres"] {
        let tcp = local_options(STANDARD_PORT, user, None);
        for directory in SOCKET_DIRECTORIES {
            let socket = format!("{directory}/.s.PGSQL.{STANDARD_PORT}");
            if Path::new(&socket).exists() {
                all.push(tcp.clone().socket(directory));
            }
        }
        all.push(tcp);
    }
    all
}

/// Whether this login may make roles and databases; the server's words where it may not.
async fn administers(options: &PgConnectOptions) -> Result<(), String> {
    let ask = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let may: bool = sqlx::query_scalar(
            "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles \
             WHERE rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok::<bool, sqlx::Error>(may)
    };
    match timeout(CONNECT_LIMIT, ask).await {
        Err(_) => Err("no answer".to_owned()),
        Ok(Err(sqlx::Error::Database(refused))) => Err(refused.message().to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(false)) => Err(format!(
            "the role `{}` may not make roles and databases",
            options.get_username()
        )),
        Ok(Ok(true)) => Ok(()),
    }
}

/// Makes our administrator through `psql`, as the account that an untouched server trusts. It is a
/// superuser, because extensions that are not marked as trusted need one.
async fn make_administrator(name: &str, password: &SecretText) -> Result<(), String> {
    let Some(account) = become_one_of(&["postgres"]) else {
        return Err("there is no account `postgres` to make an administrator with".to_owned());
    };
    let Some(psql) = program::find("psql", &postgres_places()) else {
        return Err("there is no `psql` to make an administrator with".to_owned());
    };
    let password = password.expose();
    let sql = format!(
        "SET log_statement = 'none';\n\
         DO $$ BEGIN CREATE ROLE {name} SUPERUSER LOGIN; \
         EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n\
         ALTER ROLE {name} SUPERUSER LOGIN PASSWORD '{password}';\n"
    );
    let port = STANDARD_PORT.to_string();
    Run {
        program: &psql,
        args: &[
            "-X",
            "-q",
            "-w",
            "-v",
            "ON_ERROR_STOP=1",
            "-p",
            &port,
            "-d",
            "postgres",
        ],
        env: &[],
        account: Some(account),
        input: &sql,
        limit: Duration::from_secs(15),
    }
    .output()
    .await
    .map(|_| ())
    .map_err(|error| error.message)
}

/// Makes the cluster beside its place and moves it there, so that a half-made one is never started.
async fn initialize(
    home: &Home,
    initdb: &Path,
    data: &Path,
    administrator: &str,
    password: &SecretText,
) -> Result<(), ProvisionError> {
    let half = home.directory.join("data.new");
    let password_file = home.directory.join("password.new");
    home.write_for_server(&password_file, password.expose().as_bytes())?;
    let mut outcome = Ok(());
    // Not every C library knows C.UTF-8.
    for locale in ["--locale=C.UTF-8", "--no-locale"] {
        if half.exists() {
            fs::remove_dir_all(&half).map_err(|e| ProvisionError::transient(e.to_string()))?;
        }
        let run = Run {
            program: initdb,
            args: &[
                "-D",
                &half.to_string_lossy(),
                "-U",
                administrator,
                "--auth=scram-sha-256",
                "--pwfile",
                &password_file.to_string_lossy(),
                "--encoding=UTF8",
                locale,
            ],
            env: &[],
            account: become_one_of(&ACCOUNTS),
            input: "",
            limit: Duration::from_mins(2),
        };
        outcome = run.output().await.map(|_| ());
        if outcome.is_ok() {
            break;
        }
    }
    fs::remove_file(&password_file).map_err(|e| ProvisionError::transient(e.to_string()))?;
    outcome?;
    fs::rename(&half, data).map_err(|e| ProvisionError::transient(e.to_string()))
}

fn launch(home: &Home, program: PathBuf, data: &Path, port: u16, probe: Probe) -> Launch {
    let settings = [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        // No socket: its path may be longer than the system allows, and nobody needs it.
        "unix_socket_directories=".to_owned(),
    ];
    let mut args = vec!["-D".into(), data.into()];
    for setting in settings.into_iter().chain(SETTINGS.map(str::to_owned)) {
        args.extend(["-c".into(), setting.into()]);
    }
    Launch {
        name: SORT.started.to_owned(),
        program,
        args,
        env: Vec::new(),
        account: become_one_of(&ACCOUNTS),
        directory: home.directory.clone(),
        pid_file: home.directory.join(SORT.pid_file),
        stop_signal: SORT.stop_signal,
        probe,
    }
}

fn probe(options: &PgConnectOptions) -> Probe {
    let options = options.clone();
    Arc::new(move || {
        let options = options.clone();
        Box::pin(async move { administers(&options).await.is_ok() })
    })
}

/// Runs statements that are made here, never by a person.
pub(crate) fn trusted(sql: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql)
}
