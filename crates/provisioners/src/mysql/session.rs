//! One call's connection, holding the instance's lock.

use std::sync::Arc;

use delivery::provisioner::ProvisionError;
use sqlx::{MySql, pool::PoolConnection};

use super::sql::Names;
use crate::servers::{LOCK_WAIT, MYSQL, MysqlServer, SILENCE, Servers, held, login_stem, trusted};

/// A connection of the pool. Where the call does not reach [`Session::end`], it is closed rather
/// than given back, because the lock lives as long as the connection.
pub(super) struct Session<'a> {
    connection: Option<PoolConnection<MySql>>,
    servers: &'a Servers,
    server: &'a Arc<MysqlServer>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

impl<'a> Session<'a> {
    /// Takes a connection and the instance's lock.
    pub(super) async fn begin(
        servers: &'a Servers,
        server: &'a Arc<MysqlServer>,
        names: &Names,
    ) -> Result<Self, ProvisionError> {
        let mut session = Self {
            connection: None,
            servers,
            server,
        };
        match server.acquire().await {
            Ok(connection) => session.connection = Some(connection),
            Err(error) => return Err(session.explained(&error).await),
        }
        session
            .run(&format!("SET SESSION wait_timeout = {SILENCE}"))
            .await?;
        let locked = async {
            sqlx::query_scalar::<_, Option<i64>>("SELECT GET_LOCK(?, ?)")
                .bind(&names.database)
                .bind(LOCK_WAIT)
                .fetch_one(session.connection()?)
                .await
        };
        match locked.await {
            Ok(Some(1)) => Ok(session),
            Ok(_) => Err(held(&format!(
                "`{}` on the server at {}",
                names.database, server.address
            ))),
            Err(error) => Err(session.explained(&error).await),
        }
    }

    fn connection(&mut self) -> Result<&mut sqlx::MySqlConnection, sqlx::Error> {
        match &mut self.connection {
            Some(connection) => Ok(&mut **connection),
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    async fn explained(&self, error: &sqlx::Error) -> ProvisionError {
        if error.as_database_error().is_none() {
            self.servers.forget_mysql(self.server).await;
        }
        explain(self.server, error)
    }

    /// Runs a batch that answers nothing.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), ProvisionError> {
        let run = async {
            sqlx::raw_sql(trusted(sql.to_owned()))
                .execute(self.connection()?)
                .await
        };
        match run.await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    async fn texts(&mut self, sql: &str, with: &str) -> Result<Vec<String>, ProvisionError> {
        let asked = async {
            sqlx::query_scalar(trusted(sql.to_owned()))
                .bind(with.to_owned())
                .fetch_all(self.connection()?)
                .await
        };
        match asked.await {
            Ok(texts) => Ok(texts),
            Err(error) => Err(self.explained(&error).await),
        }
    }

    /// The instance's logins, of all rotations.
    pub(super) async fn logins(&mut self, names: &Names) -> Result<Vec<String>, ProvisionError> {
        let sql = "SELECT CAST(User AS CHAR) FROM mysql.user WHERE LOCATE(?, User) = 1";
        let mut users = self.texts(sql, &names.login_stem).await?;
        users.retain(|user| login_stem(user) == Some(&names.login_stem));
        Ok(users)
    }

    /// Whether the server lists the database.
    pub(super) async fn is_listed(&mut self, names: &Names) -> Result<bool, ProvisionError> {
        let sql = "SELECT CAST(SCHEMA_NAME AS CHAR) FROM information_schema.SCHEMATA \
                   WHERE SCHEMA_NAME = ?";
        Ok(!self.texts(sql, &names.database).await?.is_empty())
    }

    /// In whose names something in the database runs, as `user@host`.
    pub(super) async fn makers(&mut self, names: &Names) -> Result<Vec<String>, ProvisionError> {
        let sql = "SELECT CAST(DEFINER AS CHAR) FROM (\
                   SELECT DEFINER, TABLE_SCHEMA AS place FROM information_schema.VIEWS \
                   UNION SELECT DEFINER, ROUTINE_SCHEMA FROM information_schema.ROUTINES \
                   UNION SELECT DEFINER, TRIGGER_SCHEMA FROM information_schema.TRIGGERS \
                   UNION SELECT DEFINER, EVENT_SCHEMA FROM information_schema.EVENTS) AS made \
                   WHERE place = ?";
        self.texts(sql, &names.database).await
    }

    /// Ends the open sessions of `logins`.
    pub(super) async fn end_sessions_of(
        &mut self,
        logins: &[String],
    ) -> Result<(), ProvisionError> {
        for login in logins {
            let sql = "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE USER = ?";
            for id in self.texts(sql, login).await? {
                if let Err(error) = self.run(&format!("KILL {id}")).await
                    // It may have ended by itself in the meantime.
                    && !error.message.contains("Unknown thread id")
                {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives the lock and the connection back.
    pub(super) async fn end(mut self, names: &Names) -> Result<(), ProvisionError> {
        self.run(&format!(
            "DO RELEASE_LOCK('{}'); SET SESSION wait_timeout = DEFAULT",
            names.database
        ))
        .await?;
        self.connection = None;
        Ok(())
    }
}

/// What the server said, and what can be done about it.
pub(super) fn explain(server: &MysqlServer, error: &sqlx::Error) -> ProvisionError {
    let address = &server.address;
    let Some(refused) = error.as_database_error() else {
        return MYSQL.away(address, error);
    };
    let message = format!("MySQL at {address}: {}", refused.message());
    let number = refused
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map_or(0, sqlx::mysql::MySqlDatabaseError::number);
    match number {
        // Too many connections, shutting down, out of memory or disk, lock waits, deadlocks, a session
        // that was ended.
        1021 | 1037 | 1038 | 1040 | 1041 | 1053 | 1159 | 1203 | 1205 | 1213 | 1927 | 4031 => {
            MYSQL.troubled(message)
        }
        1044 | 1045 | 1142 | 1227 | 1410 => ProvisionError::permanent(message).remedy(format!(
            "give `{}` the rights: GRANT ALL PRIVILEGES ON *.* TO ... WITH GRANT OPTION",
            server.options.get_username()
        )),
        _ => MYSQL.refused(message),
    }
}
