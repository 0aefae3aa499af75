//! Opening a store: where it is, how it is connected to, and that nobody else has it.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::{sync::watch, time::timeout};

use super::{
    herald::Herald,
    pooled::{PATIENCE, late},
    read_index::ReadIndex,
    sql::{Connection, Readers, failed},
};
use crate::{Error, ErrorKind, Result, error::disk_remedy};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Connections that read, at the most. SQLite reads from memory; Postgres is shared with others.
const READERS: u32 = 8;
/// A reader's connection that was idle for longer is tried before it is used.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is tried: one that has not answered by then is closed, and another made.
const TRIAL: Duration = Duration::from_secs(1);
/// How long opening waits for the one before it to let go of the file.
const HANDOVER: Duration = Duration::from_secs(2);

/// Makes connections that write.
#[derive(Clone)]
pub(super) enum Connector {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

impl Connector {
    /// Understands `url`. What it says of a password is in no error.
    pub(super) fn new(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() || path.starts_with(':') {
                return Err(Error::invalid("the store's URL names no file")
                    .remedy("use sqlite:///path/to/file"));
            }
            return Ok(Self::Sqlite(
                SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(PATIENCE)
                    .foreign_keys(true)
                    .disable_statement_logging(),
            ));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|error| {
                Error::invalid("the store's URL is not a Postgres URL")
                    .remedy("use postgres://user:password@host:5432/database")
                    .caused_by(error)
            })?;
            return Ok(Self::Postgres(
                options
                    .application_name("towpath")
                    // A replica that freezes within a transaction must not hold up the others, nor
                    // must one that waits for it wait for ever.
                    .options([
                        ("idle_in_transaction_session_timeout", "10s"),
                        ("lock_timeout", "10s"),
                    ])
                    .disable_statement_logging(),
            ));
        }
        let scheme = url.split(':').next().unwrap_or_default();
        Err(Error::invalid(format!("the store cannot be on `{scheme}`"))
            .remedy("use sqlite:///path/to/file or postgres://user:password@host:5432/database"))
    }

    /// `error` of opening, with the file that it is about.
    pub(super) fn named(&self, mut error: Error) -> Error {
        if let Self::Sqlite(options) = self {
            let path = options.get_filename().display().to_string();
            if !error.message.contains(&path) {
                error.message = format!("{path} cannot be used: {}", error.message);
            }
        }
        error
    }

    /// Takes the file for this process, and makes it readable for its owner alone. Nothing of the
    /// sort on Postgres, which several replicas share.
    pub(super) async fn lock(&self) -> Result<Option<Lock>> {
        let Self::Sqlite(options) = self else {
            return Ok(None);
        };
        let path = options.get_filename().to_owned();
        let deadline = tokio::time::Instant::now() + HANDOVER;
        loop {
            match Lock::take(&path) {
                Err(error)
                    if error.kind == ErrorKind::AlreadyExists
                        && tokio::time::Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                outcome => return outcome.map(Some),
            }
        }
    }

    /// Who tells other replicas of this one's commits: on Postgres, where there may be some.
    pub(super) fn herald(&self) -> Option<Herald> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(options) => Some(Herald::start(options.clone())),
        }
    }

    /// Who asks how far the log goes: on Postgres, where other replicas append to it as well.
    pub(super) fn read_index(&self, head: watch::Sender<i64>) -> Option<ReadIndex> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(options) => {
                let options = options.clone().application_name("towpath read index");
                Some(ReadIndex::start(options, head))
            }
        }
    }

    /// A new connection that writes.
    pub(super) async fn connect(&self) -> Result<Connection> {
        Ok(match self {
            Self::Sqlite(options) => Connection::Sqlite(options.connect().await.map_err(failed)?),
            Self::Postgres(options) => {
                Connection::Postgres(options.connect().await.map_err(failed)?)
            }
        })
    }

    /// The connections that read.
    pub(super) async fn readers(&self) -> Result<Readers> {
        Ok(match self {
            Self::Sqlite(options) => Readers::Sqlite(
                SqlitePoolOptions::new()
                    .max_connections(READERS)
                    .acquire_timeout(PATIENCE)
                    .connect_with(options.clone().create_if_missing(false).read_only(true))
                    .await
                    .map_err(failed)?,
            ),
            Self::Postgres(options) => Readers::Postgres(
                PgPoolOptions::new()
                    .max_connections(READERS)
                    .acquire_timeout(PATIENCE)
                    // Asked whether it lives only after a pause: each time would double the reads.
                    .test_before_acquire(false)
                    .before_acquire(|connection, used| {
                        Box::pin(async move {
                            if used.idle_for > PAUSE {
                                timeout(TRIAL, connection.ping())
                                    .await
                                    .unwrap_or_else(|_| Err(late()))?;
                            }
                            Ok(true)
                        })
                    })
                    .connect_with(options.clone())
                    .await
                    .map_err(failed)?,
            ),
        })
    }
}

/// Brings the tables to the state that this version knows.
pub(super) async fn migrate(connection: &mut Connection) -> Result<()> {
    match connection {
        Connection::Sqlite(connection) => SQLITE.run(connection).await,
        Connection::Postgres(connection) => POSTGRES.run(connection).await,
    }
    .map_err(|error| {
        let error = match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                return failed(error);
            }
            error => error,
        };
        Error::unavailable("the store could not be brought to this version's state")
            .remedy("a store that a newer version has written needs that version or a newer one")
            .caused_by(error)
    })
}

/// Keeps a second process away from the same SQLite file, for as long as it lives, and knows the file
/// again.
pub(super) struct Lock {
    _file: File,
    store: PathBuf,
    /// Device and number of the file: what was opened, whatever lies at its path now.
    identity: (u64, u64),
}

impl Lock {
    fn take(store: &Path) -> Result<Self> {
        let broken = |path: &Path, error: std::io::Error| {
            let otherwise =
                "the data directory must exist and be writable for the user who runs Towpath";
            Error::unavailable(format!("{} cannot be opened: {error}", path.display()))
                .remedy(disk_remedy(&error, otherwise))
        };
        let private = |path: &Path| {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| broken(path, error))
        };
        let mut path = PathBuf::from(store).into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut file = private(&path)?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            // Who holds it is only said to be helpful.
            let _ = file.read_to_string(&mut holder);
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!(
                    "{} is in use by another Towpath (process {})",
                    store.display(),
                    holder.trim()
                ),
            )
            .remedy(
                "stop that one first, use another data directory, or run several on Postgres",
            ));
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.map_err(|error| broken(&path, error))?;
        // SQLite gives its other files the mode of this one.
        let opened = private(store)?;
        let found = opened.metadata().map_err(|error| broken(store, error))?;
        Ok(Self {
            _file: file,
            store: store.to_owned(),
            identity: (found.dev(), found.ino()),
        })
    }

    /// Fails where the file was removed or replaced since: SQLite would go on writing to what nobody
    /// finds again.
    pub(super) fn in_place(&self) -> Result<()> {
        let lies_there = match std::fs::metadata(&self.store) {
            Ok(found) if (found.dev(), found.ino()) == self.identity => return Ok(()),
            Ok(_) => "another file lies in its place".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(Error::unavailable(format!(
            "the store {} was taken away beneath the running platform: {lies_there}",
            self.store.display()
        ))
        .remedy("put it back where it was; to go on with another file, start the platform anew"))
    }
}
