//! The statements. Names consist of letters, digits and underscores, passwords of letters and
//! digits: nothing needs quoting but the wildcards in grants.

use delivery::provisioner::Request;
use kernel::SecretText;

/// The longest name of a database, and the longest that a grant takes: there each underscore counts
/// twice, for it is escaped.
const LONGEST: usize = 64;

/// The names of an instance on the server.
pub(super) struct Names {
    pub(super) database: String,
    /// What the logins of all rotations begin with.
    pub(super) login_stem: String,
    /// The login of the present rotation.
    pub(super) login: String,
}

impl Names {
    pub(super) fn of(request: &Request) -> Self {
        // MySQL cuts users at 32 characters; the rest is for `_r<rotation>`.
        let login_stem = request.unique_name(26, '_');
        Self {
            database: database(request),
            login: format!("{login_stem}_r{}", request.rotation),
            login_stem,
        }
    }
}

/// The longest name that a grant takes as well.
fn database(request: &Request) -> String {
    let mut max = LONGEST;
    loop {
        let name = request.unique_name(max, '_');
        if escaped(&name).len() <= LONGEST {
            return name;
        }
        max -= 1;
    }
}

/// Makes database and login, and gives the login its rights.
pub(super) fn provision(names: &Names, password: &SecretText) -> String {
    let Names {
        database, login, ..
    } = names;
    let password = password.expose();
    let pattern = pattern(names);
    format!(
        "CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4; \
         CREATE USER IF NOT EXISTS '{login}'@'%' IDENTIFIED BY '{password}'; \
         ALTER USER '{login}'@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK; \
         GRANT ALL PRIVILEGES ON `{pattern}`.* TO '{login}'@'%'"
    )
}

/// The database as a grant names it: there an underscore stands for any character, and would open
/// other databases too.
fn pattern(names: &Names) -> String {
    escaped(&names.database)
}

fn escaped(database: &str) -> String {
    database.replace('_', "\\_")
}

/// Whether a line of `SHOW GRANTS` gives all rights in the database.
pub(super) fn grants_all(line: &str, names: &Names) -> bool {
    // Servers escape the pattern's backslashes, or do not.
    let line = line.replace("\\\\", "\\");
    line.starts_with(&format!("GRANT ALL PRIVILEGES ON `{}`.*", pattern(names)))
}

/// Ends a login: drops it, or locks it where things run in its name.
pub(super) fn close_login(login: &str, is_maker: bool) -> String {
    if is_maker {
        format!("ALTER USER '{login}'@'%' ACCOUNT LOCK")
    } else {
        format!("DROP USER IF EXISTS '{login}'@'%'")
    }
}

/// Drops the database; gives up after a while where someone holds a lock on it.
pub(super) fn drop_database(names: &Names) -> String {
    format!(
        "SET SESSION lock_wait_timeout = 20; DROP DATABASE IF EXISTS `{}`",
        names.database
    )
}
