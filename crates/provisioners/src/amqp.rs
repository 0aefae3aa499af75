//! `amqp`: a virtual host of its own on RabbitMQ.
//!
//! The user of an instance may do everything in its virtual host and nothing outside. RabbitMQ
//! closes the connections of users and virtual hosts that are deleted.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret, SecretText};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    params,
    servers::{AmqpServer, Servers, login_stem},
};

/// What a user may do in a virtual host, each to the names that an expression allows.
const RIGHTS: [&str; 3] = ["configure", "write", "read"];
const EVERYTHING: &str = ".*";

/// Makes virtual hosts on RabbitMQ.
pub struct Amqp {
    servers: Servers,
}

impl Amqp {
    /// On the RabbitMQ of `servers`.
    pub fn new(servers: Servers) -> Self {
        Self { servers }
    }
}

/// The names of an instance: letters, digits and hyphens, that need no encoding in a URL.
struct Names {
    vhost: String,
    user: String,
}

impl Names {
    fn of(request: &Request) -> Self {
        let vhost = request.unique_name(100, '-');
        let user = format!("{vhost}_r{}", request.rotation);
        Self { vhost, user }
    }
}

#[async_trait]
impl Provisioner for Amqp {
    fn name(&self) -> &'static str {
        "amqp"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a virtual host of its own on RabbitMQ",
            outputs: &[
                ("host", false),
                ("port", false),
                ("vhost", false),
                ("username", false),
                ("password", true),
                ("url", true),
            ],
            holds_data: true,
            replaced_by: &[],
        }
    }

    fn check(&self, params: &Map<String, Value>) -> Vec<Problem> {
        params::check(self.name(), &[], params)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let server = self.servers.amqp().await?;
        let names = Names::of(request);
        let Names { vhost, user } = &names;
        let password = request.credential("amqp");
        let description = format!(
            "Towpath: {} {} of environment {}, team {}",
            request.resource_type, request.id, request.environment, request.team
        );
        let made = async {
            let login = json!({ "password": password.expose(), "tags": "" });
            tokio::try_join!(
                put(
                    &server,
                    format!("vhosts/{vhost}"),
                    json!({ "description": description })
                ),
                put(&server, format!("users/{user}"), login),
            )?;
            let rights = RIGHTS.map(|right| (right.to_owned(), json!(EVERYTHING)));
            let rights = Value::Object(rights.into_iter().collect());
            put(&server, format!("permissions/{vhost}/{user}"), rights).await?;
            until_up(&server, vhost).await
        };
        self.answered(&server, made.await).await?;
        Ok(provisioned(request, &server, &names, &password))
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = self.servers.amqp().await?;
        let names = Names::of(request);
        let retired = async {
            for user in users(&server, &names.vhost).await? {
                if user != names.user {
                    delete(&server, format!("users/{user}")).await?;
                }
            }
            Ok(())
        };
        self.answered(&server, retired.await).await
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = match self.servers.known_amqp().await? {
            Some(server) => server,
            // No server was ever chosen: nothing was made.
            None if request.state.is_null() => return Ok(()),
            None => self.servers.amqp().await?,
        };
        let names = Names::of(request);
        let removed = async {
            for user in users(&server, &names.vhost).await? {
                delete(&server, format!("users/{user}")).await?;
            }
            delete(&server, format!("vhosts/{}", names.vhost)).await?;
            let left = has_vhost(&server, &names.vhost).await?
                || !users(&server, &names.vhost).await?.is_empty();
            if left {
                return Err(ProvisionError::transient(format!(
                    "RabbitMQ at {} still lists `{}` after its removal",
                    server.address, names.vhost
                )));
            }
            Ok(())
        };
        self.answered(&server, removed.await).await
    }

    async fn presence(&self, request: &Request) -> Presence {
        let server = match self.servers.amqp().await {
            Ok(server) => server,
            Err(error) => return Presence::Unknown(error),
        };
        let names = Names::of(request);
        let password = request.credential("amqp");
        let asked = async {
            let Some(shown) = show(&server, format!("vhosts/{}", names.vhost)).await? else {
                return Ok(Presence::Absent);
            };
            if !down_at(&shown).is_empty() {
                let why = format!("the virtual host `{}` is down", names.vhost);
                return Ok(Presence::Changed(why));
            }
            let wrong = wrong_with_login(&server, &names, &password).await?;
            Ok(wrong.map_or(Presence::Present, Presence::Changed))
        };
        (self.answered(&server, asked.await).await).unwrap_or_else(Presence::Unknown)
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let Some(server) = self.servers.known_amqp().await? else {
            return Ok(Vec::new());
        };
        let prefix = Request::name_prefix(platform, '-');
        let mut all = list(&server, "vhosts").await?;
        all.extend(
            list(&server, "users")
                .await?
                .iter()
                .filter_map(|user| login_stem(user).map(str::to_owned)),
        );
        all.retain(|name| name.starts_with(&prefix));
        all.sort();
        all.dedup();
        Ok(all)
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(Names::of(request).vhost)
    }
}

impl Amqp {
    /// Looks for the server anew next time, where it did not answer this time.
    async fn answered<T>(
        &self,
        server: &std::sync::Arc<AmqpServer>,
        outcome: Result<T, ProvisionError>,
    ) -> Result<T, ProvisionError> {
        if outcome.as_ref().is_err_and(|error| error.retry) {
            self.servers.forget_amqp(server).await;
        }
        outcome
    }
}

async fn put(server: &AmqpServer, path: String, body: Value) -> Result<(), ProvisionError> {
    let answer = server.call(Method::PUT, &path, Some(body)).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(server.refused(&format!("make {path}"), &answer))
}

async fn delete(server: &AmqpServer, path: String) -> Result<(), ProvisionError> {
    let answer = server.call(Method::DELETE, &path, None).await?;
    if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
        return Ok(());
    }
    Err(server.refused(&format!("delete {path}"), &answer))
}

/// Waits until the virtual host lets clients in. One whose making broke off, as with a platform that was killed, is
/// listed, and stays down until somebody starts it.
async fn until_up(server: &AmqpServer, vhost: &str) -> Result<(), ProvisionError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let Some(shown) = show(server, format!("vhosts/{vhost}")).await? else {
            return Err(ProvisionError::transient(format!(
                "RabbitMQ at {} does not list `{vhost}`, which it has just made",
                server.address
            )));
        };
        let down = down_at(&shown);
        if down.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= PATIENCE {
            return Err(ProvisionError::transient(format!(
                "RabbitMQ at {} does not bring up the virtual host `{vhost}` on {}",
                server.address,
                down.join(", ")
            ))
            .remedy("see its log; it is tried again by itself"));
        }
        for node in down {
            let path = format!("vhosts/{vhost}/start/{node}");
            let answer = server.call(Method::POST, &path, None).await?;
            if !answer.status.is_success() {
                return Err(server.refused(&format!("start the virtual host {vhost}"), &answer));
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The nodes on which the virtual host `shown` does not run.
fn down_at(shown: &Value) -> Vec<String> {
    let nodes = shown["cluster_state"].as_object().into_iter().flatten();
    let down = nodes.filter(|(_, state)| *state != "running");
    down.map(|(node, _)| node.clone()).collect()
}

async fn has_vhost(server: &AmqpServer, vhost: &str) -> Result<bool, ProvisionError> {
    Ok(show(server, format!("vhosts/{vhost}")).await?.is_some())
}

/// What is at `path`; `None` where nothing is.
async fn show(server: &AmqpServer, path: String) -> Result<Option<Value>, ProvisionError> {
    let answer = server.call(Method::GET, &path, None).await?;
    match answer.status {
        StatusCode::OK => Ok(Some(answer.body)),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(server.refused(&format!("show {path}"), &answer)),
    }
}

/// Why the login that was handed out does not work, where it does not.
async fn wrong_with_login(
    server: &AmqpServer,
    Names { vhost, user }: &Names,
    password: &SecretText,
) -> Result<Option<String>, ProvisionError> {
    let (found, rights) = tokio::try_join!(
        show(server, format!("users/{user}")),
        show(server, format!("permissions/{vhost}/{user}")),
    )?;
    let has = |right: &&str| (rights.as_ref()).is_some_and(|all| all[*right] == EVERYTHING);
    Ok(match found {
        None => Some(format!("the user `{user}` is gone")),
        Some(found) if !takes(&found, password) => {
            Some(format!("the user `{user}` has another password"))
        }
        Some(_) if !RIGHTS.iter().all(has) => Some(format!(
            "the user `{user}` has no longer all rights in `{vhost}`"
        )),
        Some(_) => None,
    })
}

/// Whether the user's password is `password`. RabbitMQ keeps, and shows to administrators, the base64
/// of four bytes of salt and the SHA-256 of salt and password; of another way to hash nothing is said.
fn takes(user: &Value, password: &SecretText) -> bool {
    const SALT: usize = 4;
    if user["hashing_algorithm"] != "rabbit_password_hashing_sha256" {
        return true;
    }
    let kept = user["password_hash"].as_str().unwrap_or_default();
    let kept = STANDARD.decode(kept).unwrap_or_default();
    let Some((salt, hash)) = kept.split_at_checked(SALT) else {
        return false;
    };
    let ours = Sha256::new()
        .chain_update(salt)
        .chain_update(password.expose());
    ours.finalize().as_slice() == hash
}

/// The names of all `things`.
async fn list(server: &AmqpServer, things: &str) -> Result<Vec<String>, ProvisionError> {
    let path = format!("{things}?columns=name");
    let answer = server.call(Method::GET, &path, None).await?;
    match answer.body.as_array() {
        Some(all) if answer.status == StatusCode::OK => Ok(all
            .iter()
            .filter_map(|thing| thing["name"].as_str().map(str::to_owned))
            .collect()),
        _ => Err(server.refused(&format!("list {things}"), &answer)),
    }
}

/// The users of an instance, of all rotations.
async fn users(server: &AmqpServer, vhost: &str) -> Result<Vec<String>, ProvisionError> {
    let mut users = list(server, "users").await?;
    users.retain(|user| login_stem(user) == Some(vhost));
    Ok(users)
}

fn provisioned(
    request: &Request,
    server: &AmqpServer,
    names: &Names,
    password: &SecretText,
) -> Provisioned {
    let host = server.address.host_for(request);
    let port = server.address.port;
    let Names { vhost, user } = names;
    let url = format!("amqp://{user}:{}@{host}:{port}/{vhost}", password.expose());
    Provisioned {
        outputs: BTreeMap::from([
            ("host".to_owned(), Output::Plain(json!(host))),
            ("port".to_owned(), Output::Plain(json!(port))),
            ("vhost".to_owned(), Output::Plain(json!(vhost))),
            ("username".to_owned(), Output::Plain(json!(user))),
            (
                "password".to_owned(),
                Output::Secret(password.clone().into()),
            ),
            ("url".to_owned(), Output::Secret(Secret::from(url))),
        ]),
        state: json!({ "vhost": vhost, "server": server.address.to_string() }),
        listens: server.address.loopback(),
        summary: format!("virtual host {vhost} on {}", server.address),
        claims: Vec::new(),
    }
}
