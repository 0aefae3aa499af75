//! Postgres for tests: an administrator's URL, and a database for each test.

use std::{
    env, fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::{PATIENCE, configured, listens, require};

/// The role that tests use on a server of this machine, made by its owner `postgres`.
const ROLE: &str = "towpath_test";

/// Postgres, as a superuser: the URL of its database `postgres`.
///
/// Without `TOWPATH_TEST_POSTGRES_URL`: the server on port 5432, where root may ask its owner for
/// a superuser's role, or where the role `postgres` gets in without a password.
pub async fn postgres() -> Option<String> {
    require("postgres", find().await)
}

/// A database of its own, dropped with the value.
pub struct PostgresDatabase {
    /// Where it is, as a superuser.
    pub url: String,
    admin: String,
    name: String,
}

/// A fresh, empty database.
///
/// # Panics
/// Where the server is there, and does not make it.
pub async fn postgres_database() -> Option<PostgresDatabase> {
    let admin = postgres().await?;
    let name = format!("towpath_test_{:016x}", rand::random::<u64>());
    let mut connection = PgConnection::connect(&admin)
        .await
        .expect("Postgres took a connection a moment ago");
    // From template0: a connection to template1 by somebody else would stand in the way.
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
    connection
        .execute(AssertSqlSafe(sql))
        .await
        .expect("a superuser may create a database");
    let (server, _) = admin.rsplit_once('/').expect("the URL names a database");
    Some(PostgresDatabase {
        url: format!("{server}/{name}"),
        admin,
        name,
    })
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // A thread of its own: this may run on a runtime's thread, which must not block on another.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&admin)
                    .await
                    .map_err(io::Error::other)?;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connection
                    .execute(AssertSqlSafe(sql))
                    .await
                    .map_err(io::Error::other)
            })
        });
        match dropping.join() {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a test's database was not dropped"),
            Err(_) => tracing::warn!("a test's database was not dropped"),
        }
    }
}

async fn find() -> Result<String, String> {
    if let Some(url) = configured("POSTGRES") {
        return Ok(url);
    }
    if !listens(5432) {
        return Err(
            "nothing listens on port 5432, and TOWPATH_TEST_POSTGRES_URL is not set".into(),
        );
    }
    let open = "postgres://postgres@127.0.0.1:5432/postgres".to_owned();
    if lets_in(&open).await {
        return Ok(open);
    }
    let no_password = |error: io::Error| format!("the test role's password is not there: {error}");
    let password = password().map_err(no_password)?;
    let url = format!("postgres://{ROLE}:{password}@127.0.0.1:5432/postgres");
    // Other tests do the same at the same time; one of them gets there.
    for _ in 0..5 {
        if lets_in(&url).await {
            return Ok(url);
        }
        make_role(&password)?;
        sleep(Duration::from_millis(50)).await;
    }
    Err("the server on port 5432 lets no superuser in".into())
}

async fn lets_in(url: &str) -> bool {
    matches!(
        timeout(PATIENCE, PgConnection::connect(url)).await,
        Ok(Ok(_))
    )
}

/// One password for all tests of this user, readable for this user alone.
fn password() -> io::Result<String> {
    let user = env::var("USER").unwrap_or_else(|_| "user".into());
    let path: PathBuf = env::temp_dir().join(format!("towpath-test-postgres-{user}"));
    if !path.exists() {
        // Made beside its place, for its owner alone, and put there whole; or another was first.
        let mut file = tempfile::NamedTempFile::new()?;
        write!(file, "{:032x}", rand::random::<u128>())?;
        match file.persist_noclobber(&path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error.error);
            }
            _ => {}
        }
    }
    fs::read_to_string(path)
}

/// Has the server's owner make the role, or give it this password.
fn make_role(password: &str) -> Result<(), String> {
    let sql = format!(
        "DO $$ BEGIN
           IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
             ALTER ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{password}';
           ELSE
             CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{password}';
           END IF;
         END $$"
    );
    let failed = |error: io::Error| format!("the server's owner could not be asked: {error}");
    let mut psql = Command::new("runuser")
        .args(["-u", "postgres", "--", "psql", "-q", "-d", "postgres"])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = psql.stdin.take() {
        stdin.write_all(sql.as_bytes()).map_err(failed)?;
    }
    psql.wait().map(drop).map_err(failed)
}
