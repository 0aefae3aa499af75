//! A request that is sent again while the first still runs.

use std::{
    any::Any,
    pin::pin,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures::{FutureExt as _, future::join_all};
use kernel::{
    ErrorKind, Store,
    store::{Ended, Held, Idempotency, Replay},
};
use sqlx::Connection as _;
use testkit::PATIENCE;
use tokio::{
    sync::Semaphore,
    task,
    time::{self, Instant, timeout},
};

use crate::support::{Database, create, thing};

/// Long enough for whoever does not wait to be seen.
const MOMENT: Duration = Duration::from_millis(200);

const DIGEST: [u8; 32] = [1; 32];

/// Two replicas; twice the same one where there can be no other.
async fn two(database: &Database) -> [Store; 2] {
    let one = database.open().await;
    let other = if database.directory().is_some() {
        one.clone()
    } else {
        database.open().await
    };
    [one, other]
}

async fn ask(store: &Store) -> Idempotency {
    store.idempotent("ada", "k", DIGEST).await.unwrap()
}

fn first(known: Idempotency) -> Held {
    match known {
        Idempotency::First(held) => held,
        Idempotency::Answered(replay) => panic!("{replay:?}"),
    }
}

fn answer(run: u32) -> Replay {
    Replay {
        status: 202,
        body: format!("run {run}").into(),
    }
}

/// By hand, as time or the end of a process would.
async fn change(database: &Database, sql: &'static str) {
    if database.directory().is_some() {
        let connected = sqlx::SqliteConnection::connect(&database.url).await;
        let mut connection = connected.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let connected = sqlx::PgConnection::connect(&database.url).await;
        let mut connection = connected.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Notes by hand that the request's process is gone; nobody else writes then, until what this gives is dropped.
async fn lost_and_nobody_writes(database: &Database) -> Box<dyn Any> {
    if database.directory().is_some() {
        let connected = sqlx::SqliteConnection::connect(&database.url).await;
        let mut connection = connected.unwrap();
        // The same connection: no other could note it.
        let sql = "BEGIN IMMEDIATE; UPDATE idempotency SET worked = 0; COMMIT; BEGIN IMMEDIATE";
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        return Box::new(connection);
    }
    let connected = sqlx::PgConnection::connect(&database.url).await;
    let mut connection = connected.unwrap();
    let sql = "BEGIN; SELECT pg_advisory_xact_lock(7311867010)";
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    change(database, "UPDATE idempotency SET worked = 0").await;
    Box::new(connection)
}

async fn of_twenty_at_once_one_runs_and_all_have_its_answer(database: &Database) {
    let stores = two(database).await;
    let (runs, gate) = (AtomicU32::new(0), Semaphore::new(0));
    let asked = (0..20).map(|number| {
        let (store, runs, gate) = (&stores[number % 2], &runs, &gate);
        async move {
            match ask(store).await {
                Idempotency::First(held) => {
                    let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    store.keep_answer(held, answer(run)).await.unwrap();
                    answer(run)
                }
                Idempotency::Answered(replay) => replay,
            }
        }
    });
    let mut all = pin!(join_all(asked));
    assert!(timeout(MOMENT, &mut all).await.is_err());
    gate.add_permits(1);
    let answers = timeout(PATIENCE, all).await.unwrap();
    assert_eq!(answers, vec![answer(1); 20]);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn what_was_refused_is_run_by_one_of_those_who_wait(database: &Database) {
    let [one, other] = two(database).await;
    let held = first(ask(&one).await);
    let mut waiting = pin!(ask(&other));
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    assert!(one.forget_answer(held, Ended::Refused).await.unwrap());
    let held = first(timeout(PATIENCE, waiting).await.unwrap());
    other.keep_answer(held, answer(2)).await.unwrap();
    assert_eq!(ask(&one).await, Idempotency::Answered(answer(2)));
}

async fn one_that_was_killed_frees_those_who_wait(database: &Database) {
    let [one, other] = two(database).await;
    drop(first(ask(&one).await));
    let asked = [&one, &other].map(|store| async move {
        match ask(store).await {
            Idempotency::First(held) => {
                store.keep_answer(held, answer(2)).await.unwrap();
                answer(2)
            }
            Idempotency::Answered(replay) => replay,
        }
    });
    let mut all = pin!(join_all(asked));
    assert!(timeout(MOMENT, &mut all).await.is_err());
    change(database, "UPDATE idempotency SET expires = 0").await;
    let answers = timeout(PATIENCE, all).await.unwrap();
    assert_eq!(answers, vec![answer(2); 2]);
}

async fn one_that_was_killed_after_a_commit_is_said_to_be_lost(database: &Database) {
    let [one, other] = two(database).await;
    drop(first(ask(&one).await));
    let mut waiting = pin!(other.idempotent("ada", "k", DIGEST));
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    change(database, "UPDATE idempotency SET worked = 0").await;
    let lost = timeout(PATIENCE, waiting).await.unwrap().unwrap_err();
    assert_eq!((lost.kind, lost.retry_after()), (ErrorKind::Conflict, None));
    assert!(lost.message.contains("its answer is lost"), "{lost}");
}

async fn who_waits_looks_beside_the_one_who_writes(database: &Database) {
    let [one, other] = two(database).await;
    drop(first(ask(&one).await));
    let mut waiting = pin!(other.idempotent("ada", "k", DIGEST));
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    let _nobody_writes = lost_and_nobody_writes(database).await;
    let lost = timeout(PATIENCE, waiting).await.unwrap().unwrap_err();
    assert!(lost.message.contains("its answer is lost"), "{lost}");
}

async fn who_waits_for_what_breaks_off_after_a_commit_hears_why(database: &Database) {
    let [one, other] = two(database).await;
    let held = first(ask(&one).await);
    let made = thing("env", "made", 1);
    held.clone().during(create(&one, &made)).await;
    let mut waiting = pin!(ask(&other));
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    let is_free = one.forget_answer(held.clone(), Ended::BrokenOff).await;
    assert!(!is_free.unwrap());
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    one.keep_answer(held, answer(1)).await.unwrap();
    let known = timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(known, Idempotency::Answered(answer(1)));
}

async fn another_request_with_the_key_is_refused_at_once(database: &Database) {
    let [one, other] = two(database).await;
    let _held = first(ask(&one).await);
    let another = timeout(PATIENCE, other.idempotent("ada", "k", [2; 32])).await;
    assert_eq!(another.unwrap().unwrap_err().kind, ErrorKind::Invalid);
}

async fn of_one_caller_the_newest_thousand_are_kept(database: &Database) {
    let store = database.open().await;
    let keep = |caller: &'static str, key: String| {
        let store = &store;
        async move {
            let known = store.idempotent(caller, &key, DIGEST).await.unwrap();
            store.keep_answer(first(known), answer(1)).await.unwrap();
        }
    };
    keep("ada", "first".into()).await;
    keep("bob", "first".into()).await;
    join_all((0..1_000).map(|number| keep("ada", number.to_string()))).await;
    first(store.idempotent("ada", "first", DIGEST).await.unwrap());
    for (caller, key) in [("ada", "0"), ("ada", "999"), ("bob", "first")] {
        let known = store.idempotent(caller, key, DIGEST).await.unwrap();
        assert_eq!(known, Idempotency::Answered(answer(1)), "{caller} {key}");
    }
}

async fn what_is_not_kept_is_not_run_again(database: &Database) {
    let [one, other] = two(database).await;
    one.lose_answer(first(ask(&one).await)).await.unwrap();
    let lost = timeout(PATIENCE, other.idempotent("ada", "k", DIGEST)).await;
    let lost = lost.unwrap().unwrap_err();
    assert_eq!((lost.kind, lost.retry_after()), (ErrorKind::Conflict, None));
    assert!(lost.message.contains("its answer is lost"), "{lost}");
}

async fn who_goes_away_while_the_key_is_taken_leaves_it_free(database: &Database) {
    let store = database.open().await;
    let mut keys = (0..).map(|number: u32| number.to_string());
    // One that is asked for and not waited for.
    let goes_away = |key: &String| {
        let asked = store.idempotent("ada", key, DIGEST);
        asked.now_or_never().is_none()
    };
    let key = keys.find(goes_away).unwrap();
    let again = timeout(PATIENCE, store.idempotent("ada", &key, DIGEST)).await;
    first(again.unwrap().unwrap());
}

on_both!(
    of_twenty_at_once_one_runs_and_all_have_its_answer,
    what_was_refused_is_run_by_one_of_those_who_wait,
    one_that_was_killed_frees_those_who_wait,
    one_that_was_killed_after_a_commit_is_said_to_be_lost,
    who_waits_looks_beside_the_one_who_writes,
    who_waits_for_what_breaks_off_after_a_commit_hears_why,
    another_request_with_the_key_is_refused_at_once,
    who_goes_away_while_the_key_is_taken_leaves_it_free,
    of_one_caller_the_newest_thousand_are_kept,
    what_is_not_kept_is_not_run_again,
);

#[tokio::test]
async fn who_has_waited_for_long_is_told_when_to_ask_again() {
    let database = Database::sqlite();
    let store = database.open().await;
    let held = first(ask(&store).await);
    // Time passes by hand: of its own accord it would while the database's threads answer.
    let (until_the_end, stays) = mpsc::channel::<()>();
    task::spawn_blocking(move || stays.recv());
    time::pause();
    let begun = Instant::now();
    let mut waiting = pin!(store.idempotent("ada", "k", DIGEST));
    let mut step = 0;
    let still = loop {
        step += 1;
        let made = thing("env", &format!("made-{step}"), step);
        tokio::select! {
            biased;
            still = &mut waiting => break still.unwrap_err(),
            // While this is written, whoever waits looks.
            _ = create(&store, &made) => {}
        }
        time::advance(Duration::from_secs(2)).await;
    };
    drop(until_the_end);
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert_eq!(still.kind, ErrorKind::Conflict);
    assert_eq!(still.retry_after(), Some(Duration::from_secs(1)));
    store.keep_answer(held, answer(1)).await.unwrap();
    assert_eq!(ask(&store).await, Idempotency::Answered(answer(1)));
}
