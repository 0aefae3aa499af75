//! `isolation: prefix`: a user on a shared Redis who may touch only what begins with the prefix.

use std::sync::Arc;

use delivery::provisioner::{Presence, ProvisionError, Provisioned, Request};
use redis::RedisResult;

use super::{Room, login, name, provisioned, rules};
use crate::servers::{RedisServer, Servers, explain_redis};

/// Keys that one round trip looks at while an instance's keys are removed.
const SCAN_COUNT: u32 = 1000;

pub(super) async fn provision(
    servers: &Servers,
    request: &Request,
) -> Result<Provisioned, ProvisionError> {
    let server = servers.redis().await?;
    let name = name(request);
    let prefix = format!("{name}:");
    let password = request.credential("redis");
    let mut words = vec!["on".to_owned(), format!(">{}", password.expose())];
    words.extend(rules::shared(&prefix, server.version));
    let made = set_user(&server, &name, &words).await;
    answered(servers, &server, made).await?;
    Ok(provisioned(
        request,
        &password,
        Room {
            address: &server.address,
            username: &name,
            prefix: &prefix,
            isolation: "prefix",
            summary: format!("user and prefix {name} on {}", server.address),
        },
    ))
}

pub(super) async fn retire(servers: &Servers, request: &Request) -> Result<(), ProvisionError> {
    let server = servers.redis().await?;
    let password = request.credential("redis");
    let words = ["resetpass".to_owned(), format!(">{}", password.expose())];
    let retired = set_user(&server, &name(request), &words).await;
    answered(servers, &server, retired).await
}

pub(super) async fn remove(servers: &Servers, request: &Request) -> Result<(), ProvisionError> {
    let server = match servers.known_redis().await? {
        Some(server) => server,
        // No server was ever chosen: nothing was made.
        None if request.state.is_null() => return Ok(()),
        None => servers.redis().await?,
    };
    let name = name(request);
    let removed = async {
        let mut connection = server.connection.clone();
        // The user first: it also ends its connections, so that nothing is added meanwhile.
        redis::cmd("ACL")
            .arg("DELUSER")
            .arg(&name)
            .query_async::<()>(&mut connection)
            .await?;
        save(&server).await?;
        remove_keys(&server, &format!("{name}:*")).await?;
        has_user(&server, &name).await
    };
    if answered(servers, &server, removed.await).await? {
        return Err(ProvisionError::transient(format!(
            "Redis at {} still lists the user `{name}` after its removal",
            server.address
        )));
    }
    Ok(())
}

pub(super) async fn presence(servers: &Servers, request: &Request) -> Presence {
    let server = match servers.redis().await {
        Ok(server) => server,
        Err(error) => return Presence::Unknown(error),
    };
    let name = name(request);
    let asked = has_user(&server, &name).await;
    match answered(servers, &server, asked).await {
        Ok(true) => {}
        Ok(false) => return Presence::Absent,
        Err(error) => return Presence::Unknown(error),
    }
    let password = request.credential("redis");
    login(&server, &name, &password, &format!("{name}:")).await
}

/// All users of the shared Redis, where one is in use.
pub(super) async fn users(servers: &Servers) -> Result<Vec<String>, ProvisionError> {
    let Some(server) = servers.known_redis().await? else {
        return Ok(Vec::new());
    };
    let mut connection = server.connection.clone();
    let listed = redis::cmd("ACL")
        .arg("USERS")
        .query_async(&mut connection)
        .await;
    answered(servers, &server, listed).await
}

async fn set_user(server: &RedisServer, name: &str, words: &[String]) -> RedisResult<()> {
    let mut connection = server.connection.clone();
    redis::cmd("ACL")
        .arg("SETUSER")
        .arg(name)
        .arg(words)
        .query_async::<()>(&mut connection)
        .await?;
    save(server).await
}

/// Writes the users to the server's file, where it is configured to have one. Without one they go
/// when the server restarts, and the next reconciliation makes them again.
async fn save(server: &RedisServer) -> RedisResult<()> {
    let mut connection = server.connection.clone();
    let saved: RedisResult<()> = redis::cmd("ACL")
        .arg("SAVE")
        .query_async(&mut connection)
        .await;
    match saved {
        Err(error)
            if error
                .to_string()
                .contains("not configured to use an ACL file") =>
        {
            Ok(())
        }
        saved => saved,
    }
}

async fn has_user(server: &RedisServer, name: &str) -> RedisResult<bool> {
    let mut connection = server.connection.clone();
    let users: Vec<String> = redis::cmd("ACL")
        .arg("USERS")
        .query_async(&mut connection)
        .await?;
    Ok(users.iter().any(|user| user == name))
}

/// Removes all keys of `pattern` from all numbered databases.
async fn remove_keys(server: &RedisServer, pattern: &str) -> RedisResult<()> {
    let mut connection = server.connection.clone();
    let keyspace: String = redis::cmd("INFO")
        .arg("keyspace")
        .query_async(&mut connection)
        .await?;
    let databases = keyspace
        .lines()
        .filter_map(|line| line.strip_prefix("db")?.split_once(':')?.0.parse().ok());
    for database in databases {
        let mut connection = server.in_database(database).await?;
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys): (String, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(SCAN_COUNT)
                .query_async(&mut connection)
                .await?;
            if !keys.is_empty() {
                redis::cmd("UNLINK")
                    .arg(keys)
                    .query_async::<()>(&mut connection)
                    .await?;
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

/// Says what failed, and looks for the server anew next time where it did not answer.
async fn answered<T>(
    servers: &Servers,
    server: &Arc<RedisServer>,
    outcome: RedisResult<T>,
) -> Result<T, ProvisionError> {
    match outcome {
        Ok(value) => Ok(value),
        Err(error) => {
            let explained = explain_redis(&server.address, &error);
            if explained.retry {
                servers.forget_redis(server).await;
            }
            Err(explained)
        }
    }
}
