//! What the environment variables say.

use std::{net::SocketAddr, str::FromStr as _};

use sqlx::postgres::PgConnectOptions;

/// Everything that differs from one place to another. Holds secrets.
pub struct Config {
    /// `HOST` and `PORT`: all addresses and 8080 unless they say otherwise.
    pub listen: SocketAddr,
    /// `DATABASE_URL`, or `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD` and `PGDATABASE`.
    pub database: PgConnectOptions,
    /// `S3_*`.
    pub bucket: BucketConfig,
    /// `GREETING`.
    pub greeting: String,
    /// `VERSION`.
    pub version: String,
}

/// Where attachments go.
pub struct BucketConfig {
    /// `S3_ENDPOINT`, a URL.
    pub endpoint: String,
    /// `S3_BUCKET`.
    pub name: String,
    /// `S3_REGION`; `us-east-1` where it is not set.
    pub region: String,
    /// `S3_ACCESS_KEY_ID`.
    pub key_id: String,
    /// `S3_SECRET_ACCESS_KEY`.
    pub secret: String,
}

/// A variable that is missing or wrong. Never shows a value that may be secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    variable: &'static str,
    wanted: &'static str,
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "set the environment variable {} to {}",
            self.variable, self.wanted
        )
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// `variable` must be `wanted`.
    pub fn new(variable: &'static str, wanted: &'static str) -> Self {
        Self { variable, wanted }
    }
}

impl Config {
    /// Reads each variable through `get`.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let need = |name: &'static str, wanted| set(name).ok_or(ConfigError::new(name, wanted));
        let host = set("HOST").unwrap_or_else(|| "0.0.0.0".into());
        let port = set("PORT").unwrap_or_else(|| "8080".into());
        let database = if let Some(url) = set("DATABASE_URL") {
            PgConnectOptions::from_str(&url)
                .map_err(|_| ConfigError::new("DATABASE_URL", "a postgres:// URL"))?
        } else {
            let port = set("PGPORT").unwrap_or_else(|| "5432".into());
            PgConnectOptions::new_without_pgpass()
                .host(&need(
                    "PGHOST",
                    "the database server's host (or set DATABASE_URL)",
                )?)
                .port(
                    port.parse()
                        .map_err(|_| ConfigError::new("PGPORT", "a port"))?,
                )
                .username(&need("PGUSER", "the database user")?)
                .password(&need("PGPASSWORD", "the database user's password")?)
                .database(&need("PGDATABASE", "the database's name")?)
        };
        Ok(Self {
            listen: SocketAddr::new(
                host.parse()
                    .map_err(|_| ConfigError::new("HOST", "an IP address"))?,
                port.parse()
                    .map_err(|_| ConfigError::new("PORT", "a port"))?,
            ),
            database: database.application_name("notes"),
            bucket: BucketConfig {
                endpoint: need("S3_ENDPOINT", "the URL of an S3 endpoint")?,
                name: need("S3_BUCKET", "the bucket's name")?,
                region: set("S3_REGION").unwrap_or_else(|| "us-east-1".into()),
                key_id: need("S3_ACCESS_KEY_ID", "the access key's id")?,
                secret: need("S3_SECRET_ACCESS_KEY", "the access key's secret")?,
            },
            greeting: set("GREETING").unwrap_or_else(|| "Notes".into()),
            version: set("VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").into()),
        })
    }
}
