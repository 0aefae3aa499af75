//! `redis`: a room of its own in a Redis.
//!
//! There are two ways, chosen by the parameter `isolation`:
//!
//! - `server`: a Redis server for the instance alone, run by Towpath. Any program works as it is,
//!   with all of Redis' commands that are not the administrator's. It costs a process and a few
//!   megabytes for each instance.
//! - `prefix`: a user on a shared Redis who may touch only the keys and channels that begin with
//!   the output `prefix`. It costs nothing, but the program must put the prefix before all names;
//!   commands that show or touch other people's (`SCAN`, `FLUSHDB`, ...) are refused.
//!
//! Where nothing is said it is `server`, because a program that knows nothing of prefixes then just
//! works; and `prefix` where `TOWPATH_REDIS_URL` names a Redis to use, or none can be started.
//!
//! Redis lets a user have several passwords. A rotation adds one and `retire` takes the others away,
//! so the user's name stays.

mod own;
mod rules;
mod shared;

use std::{collections::BTreeMap, net::SocketAddr};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret, SecretText};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    params::{self, Param, Shape},
    servers::{Address, RedisServer, Servers},
};

const PARAMS: [Param; 1] = [Param::optional(
    "isolation",
    Shape::OneOf(&["server", "prefix"]),
)];

/// Makes rooms in a Redis.
pub struct Redis {
    servers: Servers,
}

/// How an instance is kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Isolation {
    Server,
    Prefix,
}

impl Redis {
    /// With the Redis of `servers`.
    pub fn new(servers: Servers) -> Self {
        Self { servers }
    }

    /// What was chosen once stays: the data is there.
    fn isolation(&self, request: &Request) -> Isolation {
        let said = request.state["isolation"]
            .as_str()
            .or_else(|| request.params.get("isolation")?.as_str());
        match said {
            Some("prefix") => Isolation::Prefix,
            Some(_) => Isolation::Server,
            None if self.servers.has_own_redis(&name(request)) => Isolation::Server,
            None if self.servers.prefers_own_redis() => Isolation::Server,
            None => Isolation::Prefix,
        }
    }
}

/// The instance's name: of the user, of the prefix, of the server.
fn name(request: &Request) -> String {
    request.unique_name(80, '-')
}

#[async_trait]
impl Provisioner for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a Redis of its own, or a part of a shared one",
            outputs: &[
                ("host", false),
                ("port", false),
                ("username", false),
                ("password", true),
                ("url", true),
                ("prefix", false),
            ],
            holds_data: true,
            replaced_by: &["isolation"],
        }
    }

    fn check(&self, params: &Map<String, Value>) -> Vec<Problem> {
        params::check(self.name(), &PARAMS, params)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        match self.isolation(request) {
            Isolation::Server => own::provision(&self.servers, request).await,
            Isolation::Prefix => shared::provision(&self.servers, request).await,
        }
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        match self.isolation(request) {
            Isolation::Server => own::retire(&self.servers, request).await,
            Isolation::Prefix => shared::retire(&self.servers, request).await,
        }
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        match self.isolation(request) {
            Isolation::Server => self.servers.remove_own_redis(&name(request)).await,
            Isolation::Prefix => shared::remove(&self.servers, request).await,
        }
    }

    async fn presence(&self, request: &Request) -> Presence {
        match self.isolation(request) {
            Isolation::Server => own::presence(&self.servers, request).await,
            Isolation::Prefix => shared::presence(&self.servers, request).await,
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let mut names = self.servers.own_redis_names()?;
        names.extend(shared::users(&self.servers).await?);
        let prefix = Request::name_prefix(platform, '-');
        names.retain(|name| name.starts_with(&prefix));
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(name(request))
    }
}

/// Whether the login that was handed out works, and may ask after `key`.
async fn login(server: &RedisServer, user: &str, password: &SecretText, key: &str) -> Presence {
    match server.lets_in(user, password, key).await {
        Ok(None) => Presence::Present,
        Ok(Some(words)) => Presence::Changed(format!("the login `{user}` does not work: {words}")),
        Err(error) => Presence::Unknown(error),
    }
}

/// What both ways hand out.
struct Room<'a> {
    address: &'a Address,
    username: &'a str,
    prefix: &'a str,
    isolation: &'static str,
    summary: String,
}

fn provisioned(request: &Request, password: &SecretText, room: Room<'_>) -> Provisioned {
    let host = room.address.host_for(request);
    let port = room.address.port;
    let username = room.username;
    let url = format!("redis://{username}:{}@{host}:{port}/0", password.expose());
    let listens: Option<SocketAddr> = room.address.loopback();
    Provisioned {
        outputs: BTreeMap::from([
            ("host".to_owned(), Output::Plain(json!(host))),
            ("port".to_owned(), Output::Plain(json!(port))),
            ("username".to_owned(), Output::Plain(json!(username))),
            (
                "password".to_owned(),
                Output::Secret(password.clone().into()),
            ),
            ("url".to_owned(), Output::Secret(Secret::from(url))),
            ("prefix".to_owned(), Output::Plain(json!(room.prefix))),
        ]),
        state: json!({ "isolation": room.isolation, "server": room.address.to_string() }),
        listens,
        summary: room.summary,
        claims: Vec::new(),
    }
}
