//! Durable event append against a raw insert loop on the same database, and the time from a commit
//! to a subscriber. Prints ratios: `cargo bench -p towpath-kernel`.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::time::{Duration, Instant};

use kernel::{Cause, Change, EventFilter, Key, NewEvent, Sealer, Store};
use serde_json::json;
use sqlx::{
    Connection as _, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use testkit::servers::postgres_database;
use uuid::Uuid;

/// Appends of each sort in one round.
const APPENDS: u32 = 300;
/// Rounds, taken in turn, so that what else the machine does meets both sides alike.
const ROUNDS: u32 = 5;
/// Callers at once in the concurrent case.
const CALLERS: u32 = 16;
/// Commits whose way to a subscriber is timed.
const DELIVERIES: usize = 500;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The same row as an event's, by hand.
const RAW: &str = "INSERT INTO raw (id, time, type, subject, team, correlation, actor, means, \
                   data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const COLUMNS: &str = "id TEXT NOT NULL, time TEXT NOT NULL, type TEXT NOT NULL, \
    subject TEXT NOT NULL, team TEXT NOT NULL, correlation TEXT NOT NULL, actor TEXT NOT NULL, \
    means TEXT NOT NULL, data TEXT NOT NULL";

fn event() -> NewEvent {
    NewEvent {
        kind: "dev.towpath.bench.appended".into(),
        subject: Key {
            kind: "Bench".into(),
            scope: "env".into(),
            name: "one".into(),
        },
        team: "core".into(),
        cause: Cause {
            actor: "bench".into(),
            ..Cause::system("test", Uuid::now_v7())
        },
        outcome: None,
        data: json!({"number": 1, "text": "as long as most events are"}),
    }
}

/// One insert, one commit, by hand; a macro because the two databases are two types.
macro_rules! insert_raw {
    ($connection:expr) => {{
        let event = event();
        sqlx::query(RAW)
            .bind(Uuid::now_v7().to_string())
            .bind(jiff::Timestamp::now().to_string())
            .bind(event.kind)
            .bind(event.subject.to_string())
            .bind(event.team)
            .bind(event.cause.correlation.to_string())
            .bind(event.cause.actor)
            .bind(event.cause.means.to_string())
            .bind(event.data.to_string())
            .execute(&mut *$connection)
            .await
            .map(drop)
    }};
}

enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    async fn insert(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => insert_raw!(connection),
            Self::Postgres(connection) => insert_raw!(connection),
        }
    }
}

async fn append(store: &Store) -> kernel::Result<()> {
    let mut change = Change::new();
    change.event(event());
    store.commit(change).await.map(drop)
}

fn rate(appends: u32, time: Duration) -> f64 {
    f64::from(appends) / time.as_secs_f64()
}

async fn compare(name: &str, store: &Store, mut raw: Raw) -> Result<(), Failure> {
    let (mut by_hand, mut alone, mut together) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    // The first of each prepares statements.
    raw.insert().await?;
    append(store).await?;
    for _ in 0..ROUNDS {
        // Both in tasks, as the platform's callers are: `main` has a thread of its own.
        let start = Instant::now();
        raw = tokio::spawn(async move {
            for _ in 0..APPENDS {
                raw.insert().await?;
            }
            Ok::<_, sqlx::Error>(raw)
        })
        .await??;
        by_hand += start.elapsed();

        let start = Instant::now();
        let caller = store.clone();
        tokio::spawn(async move {
            for _ in 0..APPENDS {
                append(&caller).await?;
            }
            Ok::<_, kernel::Error>(())
        })
        .await??;
        alone += start.elapsed();

        let start = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..APPENDS / CALLERS {
                        append(&store).await?;
                    }
                    Ok::<_, kernel::Error>(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        together += start.elapsed();
    }
    let by_hand = rate(APPENDS * ROUNDS, by_hand);
    let alone = rate(APPENDS * ROUNDS, alone);
    let together = rate(APPENDS / CALLERS * CALLERS * ROUNDS, together);
    println!("{name}: raw insert loop        {by_hand:>9.0}/s");
    println!(
        "{name}: append, one caller     {alone:>9.0}/s  {:.2} of raw",
        alone / by_hand
    );
    println!(
        "{name}: append, {CALLERS} callers     {together:>9.0}/s  {:.2} of raw",
        together / by_hand
    );
    Ok(())
}

/// From the answer of a commit on `writer` to the event in the hands of a subscriber of `reader`.
async fn deliver(name: &str, writer: &Store, reader: &Store) -> Result<(), Failure> {
    let mut head = reader.subscribe();
    let mut after = reader.head().await?;
    let mut waits = Vec::with_capacity(DELIVERIES);
    for _ in 0..DELIVERIES {
        let mut change = Change::new();
        change.event(event());
        let committed = writer.commit(change).await?.head;
        let start = Instant::now();
        // As whoever follows the log: it reads when it is told.
        head.wait_for(|head| *head >= committed).await?;
        let events = reader.events(&EventFilter::default(), after, 100).await?;
        after = events.last().map_or(after, |event| event.seq);
        assert_eq!(after, committed);
        waits.push(start.elapsed());
    }
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: append to subscriber   p50 {:.2?}  p99 {:.2?}",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

async fn sqlite() -> Result<(), Failure> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = directory.path().join("store.db");
    let url = format!("sqlite://{}", file.display());
    let store = Store::open(&url, Sealer::generate()?).await?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("raw.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let table = format!("CREATE TABLE raw (seq INTEGER PRIMARY KEY, {COLUMNS})");
    sqlx::query(sqlx::AssertSqlSafe(table))
        .execute(&mut connection)
        .await?;
    compare("sqlite", &store, Raw::Sqlite(connection)).await?;
    deliver("sqlite", &store, &store).await
}

async fn postgres() -> Result<(), Failure> {
    let Some(mut database) = postgres_database().await else {
        return Ok(());
    };
    database.durable().await;
    let sealer = Sealer::generate()?;
    let store = Store::open(&database.url, sealer.clone()).await?;
    let other = Store::open(&database.url, sealer).await?;
    let mut connection = PgConnection::connect(&database.url).await?;
    let table = format!("CREATE TABLE raw (seq BIGSERIAL PRIMARY KEY, {COLUMNS})");
    sqlx::query(sqlx::AssertSqlSafe(table))
        .execute(&mut connection)
        .await?;
    compare("postgres", &store, Raw::Postgres(connection)).await?;
    deliver("postgres, same replica", &store, &store).await?;
    deliver("postgres, other replica", &store, &other).await
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    sqlite().await?;
    postgres().await
}
