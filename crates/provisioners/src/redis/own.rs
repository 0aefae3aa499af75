//! `isolation: server`: a Redis server for the instance alone.
//!
//! The instance's user is `default`, so that clients that know only passwords work too.

use delivery::provisioner::{Presence, ProvisionError, Provisioned, Request};

use super::{Room, login, name, provisioned, rules};
use crate::servers::{RedisServer, Servers, explain_redis};

const USER: &str = "default";

pub(super) async fn provision(
    servers: &Servers,
    request: &Request,
) -> Result<Provisioned, ProvisionError> {
    let name = name(request);
    let server = servers.own_redis(&name).await?;
    let password = request.credential("redis");
    let mut words = vec!["on".to_owned(), format!(">{}", password.expose())];
    words.extend(rules::OWN.map(str::to_owned));
    set_user(&server, &words).await?;
    Ok(provisioned(
        request,
        &password,
        Room {
            address: &server.address,
            username: USER,
            prefix: "",
            isolation: "server",
            summary: format!("a Redis of its own on {}", server.address),
        },
    ))
}

pub(super) async fn retire(servers: &Servers, request: &Request) -> Result<(), ProvisionError> {
    let server = servers.own_redis(&name(request)).await?;
    let password = request.credential("redis");
    let words = ["resetpass".to_owned(), format!(">{}", password.expose())];
    set_user(&server, &words).await
}

/// Absent without files; present when the server, started again if need be, lets us in.
pub(super) async fn presence(servers: &Servers, request: &Request) -> Presence {
    let name = name(request);
    if !servers.has_own_redis(&name) {
        return Presence::Absent;
    }
    match servers.own_redis(&name).await {
        Ok(server) => login(&server, USER, &request.credential("redis"), "towpath").await,
        Err(error) => Presence::Unknown(error),
    }
}

async fn set_user(server: &RedisServer, words: &[String]) -> Result<(), ProvisionError> {
    let mut connection = server.connection.clone();
    redis::pipe()
        .atomic()
        .cmd("ACL")
        .arg("SETUSER")
        .arg(USER)
        .arg(words)
        .cmd("ACL")
        .arg("SAVE")
        .query_async::<()>(&mut connection)
        .await
        .map_err(|error| explain_redis(&server.address, &error))
}
