//! Postgres for tests: an administrator's URL, and a database for each test.

use std::{
    env, fs,
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
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

/// A database that is this value's alone for as long as it lives.
///
/// Databases are kept for the next test and emptied for it: that takes a tenth of the time of making and dropping one,
/// for which the server writes out all that it has in memory. Commits do not wait for the disk, unless
/// [`PostgresDatabase::durable`] was called.
pub struct PostgresDatabase {
    /// Where it is, as a superuser.
    pub url: String,
    name: String,
    /// Holds the lock by which others know that it is taken; the server lets go of it with the connection.
    held: Mutex<PgConnection>,
}

/// The databases of tests that run at once, at the most.
const DATABASES: i32 = 64;
/// What the locks on them begin with: any number that nobody else uses.
const LOCK: i32 = 730_117;

/// An empty database.
///
/// # Panics
/// Where the server is there, and does not make it.
pub async fn postgres_database() -> Option<PostgresDatabase> {
    let admin = postgres().await?;
    let mut held = PgConnection::connect(&admin)
        .await
        .expect("Postgres took a connection a moment ago");
    let number = take(&mut held).await.expect("a superuser may lock");
    // A name that nobody has known: a platform that has outlived its test looks for that one's in vain.
    let name = format!("towpath_test_{number}_{:08x}", rand::random::<u32>());
    let (server, _) = admin.rsplit_once('/').expect("the URL names a database");
    // Over the loopback: what TLS would take is most of what a test takes to connect.
    let url = format!("{server}/{name}?sslmode=disable");
    make(&mut held, number, &name, &url)
        .await
        .expect("a superuser may make a database, rename it and empty it");
    Some(PostgresDatabase {
        url,
        name,
        held: Mutex::new(held),
    })
}

/// Locks the first number that nobody has.
async fn take(connection: &mut PgConnection) -> sqlx::Result<i32> {
    for number in 0..DATABASES {
        let free = sqlx::query_scalar("SELECT pg_try_advisory_lock($1, $2)")
            .bind(LOCK)
            .bind(number)
            .fetch_one(&mut *connection)
            .await?;
        if free {
            return Ok(number);
        }
    }
    panic!("{DATABASES} databases of tests are in use at once");
}

/// Makes `name` of the database that bears `number`, or makes one.
async fn make(admin: &mut PgConnection, number: i32, name: &str, url: &str) -> sqlx::Result<()> {
    let kept: Option<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
            .bind(format!("towpath_test_{number}_"))
            .fetch_optional(&mut *admin)
            .await?;
    if let Some(kept) = &kept {
        rename(admin, kept, name).await?;
    } else {
        // From template0: a connection to template1 by somebody else would stand in the way.
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        admin.execute(AssertSqlSafe(sql)).await?;
    }
    let sql = format!(
        "ALTER DATABASE {name} RESET ALL; ALTER DATABASE {name} SET synchronous_commit = off"
    );
    admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    if kept.is_some() {
        let mut inside = PgConnection::connect(url).await?;
        let sql = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; \
                   GRANT USAGE ON SCHEMA public TO PUBLIC";
        inside.execute(sqlx::raw_sql(sql)).await?;
        inside.close().await?;
    }
    Ok(())
}

/// Ends whatever is connected to it, which of a test that was killed may be left.
async fn rename(admin: &mut PgConnection, kept: &str, name: &str) -> sqlx::Result<()> {
    let sql = format!("ALTER DATABASE {kept} RENAME TO {name}");
    let mut tries = 0;
    loop {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(kept)
            .execute(&mut *admin)
            .await?;
        match admin.execute(AssertSqlSafe(sql.clone())).await {
            // Some have not ended yet, or have come anew.
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some("55006") && tries < 100 =>
            {
                tries += 1;
                sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome.map(drop),
        }
    }
}

impl PostgresDatabase {
    /// Commits of connections that are opened from now on wait for the disk, as a server's do.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn durable(&mut self) {
        let sql = format!("ALTER DATABASE {} RESET synchronous_commit", self.name);
        let held = self.held.get_mut();
        held.unwrap_or_else(PoisonError::into_inner)
            .execute(AssertSqlSafe(sql))
            .await
            .expect("a superuser may set that");
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
    let no_password = |error: io::Error| format!("the test role's password is not there: {error}");
    let password = password().map_err(no_password)?;
    let url = format!("postgres://{ROLE}:{password}@127.0.0.1:5432/postgres");
    let open = "postgres://postgres@127.0.0.1:5432/postgres".to_owned();
    for known in [&url, &open] {
        if lets_in(known).await {
            return Ok(known.clone());
        }
    }
    // Other tests do the same at the same time; one of them gets there.
    for _ in 0..5 {
        make_role(&password)?;
        sleep(Duration::from_millis(50)).await;
        if lets_in(&url).await {
            return Ok(url);
        }
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
