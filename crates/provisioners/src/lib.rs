//! What makes the resources that workloads ask for, on real servers.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod amqp;
mod atomic_file;
mod command;
mod dns;
mod environment;
mod host;
mod hosts_file;
mod mysql;
mod params;
mod postgres;
mod redis;
mod route;
mod s3;
mod secret;
mod servers;
mod service_port;
mod template;
mod volume;

pub use amqp::Amqp;
pub use command::Command;
pub use dns::Dns;
pub use environment::EnvironmentValues;
pub use host::Domains;
pub use mysql::Mysql;
pub use postgres::Postgres;
pub use redis::Redis;
pub use route::Route;
pub use s3::{Endpoint, S3, S3Config, S3Server};
pub use secret::{Secret, TeamSecret, TeamSecrets};
pub use servers::{RunningServer, Servers, ServersConfig, running_servers};
pub use service_port::{ServicePort, ServicePortState};
pub use template::Template;
pub use volume::Volume;
