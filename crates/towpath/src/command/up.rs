//! `towpath up`

mod lifetimes;
mod log;
mod s3;
mod secrets;

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;
use kernel::{Error, ErrorKind, Secret};
use server::{Config, HostsFile, Servers};
use tokio::signal::unix::{SignalKind, signal};

use self::lifetimes::LifetimeArgs;
use crate::{
    background::PidFile,
    context::{Context, address_file},
    exit::Exit,
    failure::{Failure, Result},
    logins::LoginFile,
    render::quantity::{parse_address, parse_duration, parse_ip, parse_whole},
};

/// Run a platform in the foreground
///
/// All its state is kept in the data directory; servers that it starts as root may have their files below
/// /var/lib/towpath, and a note in the data directory says where. It needs nothing else installed: it uses a database
/// server that a workload needs if it finds one, and otherwise starts one itself. Ctrl-C stops it; workloads go on,
/// and are found again at the next start.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath up\n  towpath up --data ./towpath-data --listen 127.0.0.1:8070\n  towpath up --store postgres://towpath@db.example.com/towpath --domain apps.example.com\n\nThe log goes to standard error; RUST_LOG=debug says more, -o json writes it as JSON."
)]
pub(crate) struct Up {
    /// Where the API listens
    #[arg(long, env = "TOWPATH_LISTEN", value_name = "ADDRESS", default_value_t = loopback(Config::PORT), value_parser = parse_address)]
    listen: SocketAddr,
    /// Where the gateway listens
    #[arg(long, env = "TOWPATH_GATEWAY_LISTEN", value_name = "ADDRESS", default_value_t = loopback(Config::GATEWAY_PORT), value_parser = parse_address)]
    gateway_listen: SocketAddr,
    /// Where the embedded S3 server listens
    #[arg(long, env = "TOWPATH_S3_LISTEN", value_name = "ADDRESS", default_value_t = loopback(Config::S3_PORT), value_parser = parse_address)]
    s3_listen: SocketAddr,
    /// The store: postgres://... [default: SQLite in the data directory]
    #[arg(
        long,
        env = "TOWPATH_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    store: Option<String>,
    /// Workloads are reached at WORKLOAD.ENVIRONMENT.DOMAIN
    #[arg(
        long,
        env = "TOWPATH_DOMAIN",
        value_name = "DOMAIN",
        default_value = "localhost"
    )]
    domain: String,
    /// What runs workloads unless an environment says otherwise: process or docker
    #[arg(
        long,
        env = "TOWPATH_ENGINE",
        value_name = "ENGINE",
        default_value = "process"
    )]
    engine: String,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    outlets: OutletArgs,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    s3: s3::S3Args,
    #[command(flatten)]
    vault: secrets::VaultArgs,
    #[command(flatten)]
    key: secrets::KeyArgs,
}

/// Who may call.
#[derive(Debug, Args)]
#[command(next_help_heading = "Identity")]
struct IdentityArgs {
    /// Where users reach the API: https://towpath.example.com. Tokens name it as their issuer, and
    /// replicas share it [default: http://127.0.0.1 and the port of --listen]
    #[arg(long, env = "TOWPATH_ISSUER", value_name = "URL")]
    issuer: Option<String>,
    /// Members of this group operate the platform. It is a group of the local source, unless another is named
    /// (`github:acme/platform`). May be given again; the variable takes several, separated by commas
    #[arg(
        long,
        env = "TOWPATH_ADMIN_GROUPS",
        value_name = "[SOURCE:]GROUP",
        value_delimiter = ',',
        default_value = "platform"
    )]
    admin_group: Vec<String>,
    /// Members of this group onboard teams. It is a group of the local source, unless another is named
    #[arg(
        long,
        env = "TOWPATH_MANAGERS_GROUP",
        value_name = "[SOURCE:]GROUP",
        default_value = "managers"
    )]
    managers_group: String,
    /// Let service accounts of this team, which keeps other tools in step with teams, see all teams and who is in
    /// them. May be given again; the variable takes several, separated by commas
    #[arg(
        long = "keepers",
        env = "TOWPATH_KEEPERS",
        value_name = "TEAM",
        value_delimiter = ','
    )]
    keepers: Vec<String>,
    /// How often to send `team.sync` for each team although nothing has changed
    #[arg(long, env = "TOWPATH_TEAM_SYNC", value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    team_sync: std::time::Duration,
    /// Trust what this proxy says about where a request comes from. May be given again; the variable takes several,
    /// separated by commas
    #[arg(
        long,
        env = "TOWPATH_TRUSTED_PROXIES",
        value_name = "IP",
        value_delimiter = ',',
        value_parser = parse_ip
    )]
    trusted_proxy: Vec<IpAddr>,
    /// The claim of tokens in which programs find a person's groups, beside `groups`: a URL that the
    /// organization owns
    #[arg(
        long,
        env = "TOWPATH_TEAMS_CLAIM",
        value_name = "NAME",
        default_value = server::TEAMS_CLAIM
    )]
    teams_claim: String,
    /// Whether local users log in with their passwords; with `false` people log in through upstreams only
    #[arg(
        long,
        env = "TOWPATH_LOCAL_LOGIN",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set
    )]
    local_login: bool,
    /// Allow people's providers, and issuers that teams trust, to be at private addresses
    #[arg(long, env = "TOWPATH_PRIVATE_UPSTREAMS")]
    private_upstreams: bool,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
}

/// Where events are sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "Subscriptions")]
struct OutletArgs {
    /// Allow webhooks and integrations to this network as well, with TLS or without: 10.1.0.0/16. May be given again;
    /// the variable takes several, separated by commas
    #[arg(
        long,
        env = "TOWPATH_WEBHOOKS_ALLOW",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    webhooks_allow: Vec<kernel::outbound::Network>,
    /// How many subscriptions a team may have
    #[arg(
        long,
        env = "TOWPATH_TEAM_SUBSCRIPTIONS",
        value_name = "COUNT",
        value_parser = parse_whole::<usize>,
        default_value_t = subscriptions::Settings::PER_TEAM
    )]
    team_subscriptions: usize,
    /// Publish all events to the JetStream of this NATS server as well
    #[arg(
        long,
        env = "TOWPATH_NATS_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    nats_url: Option<String>,
}

/// Names of hosts beyond those below the domain.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host names")]
struct NameArgs {
    /// Let a team claim a domain and everything below it: shop.example.com=checkout. May be given again; the variable
    /// takes several, separated by commas
    #[arg(
        long,
        env = "TOWPATH_ALLOT_DOMAIN",
        value_name = "DOMAIN=TEAM",
        value_delimiter = ',',
        value_parser = allotment
    )]
    allot_domain: Vec<(String, String)>,
    /// Keep records of host names in this file, in the format of hosts(5), for a name server to serve
    #[arg(long, env = "TOWPATH_HOSTS_FILE", value_name = "FILE")]
    hosts_file: Option<PathBuf>,
    /// The address in these records [default: where the gateway listens]
    #[arg(
        long,
        env = "TOWPATH_HOSTS_ADDRESS",
        value_name = "IP",
        value_parser = parse_ip,
        requires = "hosts_file"
    )]
    hosts_address: Option<IpAddr>,
}

/// `DOMAIN=TEAM`.
fn allotment(text: &str) -> std::result::Result<(String, String), String> {
    let (domain, team) = text
        .split_once('=')
        .ok_or("it is to be like shop.example.com=checkout")?;
    Ok((domain.trim().to_owned(), team.trim().to_owned()))
}

/// Servers for the resources of workloads.
#[derive(Debug, Args)]
#[command(
    next_help_heading = "Servers for resources (default: found on this machine, else started)"
)]
struct ServerArgs {
    /// The Postgres server, with an account that may make databases and roles
    #[arg(
        long,
        env = "TOWPATH_POSTGRES_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    postgres: Option<String>,
    /// The MySQL or MariaDB server, with such an account
    #[arg(
        long,
        env = "TOWPATH_MYSQL_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    mysql: Option<String>,
    /// The Redis server
    #[arg(
        long,
        env = "TOWPATH_REDIS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    redis: Option<String>,
    /// The RabbitMQ broker
    #[arg(
        long,
        env = "TOWPATH_AMQP_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    amqp: Option<String>,
    /// The management API of the same broker
    #[arg(
        long,
        env = "TOWPATH_AMQP_MANAGEMENT_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    amqp_management: Option<String>,
    /// Start no server: use those that are configured or found
    #[arg(long)]
    no_start_servers: bool,
}

impl ServerArgs {
    /// Refuses the address of a server of another sort; it is not shown, since it may hold a password.
    fn check(&self) -> Result<()> {
        for (option, url, schemes) in [
            (
                "--postgres",
                &self.postgres,
                ["postgres://", "postgresql://"],
            ),
            ("--mysql", &self.mysql, ["mysql://", "mariadb://"]),
            ("--amqp", &self.amqp, ["amqp://", "amqps://"]),
        ] {
            let url = url.as_deref().unwrap_or_default();
            if url.is_empty() || schemes.iter().any(|scheme| url.starts_with(scheme)) {
                continue;
            }
            return Err(
                Failure::usage(format!("what {option} names is no such server")).remedy(format!(
                    "give an address that begins with `{}`",
                    schemes.join("` or `")
                )),
            );
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Writes the platform's address down: whole or not at all, since others may be reading it.
fn write_address(data: &Path, api: SocketAddr) -> Result<()> {
    let address = address_file(data);
    let new = address.with_extension("new");
    std::fs::write(&new, format!("http://{api}\n"))
        .and_then(|()| std::fs::rename(&new, &address))
        .map_err(|e| Failure::io(&format!("{} cannot be written", address.display()), &e))
}

impl Up {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        log::write(context);
        if std::env::args().any(|argument| has_password(&argument)) {
            context.say(
                "warning: other users of this machine can read a password on the command line: give \
                 the address in TOWPATH_STORE, TOWPATH_POSTGRES_URL and the like instead",
            );
        }
        let data = context.data()?;
        let pid = PidFile::of(&data);
        let mut interrupt = stop_signal(SignalKind::interrupt())?;
        let mut terminate = stop_signal(SignalKind::terminate())?;
        let mut running = match server::start(self.config(&data)?).await {
            Ok(running) => running,
            Err(error) => {
                let twice = self.runs_already(&data, &pid, &error);
                return Err(twice.unwrap_or_else(|| error.into()));
            }
        };
        pid.write()?;
        write_address(&data, running.api)?;
        context.say(&format!(
            "towpath is up: the API at http://{}, workloads at http://WORKLOAD.ENVIRONMENT.{}:{}",
            running.api,
            self.domain,
            running.gateway.port(),
        ));
        let store = running.delivery().store();
        self.s3.tell_moved(context, store, self.s3_listen).await;
        self.s3.tell_shared(context);
        let ended = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            failure = running.failed() => Err(failure),
        };
        context.say("towpath stops; workloads go on");
        let stopped = running.stop().await;
        pid.remove();
        ended?;
        Ok(stopped?)
    }

    /// That a platform of the same data directory is why this one does not start: who has its ports is no other
    /// program. Several that share a store may share the directory.
    fn runs_already(&self, data: &Path, pid: &PidFile, error: &Error) -> Option<Failure> {
        let taken = matches!(
            error.kind,
            ErrorKind::Unavailable | ErrorKind::AlreadyExists
        );
        if self.store.is_some() || !taken {
            return None;
        }
        let process = pid.running()?.as_raw_nonzero();
        let (store, data) = (data.join("towpath.db"), data.display());
        Some(
            Failure::new(
                Exit::Conflict,
                format!(
                    "{} is in use by another Towpath (process {process})",
                    store.display()
                ),
            )
            .remedy(format!(
                "stop it first, `towpath down --data {data}`; or name another data directory with --data"
            )),
        )
    }

    fn config(&self, data: &Path) -> Result<Config> {
        self.servers.check()?;
        let (servers, names) = (&self.servers, &self.names);
        Ok(Config {
            store: self.store.as_deref().map(Secret::from),
            listen: self.listen,
            gateway_listen: self.gateway_listen,
            s3_listen: self.s3_listen,
            s3_endpoint: self.s3.endpoint()?,
            vault: self.vault.vault()?,
            key_file: self.key.key_file.clone(),
            former_key_files: self.key.former_key_file.clone(),
            transit_key: self.key.key_transit.clone(),
            domain: self.domain.clone(),
            allotted: names.allot_domain.clone(),
            hosts_file: names.hosts_file.clone().map(|path| HostsFile {
                path,
                address: names.hosts_address,
            }),
            issuer: self.identity.issuer.clone(),
            admin_groups: self.identity.admin_group.clone(),
            managers_group: self.identity.managers_group.clone(),
            keepers: self.identity.keepers.clone(),
            teams_claim: self.identity.teams_claim.clone(),
            local_login: self.identity.local_login,
            sync_every: self.identity.team_sync,
            trusted_proxies: self.identity.trusted_proxy.clone(),
            private_upstreams: self.identity.private_upstreams,
            lifetimes: self.identity.lifetimes.lifetimes(),
            webhooks_allow: self.outlets.webhooks_allow.clone(),
            team_subscriptions: self.outlets.team_subscriptions,
            nats: self.outlets.nats_url.clone().map(Secret::from),
            engine: self.engine.clone(),
            servers: Servers {
                postgres: servers.postgres.clone(),
                mysql: servers.mysql.clone(),
                redis: servers.redis.clone(),
                amqp: servers.amqp.clone(),
                amqp_management: servers.amqp_management.clone(),
            },
            start_servers: !servers.no_start_servers,
            private: private(),
            ..Config::local(data)
        })
    }
}

/// Where this user's logins are, which workloads must not see. Made already: what is not there cannot be
/// hidden from a workload that starts before the first login.
fn private() -> Vec<PathBuf> {
    let Some(file) = LoginFile::find() else {
        return vec![];
    };
    match file.private() {
        Ok((directories, None)) => directories,
        Ok((directories, Some(exposed))) => {
            // A file is replaced with each renewal, and what hides one goes with it.
            tracing::warn!(
                file = %exposed.display(),
                "workloads of the process engine may see logins of this user: keep them in a directory \
                 of their own"
            );
            directories
        }
        Err(error) => {
            tracing::warn!(%error, "workloads may see logins of this user");
            vec![]
        }
    }
}

/// Whether an argument is an address with a password in it.
fn has_password(argument: &str) -> bool {
    argument
        .split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?']).next()?.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

fn stop_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|e| Failure::io("signals cannot be received", &e))
}

#[cfg(test)]
mod tests {
    use super::has_password;

    #[test]
    fn passwords_in_arguments_are_noticed() {
        for with in [
            "postgres://u:p@host/db",
            "--postgres=postgres://u:p@[::1]:5432",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "up",
            "postgres://u@host/db",
            "http://127.0.0.1:80/a:b@c",
            "a:b@c",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }
}
