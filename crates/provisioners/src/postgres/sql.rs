//! The statements. Each batch is one round trip, and one transaction where Postgres allows.

use delivery::provisioner::Request;
use kernel::SecretText;

pub(super) use crate::servers::trusted;

/// How long one call waits for another one of the same instance.
const LOCK_WAIT: &str = "60s";

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
pub(super) fn lock(request: &Request) -> i64 {
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

/// Takes the lock, makes owner and login, and asks whether the database is there (one row) and
/// whether it lets anyone in.
pub(super) fn prepare(request: &Request, names: &Names, password: &SecretText) -> String {
    let Names { database, login } = names;
    let password = literal(password.expose());
    format!(
        "SET lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_lock({lock});\n\
         DO $towpath$ BEGIN\n\
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
         SELECT datallowconn FROM pg_database WHERE datname = '{database}'",
        lock = lock(request),
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

/// Takes the lock and lists the instance's roles.
pub(super) fn lock_and_list(request: &Request, names: &Names) -> String {
    let database = &names.database;
    format!(
        "SET lock_timeout = '{LOCK_WAIT}'; SELECT pg_advisory_lock({}); SELECT rolname::text AS role FROM pg_roles \
         WHERE rolname = '{database}' OR rolname ~ '^{database}_r[0-9]+$' ORDER BY 1 DESC",
        lock(request)
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
