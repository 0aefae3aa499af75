//! Configuration: one typed value, checked before anything starts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use kernel::{Error, Problem, Result};

/// How a platform is run. Made from the command line and the environment by the binary, and by
/// tests.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything of this machine is kept: the embedded store, the platform's key, the admin
    /// token, logs, volumes, buckets, servers that Towpath starts.
    pub data: PathBuf,
    /// The store, as URL; the embedded SQLite in `data` where it is not given.
    pub store: Option<String>,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Where the gateway listens.
    pub gateway_listen: SocketAddr,
    /// Where the embedded S3 server listens.
    pub s3_listen: SocketAddr,
    /// Workloads are reached at `WORKLOAD.ENVIRONMENT.<domain>`.
    pub domain: String,
    /// The engine of environments whose maker does not choose: `process` or `docker`.
    pub engine: String,
    /// Servers of the provisioners, where they are configured rather than found or started.
    pub servers: Servers,
    /// Whether Towpath may start servers itself.
    pub start_servers: bool,
    /// How to start the engine's shim: a program and its first arguments. This program by default.
    pub shim: Vec<std::ffi::OsString>,
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
            domain: "localhost".into(),
            engine: "process".into(),
            servers: Servers::default(),
            start_servers: true,
            shim: vec![this_program, "engine-shim".into()],
        }
    }

    /// The store's URL.
    pub fn store_url(&self) -> String {
        match &self.store {
            Some(url) => url.clone(),
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
        if let Some(url) = &self.store
            && !["postgres://", "postgresql://", "sqlite://"]
                .iter()
                .any(|s| url.starts_with(s))
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
        if self
            .domain
            .split('.')
            .any(|label| kernel::Name::new(label).is_err())
        {
            problems.push(
                Problem::new("config/domain", "domain", "the domain is not a host name")
                    .remedy("give something like `localhost` or `apps.example.com`"),
            );
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let config = Config {
            store: Some("oracle://".into()),
            domain: "not a host".into(),
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
                "config/engine"
            ]
        );
    }

    #[test]
    fn passwords_of_servers_are_not_shown() {
        let servers = Servers {
            postgres: Some("postgres://a:canary@h/".into()),
            ..Servers::default()
        };
        assert_eq!(format!("{servers:?}"), r#"{"postgres"}"#);
    }
}
