//! `mysql`: a database of its own on a MySQL or MariaDB server.
//!
//! A login has all rights in its database and none outside. Whatever runs in the name of its maker
//! (views, routines, triggers, events) needs that account to exist: a login that made such things is
//! locked rather than dropped when its credentials are retired.
//!
//! As for Postgres, each call holds a lock of the instance on the server, which ends the session of one
//! that hangs.

mod session;
mod sql;

use std::collections::BTreeMap;

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Problem, Secret, SecretText};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, MySqlConnection};
use uuid::Uuid;

use crate::{
    params,
    servers::{MysqlServer, Servers, is_refusal, login_stem},
};
use session::{Session, explain};
use sql::Names;

/// Makes databases on a MySQL or MariaDB server.
pub struct Mysql {
    servers: Servers,
}

impl Mysql {
    /// On the MySQL or MariaDB of `servers`.
    pub fn new(servers: Servers) -> Self {
        Self { servers }
    }
}

#[async_trait]
impl Provisioner for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "a database of its own on a MySQL or MariaDB server",
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
        params::check(self.name(), &[], params)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let server = self.servers.mysql().await?;
        let names = Names::of(request);
        let password = request.credential("mysql");
        let mut session = Session::begin(&self.servers, &server, &names).await?;
        session.run(&sql::provision(&names, &password)).await?;
        session.end(&names).await?;
        if !server.is_proven() {
            prove_login(&server, &names, &password).await?;
        }
        Ok(provisioned(request, &server, &names, &password))
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = self.servers.mysql().await?;
        let names = Names::of(request);
        let mut session = Session::begin(&self.servers, &server, &names).await?;
        let old: Vec<String> = session
            .logins(&names)
            .await?
            .into_iter()
            .filter(|login| *login != names.login)
            .collect();
        if !old.is_empty() {
            let makers = session.makers(&names).await?;
            for login in &old {
                let is_maker = makers.iter().any(|m| m.split('@').next() == Some(login));
                session.run(&sql::close_login(login, is_maker)).await?;
            }
            session.end_sessions_of(&old).await?;
        }
        session.end(&names).await
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        let server = match self.servers.known_mysql().await? {
            Some(server) => server,
            // No server was ever chosen: nothing was made.
            None if request.state.is_null() => return Ok(()),
            None => self.servers.mysql().await?,
        };
        let names = Names::of(request);
        let mut session = Session::begin(&self.servers, &server, &names).await?;
        let logins = session.logins(&names).await?;
        for login in &logins {
            session.run(&sql::close_login(login, false)).await?;
        }
        // An open transaction would hold the removal of the database up.
        session.end_sessions_of(&logins).await?;
        session.run(&sql::drop_database(&names)).await?;
        let left = session.is_listed(&names).await? || !session.logins(&names).await?.is_empty();
        session.end(&names).await?;
        if left {
            return Err(ProvisionError::transient(format!(
                "the server at {} still lists `{}` after its removal",
                server.address, names.database
            )));
        }
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        let server = match self.servers.mysql().await {
            Ok(server) => server,
            Err(error) => return Presence::Unknown(error),
        };
        let names = Names::of(request);
        let asked = sqlx::query_scalar::<_, i64>(
            "SELECT EXISTS (SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?)",
        )
        .bind(&names.database)
        .fetch_one(&server.pool)
        .await;
        match asked {
            Ok(0) => Presence::Absent,
            Ok(_) => match login(&server, &names, &request.credential("mysql")).await {
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
            Err(error) => {
                self.servers.forget_mysql(&server).await;
                Presence::Unknown(explain(&server, &error))
            }
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        let Some(server) = self.servers.known_mysql().await? else {
            return Ok(Vec::new());
        };
        let prefix = Request::name_prefix(platform, '_');
        let mut names: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(SCHEMA_NAME AS CHAR) FROM information_schema.SCHEMATA \
             WHERE LOCATE(?, SCHEMA_NAME) = 1",
        )
        .bind(&prefix)
        .fetch_all(&server.pool)
        .await
        .map_err(|error| explain(&server, &error))?;
        let users: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(User AS CHAR) FROM mysql.user WHERE LOCATE(?, User) = 1",
        )
        .bind(&prefix)
        .fetch_all(&server.pool)
        .await
        .map_err(|error| explain(&server, &error))?;
        // A login's name is shorter than its database's, with the same end: one whose database is
        // gone is listed by itself.
        for stem in users.iter().filter_map(|user| login_stem(user)) {
            let end = stem.rsplit('_').next().unwrap_or(stem);
            if !names
                .iter()
                .any(|n| n == stem || n.ends_with(&format!("_{end}")))
            {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        Some(Names::of(request).database)
    }
}

/// Why a workload could not log in.
enum NoLogin {
    /// The server's words.
    Refused(String),
    /// It could not be asked.
    Away(ProvisionError),
}

/// Logs in to its database as the workload does, and has all rights in it.
async fn login(server: &MysqlServer, names: &Names, password: &SecretText) -> Result<(), NoLogin> {
    let options = server
        .options
        .clone()
        .username(&names.login)
        .password(password.expose())
        .database(&names.database);
    let asked = async {
        let mut connection = MySqlConnection::connect_with(&options).await?;
        let grants: Vec<String> = sqlx::query_scalar("SHOW GRANTS")
            .fetch_all(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(grants)
    };
    match asked.await {
        Ok(grants) if grants.iter().any(|it| sql::grants_all(it, names)) => Ok(()),
        Ok(_) => Err(NoLogin::Refused(format!(
            "it has no longer all rights in `{}`",
            names.database
        ))),
        Err(sqlx::Error::Database(refused)) if is_refusal(refused.as_ref()) => {
            Err(NoLogin::Refused(refused.message().to_owned()))
        }
        Err(error) => Err(NoLogin::Away(explain(server, &error))),
    }
}

/// Logs in as the workload will: an anonymous account of the server may stand in the way.
async fn prove_login(
    server: &MysqlServer,
    names: &Names,
    password: &SecretText,
) -> Result<(), ProvisionError> {
    match login(server, names, password).await {
        Ok(()) => {
            server.prove();
            Ok(())
        }
        Err(NoLogin::Refused(words)) => Err(ProvisionError::permanent(format!(
            "the server at {} refuses the login `{}` that was just made: {words}",
            server.address, names.login
        ))
        .remedy("remove the server's anonymous accounts (`mariadb-secure-installation`)")),
        Err(NoLogin::Away(error)) => Err(error),
    }
}

fn provisioned(
    request: &Request,
    server: &MysqlServer,
    names: &Names,
    password: &SecretText,
) -> Provisioned {
    let host = server.address.host_for(request);
    let port = server.address.port;
    let Names {
        database, login, ..
    } = names;
    let url = format!(
        "mysql://{login}:{}@{host}:{port}/{database}",
        password.expose()
    );
    Provisioned {
        outputs: BTreeMap::from([
            ("host".to_owned(), Output::Plain(json!(host))),
            ("port".to_owned(), Output::Plain(json!(port))),
            ("name".to_owned(), Output::Plain(json!(database))),
            ("database".to_owned(), Output::Plain(json!(database))),
            ("username".to_owned(), Output::Plain(json!(login))),
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
