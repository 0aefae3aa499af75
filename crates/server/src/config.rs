//! Configuration: one typed value, checked before anything starts.

mod s3_endpoint;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use kernel::{
    Error, Problem, Result, Secret,
    outbound::{Network, Reach},
};
use policy::RegoAuthorizer;
use secrets::VaultConfig;
use subscriptions::NatsOutlet;

pub use self::s3_endpoint::S3Endpoint;

/// How a platform is run. Made from the command line and the environment by the binary, and by
/// tests.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything of this machine is kept: the embedded store, the platform's key, the admin
    /// token, logs, volumes, buckets, servers that Towpath starts.
    pub data: PathBuf,
    /// The store, as URL, with its password; the embedded SQLite in `data` where it is not given.
    pub store: Option<Secret>,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the gateway listens.
    pub gateway_listen: SocketAddr,
    /// Where the embedded S3 server listens.
    pub s3_listen: SocketAddr,
    /// The S3 endpoint on which buckets are made, in place of the embedded server.
    pub s3_endpoint: Option<S3Endpoint>,
    /// Workloads are reached at `WORKLOAD.ENVIRONMENT.<domain>`.
    pub domain: String,
    /// Domains allotted to teams, which may claim them and all below them: `(domain, team)`.
    pub allotted: Vec<(String, String)>,
    /// Where records of claimed names below other domains than `localhost` are kept.
    pub hosts_file: Option<HostsFile>,
    /// The Vault that teams' secrets are kept in, in place of the platform's own store.
    pub vault: Option<VaultConfig>,
    /// The file with the platform's key, by which secrets are sealed; `platform.key` in `data` where it is not
    /// given.
    pub key_file: Option<PathBuf>,
    /// Files with keys that secrets may be sealed by, too: former ones, until all is sealed anew.
    pub former_key_files: Vec<PathBuf>,
    /// The key of the Transit engine of [`Config::vault`] that encrypts the platform's key.
    pub transit_key: Option<String>,
    /// Where users reach the API, and what tokens name as their issuer: an https URL, or http on the
    /// loopback interface; this machine's own where nothing is said.
    pub issuer: Option<String>,
    /// Members of these groups operate the platform: `[SOURCE:]GROUP`, of the local source where none is named.
    pub admin_groups: Vec<String>,
    /// Members of this group onboard teams: `[SOURCE:]GROUP` likewise.
    pub managers_group: String,
    /// Service accounts of these teams see all teams and who is in them.
    pub keepers: Vec<String>,
    /// How often each team is told of (`team.sync`) although nothing has changed.
    pub sync_every: Duration,
    /// The claim of tokens that lists a person's groups, beside `groups`.
    pub teams_claim: String,
    /// Whether users of the platform's own source log in with their passwords; else by upstreams alone.
    pub local_login: bool,
    /// Proxies before the API whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Whether people's providers, and issuers that teams trust, may be at private addresses.
    pub private_upstreams: bool,
    /// How long tokens, sessions and codes last.
    pub lifetimes: identity::Lifetimes,
    /// Networks that webhooks and integrations may lead to, beside the public internet.
    pub webhooks_allow: Vec<Network>,
    /// Subscriptions that a team may have.
    pub team_subscriptions: usize,
    /// The NATS server whose JetStream gets all events, as URL, with its password.
    pub nats: Option<Secret>,
    /// The engine of environments whose maker does not choose: `process` or `docker`.
    pub engine: String,
    /// Servers of the provisioners, where they are configured rather than found or started.
    pub servers: Servers,
    /// Whether Towpath may start servers itself.
    pub start_servers: bool,
    /// How to start the engine's shim: a program and its first arguments. This program by default.
    pub shim: Vec<std::ffi::OsString>,
    /// Directories that workloads must not see although they run as this user, beside `data`.
    pub private: Vec<PathBuf>,
}

/// A file in the form of hosts(5) that a name server serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsFile {
    /// The file; what others write there stays.
    pub path: PathBuf,
    /// Where its records lead; the gateway's own address where it is not given.
    pub address: Option<IpAddr>,
}

impl HostsFile {
    /// Where records lead, with the gateway listening on `gateway`.
    pub(crate) fn leads_to(&self, gateway: IpAddr) -> Option<IpAddr> {
        self.address
            .or(Some(gateway).filter(|ip| !ip.is_unspecified()))
    }
}

/// Admin addresses of servers. They carry passwords: never shown.
#[derive(Clone, Default)]
pub struct Servers {
    /// `postgres://ADMIN:PASSWORD@HOST:PORT/postgres`.
    pub postgres: Option<String>,
    /// `mysql://ADMIN:PASSWORD@HOST:PORT`.
    pub mysql: Option<String>,
    /// `redis://:PASSWORD@HOST:PORT`.
    pub redis: Option<String>,
    /// `amqp://ADMIN:PASSWORD@HOST:PORT`.
    pub amqp: Option<String>,
    /// The management API of the same broker: `http://ADMIN:PASSWORD@HOST:15672`.
    pub amqp_management: Option<String>,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = [
            ("postgres", &self.postgres),
            ("mysql", &self.mysql),
            ("redis", &self.redis),
            ("amqp", &self.amqp),
            ("amqp_management", &self.amqp_management),
        ];
        let given = known
            .iter()
            .filter(|(_, url)| url.is_some())
            .map(|(name, _)| name);
        f.debug_set().entries(given).finish()
    }
}

impl Config {
    /// The port of the API where nothing is said.
    pub const PORT: u16 = 7070;
    /// The port of the gateway where nothing is said.
    pub const GATEWAY_PORT: u16 = 7080;
    /// The port of the embedded S3 server where nothing is said.
    pub const S3_PORT: u16 = 7090;

    /// The defaults of one machine, with everything below `data`.
    pub fn local(data: impl Into<PathBuf>) -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let this_program = std::env::current_exe()
            .unwrap_or_else(|_| PathBuf::from("towpath"))
            .into_os_string();
        Self {
            data: data.into(),
            store: None,
            listen: loopback(Self::PORT),
            gateway_listen: loopback(Self::GATEWAY_PORT),
            s3_listen: loopback(Self::S3_PORT),
            s3_endpoint: None,
            domain: "localhost".into(),
            allotted: Vec::new(),
            hosts_file: None,
            vault: None,
            key_file: None,
            former_key_files: Vec::new(),
            transit_key: None,
            issuer: None,
            admin_groups: vec!["platform".into()],
            managers_group: RegoAuthorizer::MANAGERS.into(),
            keepers: vec![],
            sync_every: teams::Settings::SYNC_EVERY,
            teams_claim: identity::Settings::TEAMS_CLAIM.into(),
            local_login: true,
            trusted_proxies: vec![],
            private_upstreams: false,
            lifetimes: identity::Lifetimes::default(),
            webhooks_allow: vec![],
            team_subscriptions: subscriptions::Settings::PER_TEAM,
            nats: None,
            engine: "process".into(),
            servers: Servers::default(),
            start_servers: true,
            shim: vec![this_program, "engine-shim".into()],
            private: vec![],
        }
    }

    /// What identity is told, with the API listening on `api`.
    pub(crate) fn identity(&self, api: SocketAddr) -> identity::Settings {
        let own = format!("http://127.0.0.1:{}", api.port());
        identity::Settings {
            admin_groups: self.admin_groups.clone(),
            teams_claim: self.teams_claim.clone(),
            local_login: self.local_login,
            trusted_proxies: self.trusted_proxies.clone(),
            allow_private_upstreams: self.private_upstreams,
            lifetimes: self.lifetimes.clone(),
            ..identity::Settings::new(self.issuer.clone().unwrap_or(own))
        }
    }

    /// What teams are told.
    pub(crate) fn teams(&self) -> teams::Settings {
        teams::Settings::every(self.sync_every)
    }

    /// Groups that no team may have, of any source: one of that name elsewhere is taken for it too easily.
    pub(crate) fn reserved_groups(&self) -> Vec<String> {
        let name = |group: &String| match group.split_once(':') {
            Some((_, group)) => group.to_owned(),
            None => group.clone(),
        };
        self.powerful_groups().map(name).collect()
    }

    /// The groups whose members may more than others.
    fn powerful_groups(&self) -> impl Iterator<Item = &String> {
        self.admin_groups.iter().chain([&self.managers_group])
    }

    /// Where webhooks and integrations may lead.
    pub(crate) fn reach(&self) -> Reach {
        Reach::public_and(self.webhooks_allow.clone())
    }

    /// What subscriptions are told.
    pub(crate) fn subscriptions(&self) -> subscriptions::Settings {
        subscriptions::Settings {
            reach: self.reach(),
            per_team: self.team_subscriptions,
            words: &publications::model::WORDS,
            ..subscriptions::Settings::default()
        }
    }

    /// The store's URL.
    pub(crate) fn store_url(&self) -> String {
        match self.store.as_ref().and_then(Secret::expose_str) {
            Some(url) => url.to_owned(),
            None => format!("sqlite://{}", self.data.join("towpath.db").display()),
        }
    }

    /// Everything that is wrong with it, at once.
    pub fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        if !self.data.is_absolute() {
            problems.push(
                Problem::new(
                    "config/data",
                    "data",
                    "the data directory is not an absolute path",
                )
                .remedy("give --data or TOWPATH_DATA with a path that begins with `/`"),
            );
        }
        if self.store.is_some()
            && !["postgres://", "postgresql://", "sqlite://"]
                .iter()
                .any(|scheme| self.store_url().starts_with(scheme))
        {
            problems.push(
                Problem::new(
                    "config/store",
                    "store",
                    "the store is neither SQLite nor Postgres",
                )
                .remedy("give a URL that begins with `postgres://` or `sqlite://`"),
            );
        }
        if !is_domain(&self.domain) {
            problems.push(
                Problem::new("config/domain", "domain", "the domain is not a host name")
                    .remedy("give something like `localhost` or `apps.example.com`"),
            );
        }
        problems.extend(self.wrong_names());
        problems.extend(self.wrong_groups());
        problems.extend(self.nats.as_ref().and_then(NatsOutlet::wrong_url));
        problems.extend(self.wrong_s3());
        problems.extend(self.wrong_vault());
        if !["process", "docker"].contains(&self.engine.as_str()) {
            problems.push(
                Problem::new(
                    "config/engine",
                    "engine",
                    format!("there is no engine `{}`", self.engine),
                )
                .remedy("choose `process` or `docker`"),
            );
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::problems("the configuration is not usable", problems))
        }
    }

    fn wrong_names(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (domain, team) in &self.allotted {
            if !is_domain(domain) || kernel::Name::new(team.as_str()).is_err() {
                problems.push(
                    Problem::new(
                        "config/allotted",
                        "allotted",
                        format!("`{domain}={team}` is no domain with the name of a team"),
                    )
                    .remedy("give something like `shop.example.com=checkout`"),
                );
            }
        }
        if let Some(file) = &self.hosts_file {
            if !file.path.is_absolute() {
                problems.push(
                    Problem::new(
                        "config/hosts-file",
                        "hosts_file",
                        "the hosts file is not an absolute path",
                    )
                    .remedy("give a path that begins with `/`"),
                );
            }
            if file.leads_to(self.gateway_listen.ip()).is_none() {
                problems.push(
                    Problem::new(
                        "config/hosts-address",
                        "hosts_file",
                        "the gateway listens on all addresses: which of them is to be in the hosts \
                         file is not known",
                    )
                    .remedy("give --hosts-address or TOWPATH_HOSTS_ADDRESS"),
                );
            }
        }
        problems
    }

    fn wrong_groups(&self) -> Vec<Problem> {
        let is_none = |group: &&String| {
            let (source, name) = group.split_once(':').unwrap_or(("local", group.as_str()));
            source.is_empty() || name.is_empty()
        };
        let wrong = self.powerful_groups().filter(is_none);
        wrong
            .map(|group| {
                Problem::new("config/group", "groups", format!("`{group}` is no group")).remedy(
                    "name a group of the local source, `platform`, or one of another, `github:acme/platform`",
                )
            })
            .collect()
    }

    fn wrong_s3(&self) -> Option<Problem> {
        let error = self.s3_endpoint.as_ref()?.connect().err()?;
        Some(problem_of("config/s3", "s3_endpoint", error))
    }

    fn wrong_vault(&self) -> Option<Problem> {
        let Some(vault) = &self.vault else {
            let alone = Problem::new(
                "config/transit",
                "transit_key",
                "the platform's key is to be encrypted by Vault, and no Vault is given",
            );
            let alone = alone.remedy("name it with --secrets-vault");
            return self.transit_key.is_some().then_some(alone);
        };
        let error = vault.check().err()?;
        Some(problem_of("config/vault", "vault", error))
    }
}

fn problem_of(rule: &str, path: &str, error: Error) -> Problem {
    let problem = Problem::new(rule, path, error.message);
    match error.remedy {
        Some(remedy) => problem.remedy(remedy),
        None => problem,
    }
}

fn is_domain(domain: &str) -> bool {
    domain
        .split('.')
        .all(|label| kernel::Name::new(label).is_ok())
}

#[cfg(test)]
mod tests {
    use secrets::Login;

    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let config = Config {
            store: Some("oracle://".into()),
            domain: "not a host".into(),
            allotted: vec![("shop.example.com".into(), String::new())],
            hosts_file: Some(HostsFile {
                path: "hosts".into(),
                address: None,
            }),
            gateway_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80)),
            s3_endpoint: Some(endpoint("s3.example.com")),
            vault: Some(VaultConfig::new("vault", Login::Token("canary".into()))),
            managers_group: "github:".into(),
            engine: "magic".into(),
            ..Config::local("relative")
        };
        let error = config.check().unwrap_err();
        let rules: Vec<_> = error.problems.iter().map(|p| p.rule.as_str()).collect();
        assert_eq!(
            rules,
            [
                "config/data",
                "config/store",
                "config/domain",
                "config/allotted",
                "config/hosts-file",
                "config/hosts-address",
                "config/group",
                "config/s3",
                "config/vault",
                "config/engine"
            ]
        );
    }

    fn endpoint(url: &str) -> S3Endpoint {
        S3Endpoint {
            url: url.into(),
            region: "us-east-1".into(),
            access_key_id: "id".into(),
            secret_access_key: Secret::from("canary"),
            iam: None,
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let config = Config {
            store: Some("postgres://a:canary@h/".into()),
            s3_endpoint: Some(endpoint("https://s3.example.com")),
            servers: Servers {
                postgres: Some("postgres://a:canary@h/".into()),
                ..Servers::default()
            },
            ..Config::local("/data")
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains(r#"servers: {"postgres"}"#), "{shown}");
    }

    #[test]
    fn an_address_with_a_password_is_refused_without_showing_it() {
        let config = Config {
            s3_endpoint: Some(endpoint("https://id:canary@s3.example.com")),
            ..Config::local("/data")
        };
        let error = config.check().unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }

    #[test]
    fn records_lead_to_the_gateway_where_nothing_else_is_said() {
        let mut file = HostsFile {
            path: "/etc/hosts".into(),
            address: None,
        };
        let (gateway, given) = ([10, 0, 0, 1].into(), [192, 0, 2, 1].into());
        assert_eq!(file.leads_to(gateway), Some(gateway));
        file.address = Some(given);
        assert_eq!(file.leads_to(gateway), Some(given));
    }
}
