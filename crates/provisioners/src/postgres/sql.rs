//! The statements. Each batch is one round trip, and one transaction where Postgres allows.

use delivery::provisioner::Request;
use kernel::SecretText;

pub(super) use crate::servers::trusted;
use crate::servers::{LOCK_WAIT, SILENCE};

/// The names of an instance on the server.
pub(super) struct Names {
    /// The database, and the role that owns it.
    pub(super) database: String,
    /// The login of the present rotation.
    pub(super) login: String,
}

impl Names {
    pub(super) fn of(request: &Request) -> Self {
        // Postgres cuts names at 63 bytes; the rest is for `_r<rotation>`.
        let database = request.unique_name(51, '_');
        let login = format!("{database}_r{}", request.rotation);
        Self { database, login }
    }
}

/// The number of the instance's lock.
fn lock(request: &Request) -> i64 {
    request.uid.as_u64_pair().1.cast_signed()
}

/// A name as Postgres quotes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as Postgres quotes it.
fn literal(text: &str) -> String {
    let text = text.replace('\0', "").replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\"))
    } else {
        format!("'{text}'")
    }
}

/// Takes the instance's lock, in a session that does not outlive its process for long. Servers before
/// Postgres 14 have no `idle_session_timeout`: there only the keepalives end it.
pub(super) fn lock_instance(request: &Request) -> String {
    format!(
        "SET lock_timeout = '{LOCK_WAIT}s'; SET tcp_keepalives_idle = 10; \
         SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
         SELECT set_config(name, '{SILENCE}s', false) FROM pg_settings \
         WHERE name = 'idle_session_timeout'; SELECT pg_advisory_lock({})",
        lock(request)
    )
}

/// Gives the lock back; after this the connection may be silent, in the pool.
pub(super) fn unlock_instance(request: &Request) -> String {
    format!(
        "SELECT set_config(name, reset_val, false) FROM pg_settings \
         WHERE name = 'idle_session_timeout'; SELECT pg_advisory_unlock({})",
        lock(request)
    )
}

/// Makes owner and login, and asks whether the database is there (one row) and whether it lets anyone
/// in.
pub(super) fn prepare(names: &Names, password: &SecretText) -> String {
    let Names { database, login } = names;
    let password = literal(password.expose());
    format!(
        "DO $towpath$ BEGIN\n\
           IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{database}') THEN\n\
             CREATE ROLE {database} NOLOGIN;\n\
           END IF;\n\
           IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN\n\
             GRANT {database} TO CURRENT_USER;\n\
           END IF;\n\
           IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{login}') THEN\n\
             CREATE ROLE {login} LOGIN PASSWORD {password} IN ROLE {database};\n\
           ELSE\n\
             ALTER ROLE {login} LOGIN PASSWORD {password};\n\
             GRANT {database} TO {login};\n\
           END IF;\n\
           ALTER ROLE {login} SET role = '{database}';\n\
         END $towpath$;\n\
         SELECT datallowconn FROM pg_database WHERE datname = '{database}'"
    )
}

/// Makes the database, closed until [`close_to_others`] has run. From `template0`, because nobody
/// can be connected to that one; it also allows the encoding to be set.
pub(super) fn create_database(names: &Names, more: &str) -> String {
    let database = &names.database;
    format!(
        "CREATE DATABASE {database} OWNER {database} TEMPLATE template0 ENCODING 'UTF8' \
         ALLOW_CONNECTIONS false{more}"
    )
}

/// Closes the database to all but its owner, and then opens it.
pub(super) fn close_to_others(request: &Request, names: &Names, open: bool) -> String {
    let database = &names.database;
    let comment = literal(&format!(
        "Towpath: {} {} of environment {}, team {}",
        request.resource_type, request.id, request.environment, request.team
    ));
    let open_it = if open {
        String::new()
    } else {
        format!("; ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    };
    format!(
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC; COMMENT ON DATABASE {database} IS \
         {comment}{open_it}"
    )
}

/// Lists the instance's roles.
pub(super) fn roles(names: &Names) -> String {
    let database = &names.database;
    format!(
        "SELECT rolname::text AS role FROM pg_roles WHERE rolname = '{database}' OR rolname ~ \
         '^{database}_r[0-9]+$' ORDER BY 1 DESC"
    )
}

/// Ends the sessions of `logins`, and drops them; run inside the instance's database.
pub(super) fn drop_logins(names: &Names, logins: &[String]) -> String {
    let list = logins.join(", ");
    let owner = &names.database;
    format!(
        "{} REASSIGN OWNED BY {list} TO {owner}; DROP OWNED BY {list}; DROP ROLE {list}",
        close_logins(logins)
    )
}

/// Refuses new sessions of `logins` and ends those that are open.
fn close_logins(logins: &[String]) -> String {
    let refuse: String = logins
        .iter()
        .map(|login| format!("ALTER ROLE {login} NOLOGIN; "))
        .collect::<Vec<_>>()
        .concat();
    let list: Vec<String> = logins.iter().map(|login| literal(login)).collect();
    format!(
        "{refuse}SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename IN ({});",
        list.join(", ")
    )
}

/// Drops the database, whoever is connected.
pub(super) fn drop_database(names: &Names) -> String {
    format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", names.database)
}

/// Drops `roles` and what rights they were given elsewhere.
pub(super) fn drop_roles(roles: &[String]) -> String {
    let list = roles.join(", ");
    format!(
        "{} DROP OWNED BY {list}; DROP ROLE {list}",
        close_logins(roles)
    )
}
