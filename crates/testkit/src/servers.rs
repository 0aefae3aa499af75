//! Real servers: where tests find them, and what happens where there is none.
//!
//! Each is looked for at the URL in `TOWPATH_TEST_<NAME>_URL`, then at its standard place on this
//! machine. Where it is absent the test says `SKIP: ...` and passes, unless the environment variable
//! `TOWPATH_TEST_REQUIRE` (`postgres,redis,...`) names it: then the test fails.

mod kubernetes;
mod nats;
mod npm;
mod postgres;
mod postgres_server;

use std::{
    env,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::kubernetes::{Beside, Kubernetes, kubernetes};
pub use self::nats::{NatsServer, nats};
pub use self::npm::npm;
pub use self::postgres::{PostgresDatabase, postgres, postgres_database};
pub use self::postgres_server::{PostgresServer, postgres_server};

/// How long a server on this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// `found`, or the end of the test: says why it is skipped.
///
/// # Panics
/// Where it is absent and `TOWPATH_TEST_REQUIRE` names it.
pub fn require<T>(name: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(reason) => {
            let required = env::var("TOWPATH_TEST_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|one| one.trim() == name),
                "TOWPATH_TEST_REQUIRE names {name}, but {reason}"
            );
            #[expect(clippy::print_stdout, reason = "people read it in the test's output")]
            {
                println!("SKIP: {name}: {reason}");
            }
            None
        }
    }
}

/// Redis, as an administrator: `redis://127.0.0.1:6379`.
pub fn redis() -> Option<String> {
    require("redis", at("REDIS", 6379, "redis://127.0.0.1:6379"))
}

/// RabbitMQ, as an administrator: `amqp://guest:guest@127.0.0.1:5672`.
pub fn amqp() -> Option<String> {
    let standard = "amqp://guest:guest@127.0.0.1:5672";
    require("amqp", at("AMQP", 5672, standard))
}

/// MySQL or MariaDB, as an administrator: over the socket that Debian lets root in by.
pub fn mysql() -> Option<String> {
    let socket = "/run/mysqld/mysqld.sock";
    let found = configured("MYSQL").map_or_else(
        || {
            if std::os::unix::net::UnixStream::connect(socket).is_ok() {
                Ok(format!("mysql://root@localhost/?socket={socket}"))
            } else {
                Err(format!(
                    "nothing listens on {socket}, and TOWPATH_TEST_MYSQL_URL is not set"
                ))
            }
        },
        Ok,
    );
    require("mysql", found)
}

/// An S3 endpoint that is not our own: only where it is configured.
pub fn s3() -> Option<String> {
    let found = configured("S3").ok_or_else(|| "TOWPATH_TEST_S3_URL is not set".to_owned());
    require("s3", found)
}

/// The socket of a Docker engine that answers.
pub fn docker() -> Option<PathBuf> {
    let socket = env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/var/run/docker.sock"));
    let found = match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => Ok(socket),
        Err(error) => Err(format!("no Docker engine at {}: {error}", socket.display())),
    };
    require("docker", found)
}

/// The program nginx.
pub fn nginx() -> Option<PathBuf> {
    require("nginx", program("nginx"))
}

/// A program in `PATH`, or in the directories for administrators, which are not in everyone's.
///
/// # Errors
/// Says that it is not there.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| Path::is_file(file))
        .ok_or_else(|| format!("the program {name} is not installed"))
}

fn configured(name: &str) -> Option<String> {
    env::var(format!("TOWPATH_TEST_{name}_URL")).ok()
}

fn at(name: &str, port: u16, standard: &str) -> Result<String, String> {
    match configured(name) {
        Some(url) => Ok(url),
        None if listens(port) => Ok(standard.to_owned()),
        None => Err(format!(
            "nothing listens on port {port}, and TOWPATH_TEST_{name}_URL is not set"
        )),
    }
}

fn listens(port: u16) -> bool {
    let addresses = ("127.0.0.1", port).to_socket_addrs();
    let reachable = |address: SocketAddr| TcpStream::connect_timeout(&address, PATIENCE).is_ok();
    addresses.is_ok_and(|mut addresses| addresses.any(reachable))
}
