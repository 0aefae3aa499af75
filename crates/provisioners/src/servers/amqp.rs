//! RabbitMQ: its management API, through which virtual hosts and users are made.

mod management;

use std::{path::PathBuf, sync::Arc, time::Duration};

use delivery::provisioner::ProvisionError;
use kernel::{Secret, SecretText};
use reqwest::{Method, StatusCode, Url};
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use management::{Answer, Management};

use super::{
    Address, Servers,
    account::{self, become_one_of},
    container::Container,
    home::Home,
    program::{self, Run},
    search::{Search, Sort, until_open},
    supervise::{self, Launch, Probe},
};

const STANDARD_PORT: u16 = 5672;
const MANAGEMENT_PORT: u16 = 15672;
pub(super) const SORT: Sort = Sort {
    name: "RabbitMQ",
    port: STANDARD_PORT,
    program: "rabbitmq-server",
    package: "rabbitmq-server",
    by_hand: "rabbitmq-server -detached",
    variable: "TOWPATH_AMQP_URL=amqp://host:5672 and \
               TOWPATH_AMQP_MANAGEMENT_URL=http://admin:password@host:15672",
    started: "RabbitMQ",
    home: "amqp",
    accounts: &ACCOUNTS,
    pid_file: "rabbitmq.pid",
    stop_signal: Signal::TERM,
};
const ACCOUNTS: [&str; 2] = ["rabbitmq", "nobody"];
/// RabbitMQ's own tools start an Erlang machine each: seconds, on a busy one.
const TOOL_LIMIT: Duration = Duration::from_mins(1);

/// How long it may take to greet a client; where it takes longer, it is asked again.
const GREETING_LIMIT: Duration = Duration::from_secs(2);

/// A RabbitMQ on which we are an administrator.
pub(crate) struct AmqpServer {
    management: Management,
    /// Where workloads connect.
    pub(crate) address: Address,
}

impl AmqpServer {
    /// One call of the management API. `path` is below `/api`, its names percent-encoded.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, ProvisionError> {
        self.management
            .call(method, path, body)
            .await
            .map_err(|error| away(&self.management, &self.address, error))
    }

    /// RabbitMQ's words for a call that it refused.
    pub(crate) fn refused(&self, doing: &str, answer: &Answer) -> ProvisionError {
        let words = ["reason", "error"]
            .iter()
            .find_map(|field| answer.body[field].as_str())
            .unwrap_or("no reason given");
        let message = format!(
            "RabbitMQ at {} refuses to {doing}: {} {words}",
            self.address, answer.status
        );
        match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProvisionError::permanent(message)
                .remedy(
                    "give the user of TOWPATH_AMQP_MANAGEMENT_URL the tag `administrator` \
                     (`rabbitmqctl set_user_tags USER administrator`)",
                ),
            status if status.is_server_error() => SORT.troubled(message),
            _ => SORT.refused(message),
        }
    }
}

/// The management of the RabbitMQ at `address` does not answer.
fn away(management: &Management, address: &Address, error: reqwest::Error) -> ProvisionError {
    ProvisionError::transient(format!(
        "RabbitMQ's management at {} does not answer: {}",
        management.address(),
        error.without_url()
    ))
    .remedy(SORT.start_it(address))
}

impl Servers {
    /// The RabbitMQ of this platform: found, or started.
    pub(crate) async fn amqp(&self) -> Result<Arc<AmqpServer>, ProvisionError> {
        let find = Box::pin(self.look_for_amqp());
        self.inner.amqp.get(find).await
    }

    /// The same, where one was configured or chosen before: for questions that start nothing.
    pub(crate) async fn known_amqp(&self) -> Result<Option<Arc<AmqpServer>>, ProvisionError> {
        if self.config().amqp.is_none() && self.amqp_home().origin().is_none() {
            return Ok(None);
        }
        self.amqp().await.map(Some)
    }

    /// It did not answer: the next need looks for it anew.
    pub(crate) async fn forget_amqp(&self, server: &Arc<AmqpServer>) {
        self.inner.amqp.forget(server).await;
    }

    fn amqp_home(&self) -> Home {
        SORT.home(&self.config().data_dir)
    }

    async fn look_for_amqp(&self) -> Result<AmqpServer, ProvisionError> {
        if let Some(url) = &self.config().amqp {
            return configured(url, self.config().amqp_management.as_ref()).await;
        }
        let home = self.amqp_home();
        Search {
            config: self.config(),
            home: &home,
            sort: &SORT,
            can_start: server_program().is_some(),
        }
        .run(
            Box::pin(self.found_amqp(&home)),
            Box::pin(self.started_amqp(&home)),
            Box::pin(self.contained_amqp(&home)),
        )
        .await
    }

    /// The RabbitMQ on the standard local port, where its management lets us in.
    async fn found_amqp(&self, home: &Home) -> Result<AmqpServer, String> {
        let address = Address::local(STANDARD_PORT);
        if !address.listens().await {
            return Err("nothing listens".to_owned());
        }
        let words = |error: ProvisionError| error.message;
        if !Address::local(MANAGEMENT_PORT).listens().await {
            if !account::is_root() {
                return Err(format!(
                    "its management does not listen on port {MANAGEMENT_PORT}: \
                     `rabbitmq-plugins enable rabbitmq_management`"
                ));
            }
            tool("rabbitmq-plugins", &["enable", "rabbitmq_management"], "")
                .await
                .map_err(words)?;
        }
        let administrator = self.config().administrator();
        let password = home.password().map_err(words)?;
        let ours =
            Management::local(MANAGEMENT_PORT, &administrator, password.clone()).map_err(words)?;
        let untouched = Management::local(MANAGEMENT_PORT, "guest", SecretText::from("guest"))
            .map_err(words)?;
        let mut last = String::new();
        for management in [ours.clone(), untouched] {
            match management.administers().await {
                Ok(()) => {
                    return Ok(AmqpServer {
                        management,
                        address,
                    });
                }
                Err(why) => last = why,
            }
        }
        if !account::is_root() {
            return Err(last);
        }
        let made = make_administrator(&administrator, &password).await;
        ours.administers()
            .await
            .map_err(|why| made.err().map_or(why, |error| error.message))?;
        Ok(AmqpServer {
            management: ours,
            address,
        })
    }

    /// The RabbitMQ that Towpath runs from binaries.
    async fn started_amqp(&self, home: &Home) -> Result<AmqpServer, ProvisionError> {
        let Some(program) = server_program() else {
            return Err(ProvisionError::permanent(
                "the RabbitMQ that Towpath runs has lost its binaries",
            )
            .remedy("`apt-get install rabbitmq-server`"));
        };
        let administrator = self.config().administrator();
        let password = home.password()?;
        home.make_directory()?;
        let known = home.port("management");
        let lets_in = match known {
            Some(port) => Management::local(port, &administrator, password.clone())?
                .administers()
                .await
                .is_ok(),
            None => false,
        };
        let holds_ports =
            lets_in || supervise::runs(&home.directory, &home.directory.join(SORT.pid_file));
        let port = |label: &str| match home.port(label) {
            Some(port) if holds_ports => Ok(port),
            _ => home.free_port(label),
        };
        let ports = Ports {
            amqp: port("amqp")?,
            management: port("management")?,
            distribution: port("distribution")?,
        };
        let management = Management::local(ports.management, &administrator, password.clone())?;
        write_settings(home, &ports, &administrator, &password)?;
        let probe = probe(&management, ports.amqp);
        let launch = launch(home, program, &ports, &administrator, probe);
        self.inner.supervisor.ensure(launch).await?;
        Ok(AmqpServer {
            management,
            address: Address::local(ports.amqp),
        })
    }

    /// The RabbitMQ that Towpath runs in a container.
    async fn contained_amqp(&self, home: &Home) -> Result<AmqpServer, ProvisionError> {
        let administrator = self.config().administrator();
        let password = home.password()?;
        let (amqp, port) = (home.kept_port("amqp")?, home.kept_port("management")?);
        let name = self.container_name("amqp");
        let container = Container {
            name: name.clone(),
            image: "rabbitmq:3-management",
            env: vec![
                format!("RABBITMQ_DEFAULT_USER={administrator}"),
                format!("RABBITMQ_DEFAULT_PASS={}", password.expose()),
            ],
            command: None,
            data: "/var/lib/rabbitmq",
            ports: vec![(STANDARD_PORT, amqp), (MANAGEMENT_PORT, port)],
        };
        self.contain(home, container).await?;
        let management = Management::local(port, &administrator, password)?;
        until_open(&SORT, &name, &probe(&management, amqp)).await?;
        Ok(AmqpServer {
            management,
            address: Address::local(amqp),
        })
    }
}

struct Ports {
    amqp: u16,
    management: u16,
    distribution: u16,
}

/// Debian's program in `PATH` changes the account and the directory: the one behind it does not.
fn server_program() -> Option<PathBuf> {
    program::find("rabbitmq-server", &["/usr/lib/rabbitmq/bin".into()])
}

async fn configured(
    amqp: &Secret,
    management: Option<&Secret>,
) -> Result<AmqpServer, ProvisionError> {
    let parse = |variable: &str, secret: &Secret| {
        secret
            .expose_str()
            .and_then(|text| Url::parse(text).ok())
            .filter(Url::has_host)
            .ok_or_else(|| {
                ProvisionError::permanent(format!("{variable} is not a URL"))
                    .remedy(format!("set {}", SORT.variable))
            })
    };
    let amqp = parse("TOWPATH_AMQP_URL", amqp)?;
    let host = amqp.host_str().unwrap_or_default().to_owned();
    let login = match management {
        Some(management) => parse("TOWPATH_AMQP_MANAGEMENT_URL", management)?,
        None => amqp.clone(),
    };
    let base = match management {
        Some(_) => {
            let port = login.port_or_known_default().unwrap_or(MANAGEMENT_PORT);
            let host = login.host_str().unwrap_or_default();
            format!("{}://{host}:{port}{}", login.scheme(), login.path())
        }
        None => format!("http://{host}:{MANAGEMENT_PORT}"),
    };
    let base = Url::parse(&base).map_err(|e| ProvisionError::permanent(e.to_string()))?;
    let user = match login.username() {
        "" => "guest",
        user => user,
    };
    let password = SecretText::from(login.password().unwrap_or("guest"));
    let management = Management::new(base, user, password)?;
    let address = Address {
        host,
        port: amqp.port().unwrap_or(STANDARD_PORT),
    };
    if let Err(error) = management.call(Method::GET, "whoami", None).await {
        return Err(away(&management, &address, error));
    }
    management.administers().await.map_err(|why| {
        ProvisionError::transient(format!(
            "RabbitMQ's management at {} does not let Towpath in: {why}",
            management.address()
        ))
        .remedy(
            "correct user and password in TOWPATH_AMQP_MANAGEMENT_URL, whose user needs the tag \
             `administrator`; it is tried again by itself",
        )
    })?;
    Ok(AmqpServer {
        management,
        address,
    })
}

async fn tool(name: &str, args: &[&str], input: &str) -> Result<(), ProvisionError> {
    let Some(program) = program::find(name, &["/usr/sbin".into()]) else {
        return Err(ProvisionError::permanent(format!(
            "there is no `{name}` on this machine"
        )));
    };
    let run = Run {
        program: &program,
        args,
        env: &[],
        account: None,
        input,
        limit: TOOL_LIMIT,
    };
    run.output().await.map(|_| ())
}

/// Makes our administrator with the server's own tool, which root may use.
async fn make_administrator(name: &str, password: &SecretText) -> Result<(), ProvisionError> {
    let line = format!("{}\n", password.expose());
    // One that is there already, with another password, is given this one.
    if tool("rabbitmqctl", &["add_user", name], &line)
        .await
        .is_err()
    {
        tool("rabbitmqctl", &["change_password", name], &line).await?;
    }
    tool("rabbitmqctl", &["set_user_tags", name, "administrator"], "").await
}

fn write_settings(
    home: &Home,
    ports: &Ports,
    administrator: &str,
    password: &SecretText,
) -> Result<(), ProvisionError> {
    let settings = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         management.tcp.ip = 127.0.0.1\n\
         management.tcp.port = {}\n\
         default_user = {administrator}\n\
         default_pass = {}\n",
        ports.amqp,
        ports.management,
        password.expose()
    );
    home.write_for_server(&home.directory.join("rabbitmq.conf"), settings.as_bytes())?;
    home.write_for_server(
        &home.directory.join("enabled_plugins"),
        b"[rabbitmq_management].\n",
    )
}

fn launch(
    home: &Home,
    program: PathBuf,
    ports: &Ports,
    administrator: &str,
    probe: Probe,
) -> Launch {
    let directory = &home.directory;
    let pid_file = directory.join(SORT.pid_file);
    let env = [
        ("HOME", directory.into()),
        // A name of its own, so that it stands beside another on this machine.
        (
            "RABBITMQ_NODENAME",
            format!("{administrator}@localhost").into(),
        ),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string().into()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        (
            "RABBITMQ_CONFIG_FILE",
            directory.join("rabbitmq.conf").into(),
        ),
        (
            "RABBITMQ_ENABLED_PLUGINS_FILE",
            directory.join("enabled_plugins").into(),
        ),
        ("RABBITMQ_MNESIA_BASE", directory.join("mnesia").into()),
        ("RABBITMQ_LOG_BASE", directory.join("log").into()),
        ("RABBITMQ_LOGS", "-".into()),
        ("RABBITMQ_PID_FILE", pid_file.clone().into()),
    ];
    Launch {
        name: SORT.started.to_owned(),
        program,
        args: Vec::new(),
        env: env.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        account: become_one_of(&ACCOUNTS),
        directory: directory.clone(),
        pid_file,
        stop_signal: SORT.stop_signal,
        probe,
    }
}

/// The management is up a while before the port for workloads.
fn probe(management: &Management, port: u16) -> Probe {
    let management = management.clone();
    Arc::new(move || {
        let management = management.clone();
        Box::pin(async move { management.administers().await.is_ok() && speaks(port).await })
    })
}

/// Whether RabbitMQ itself answers on `port` of this machine: before that of a container, Docker takes
/// connections that nobody answers yet.
async fn speaks(port: u16) -> bool {
    let greeted = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        stream.read_u8().await
    };
    matches!(timeout(GREETING_LIMIT, greeted).await, Ok(Ok(_)))
}
