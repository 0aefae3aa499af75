//! `postgres`: a database of its own on a Postgres server.
//!
//! An instance is a database owned by a role that nobody logs in as. Logins are members of that
//! role and act as it (`ALTER ROLE ... SET role`), so that all they make belongs to the owner, and
//! logins can come and go as credentials rotate. Nobody else may connect to the database, the
//! administrator apart.
//!
//! Each call holds an advisory lock of the instance on the server. A call that is killed leaves its
//! statement running there, and `CREATE DATABASE` takes its time: whoever comes next waits for its
//! end, so that a removal cannot overtake a creation. A call that hangs while it holds the lock says
//! nothing any more: the server ends its session, and with it the lock.

mod session;
mod sql;

use std::collections::BTreeMap;

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret, SecretText};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    params::{self, Param, Shape},
    servers::{PostgresServer, Servers, is_refusal},
};
use session::{Session, explain};
use sql::Names;

const PARAMS: [Param; 1] = [Param::optional("extensions", Shape::Texts)];

/// Makes databases on a Postgres server.
pub struct Postgres {
    servers: Servers,
}

impl Postgres {
    /// On the Postgres of `servers`.
    pub fn new(servers: Servers) -> Self {
        Self { servers }
    }
}

#[async_trait]
impl Provisioner for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a database of its own on a Postgres server",
            outputs: &[
                ("host", false),
                ("port", false),
                ("name", false),
                ("database", false),
                ("username", false),
                ("password", true),
                ("url", true),
            ],
            holds_data: true,
            replaced_by: &[],
        }
    }

    fn check(&self, params: &Map<String, Value>) -> Vec<Problem> {
        params::check(self.name(), &PARAMS, params)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let extensions = extensions(&request.params);
        let server = self.servers.postgres().await?;
        let names = Names::of(request);
        let password = request.credential("postgres");
        let mut session = Session::begin(&self.servers, &server, request, &names).await?;
        let open = session.prepare(&sql::prepare(&names, &password)).await?;
        if open.is_none() {
            session.create_database(&names).await?;
        }
        session
            .run(&sql::close_to_others(request, &names, open == Some(true)))
            .await?;
        if !extensions.is_empty() {
            session
                .hold_during(create_extensions(&server, &names, &extensions))
                .await?;
        }
        session.end(request).await?;
        if !server.is_proven() {
            prove_login(&server, &names, &password).await?;
        }
        Ok(provisioned(request, &server, &names, &password))
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = self.servers.postgres().await?;
        let names = Names::of(request);
        let mut session = Session::begin(&self.servers, &server, request, &names).await?;
        let old = session.roles(&names).await?;
        let old: Vec<String> = old
            .into_iter()
            .filter(|role| *role != names.login && *role != names.database)
            .collect();
        if !old.is_empty() {
            session
                .hold_during(drop_logins(&server, &names, &old))
                .await?;
        }
        session.end(request).await
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = match self.servers.known_postgres().await? {
            Some(server) => server,
            // No server was ever chosen: nothing was made.
            None if request.state.is_null() => return Ok(()),
            None => self.servers.postgres().await?,
        };
        let names = Names::of(request);
        let mut session = Session::begin(&self.servers, &server, request, &names).await?;
        let roles = session.roles(&names).await?;
        session.run(&sql::drop_database(&names)).await?;
        if !roles.is_empty() {
            session.run(&sql::drop_roles(&roles)).await?;
        }
        let left = session.count_left(&names).await?;
        session.end(request).await?;
        if left > 0 {
            return Err(ProvisionError::transient(format!(
                "Postgres at {} still lists `{}` after its removal",
                server.address, names.database
            )));
        }
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        let server = match self.servers.postgres().await {
            Ok(server) => server,
            Err(error) => return Presence::Unknown(error),
        };
        let names = Names::of(request);
        let asked = sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        )
        .bind(&names.database)
        .fetch_one(&server.pool)
        .await;
        match asked {
            Ok(true) => match login(&server, &names, &request.credential("postgres")).await {
                Ok(()) => Presence::Present,
                Err(NoLogin::Refused(words)) => {
                    server.doubt();
                    Presence::Changed(format!(
                        "the login `{}` does not work: {words}",
                        names.login
                    ))
                }
                Err(NoLogin::Away(error)) => Presence::Unknown(error),
            },
            Ok(false) => Presence::Absent,
            Err(error) => {
                self.servers.forget_postgres(&server).await;
                Presence::Unknown(explain(&server, &error))
            }
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let Some(server) = self.servers.known_postgres().await? else {
            return Ok(Vec::new());
        };
        sqlx::query_scalar(
            "SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1) \
             UNION SELECT regexp_replace(rolname, '_r[0-9]+$', '') FROM pg_roles \
             WHERE starts_with(rolname::text, $1) ORDER BY 1",
        )
        .bind(Request::name_prefix(platform, '_'))
        .fetch_all(&server.pool)
        .await
        .map_err(|error| explain(&server, &error))
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(Names::of(request).database)
    }
}

/// The extensions asked for; `check` has seen that they are texts.
fn extensions(params: &Map<String, Value>) -> Vec<&str> {
    let list = params.get("extensions").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

async fn connect_inside(
    server: &PostgresServer,
    names: &Names,
) -> Result<PgConnection, ProvisionError> {
    PgConnection::connect_with(&server.options.clone().database(&names.database))
        .await
        .map_err(|error| explain(server, &error))
}

/// Drops logins that are no longer used. What one made without acting as the owner goes to the owner.
async fn drop_logins(
    server: &PostgresServer,
    names: &Names,
    logins: &[String],
) -> Result<(), ProvisionError> {
    let mut inside = connect_inside(server, names).await?;
    let done = sqlx::raw_sql(sql::trusted(sql::drop_logins(names, logins)))
        .execute(&mut inside)
        .await;
    inside.close().await.map_err(|e| explain(server, &e))?;
    done.map(|_| ()).map_err(|e| explain(server, &e))
}

async fn create_extensions(
    server: &PostgresServer,
    names: &Names,
    extensions: &[&str],
) -> Result<(), ProvisionError> {
    let mut inside = connect_inside(server, names).await?;
    for extension in extensions {
        let sql = format!(
            "CREATE EXTENSION IF NOT EXISTS {} CASCADE",
            sql::identifier(extension)
        );
        if let Err(error) = sqlx::raw_sql(sql::trusted(sql)).execute(&mut inside).await {
            let mut explained = explain(server, &error);
            if session::is_missing(&error) {
                explained.remedy = Some(format!(
                    "install the package of `{extension}` on the Postgres server, or leave it out of \
                     `extensions`"
                ));
            }
            return Err(ProvisionError {
                message: format!("extension `{extension}`: {}", explained.message),
                ..explained
            });
        }
    }
    inside
        .close()
        .await
        .map_err(|error| explain(server, &error))
}

/// Why a workload could not log in.
enum NoLogin {
    /// The server's words.
    Refused(String),
    /// It could not be asked.
    Away(ProvisionError),
}

/// Logs in as the workload does, and sees that it acts as the database's owner.
async fn login(
    server: &PostgresServer,
    names: &Names,
    password: &SecretText,
) -> Result<(), NoLogin> {
    let away = |error: &sqlx::Error| NoLogin::Away(explain(server, error));
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&server.address.host)
        .port(server.address.port)
        .username(&names.login)
        .password(password.expose())
        .database(&names.database)
        .ssl_mode(server.options.get_ssl_mode());
    let mut connection = match PgConnection::connect_with(&options).await {
        Ok(connection) => connection,
        Err(sqlx::Error::Database(refused)) if is_refusal(refused.as_ref()) => {
            return Err(NoLogin::Refused(refused.message().to_owned()));
        }
        Err(error) => return Err(away(&error)),
    };
    let acts_as: Result<String, _> = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&mut connection)
        .await;
    let acts_as = acts_as.map_err(|error| away(&error))?;
    connection.close().await.map_err(|error| away(&error))?;
    if acts_as != names.database {
        let words = format!("it acts as `{acts_as}`, and not as `{}`", names.database);
        return Err(NoLogin::Refused(words));
    }
    Ok(())
}

/// Logs in as the workload will: a server may let the administrator in and nobody else.
async fn prove_login(
    server: &PostgresServer,
    names: &Names,
    password: &SecretText,
) -> Result<(), ProvisionError> {
    match login(server, names, password).await {
        Ok(()) => {
            server.prove();
            Ok(())
        }
        Err(NoLogin::Refused(words)) => Err(ProvisionError::permanent(format!(
            "Postgres at {} refuses the login `{}` that was just made: {words}",
            server.address, names.login
        ))
        .remedy(
            "let logins in by password over TCP: in pg_hba.conf, \
             `host all all 127.0.0.1/32 scram-sha-256`",
        )),
        Err(NoLogin::Away(error)) => Err(error),
    }
}

fn provisioned(
    request: &Request,
    server: &PostgresServer,
    names: &Names,
    password: &SecretText,
) -> Provisioned {
    let host = server.address.host_for(request);
    let port = server.address.port;
    let Names { database, login } = names;
    let url = format!(
        "postgres://{login}:{}@{host}:{port}/{database}",
        password.expose()
    );
    let plain = |value: Value| Output::Plain(value);
    Provisioned {
        outputs: BTreeMap::from([
            ("host".to_owned(), plain(json!(host))),
            ("port".to_owned(), plain(json!(port))),
            ("name".to_owned(), plain(json!(database))),
            ("database".to_owned(), plain(json!(database))),
            ("username".to_owned(), plain(json!(login))),
            (
                "password".to_owned(),
                Output::Secret(password.clone().into()),
            ),
            ("url".to_owned(), Output::Secret(Secret::from(url))),
        ]),
        state: json!({ "database": database, "server": server.address.to_string() }),
        listens: server.address.loopback(),
        summary: format!("database {database} on {}", server.address),
        claims: Vec::new(),
    }
}
