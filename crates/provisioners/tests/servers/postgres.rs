use delivery::provisioner::{Presence, Provisioner, Request};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use towpath_provisioners::Postgres;

use crate::support::{
    another, found, hangs_with_lock, heals_a_change, is_idempotent, keeps_its_description, listens,
    longest_names, output, removes_all, request, survives_being_dropped,
};

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect(&format!("{url}?sslmode=disable")).await
}

async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
}

#[tokio::test]
async fn a_program_uses_its_database_until_it_is_removed() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let mut request = request("postgres", "notes.db", "red");
    request
        .params
        .insert("extensions".into(), json!(["pg_trgm"]));
    let made = is_idempotent(&postgres, &request).await;
    keeps_its_description(&postgres, &made);

    let mut program = connect(&output(&made, "url")).await.unwrap();
    run(
        &mut program,
        "CREATE TABLE note (id int); INSERT INTO note VALUES (1)",
    )
    .await
    .unwrap();
    let near: f32 = sqlx::query_scalar("SELECT similarity('word', 'words')")
        .fetch_one(&mut program)
        .await
        .unwrap();
    assert!(near > 0.5);

    let listed = postgres.inventory(request.platform).await.unwrap();
    assert_eq!(listed, [postgres.listed_as(&request).unwrap()]);
    assert_eq!(postgres.presence(&request).await, Presence::Present);
    // The program is still connected: that must not hold the removal up.
    removes_all(&postgres, &request).await;
    assert!(connect(&output(&made, "url")).await.is_err());
    assert!(
        postgres
            .inventory(request.platform)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn names_of_any_length_fit() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let request = longest_names("postgres");
    let made = is_idempotent(&postgres, &request).await;
    let mut program = connect(&output(&made, "url")).await.unwrap();
    run(&mut program, "CREATE TABLE note (id int)")
        .await
        .unwrap();
    assert_eq!(postgres.presence(&request).await, Presence::Present);
    removes_all(&postgres, &request).await;
}

#[tokio::test]
async fn a_teams_login_opens_no_other_teams_database() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let red = request("postgres", "db", "red");
    let blue = another(&red, "blue");
    let (for_red, for_blue) =
        tokio::try_join!(postgres.provision(&red), postgres.provision(&blue)).unwrap();

    let crossed = format!(
        "postgres://{}:{}@127.0.0.1:5432/{}",
        output(&for_red, "username"),
        output(&for_red, "password"),
        output(&for_blue, "database"),
    );
    let refused = connect(&crossed).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");

    let mut program = connect(&output(&for_red, "url")).await.unwrap();
    for sql in [
        "CREATE ROLE intruder",
        "CREATE DATABASE more",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT rolpassword FROM pg_authid",
    ] {
        assert!(run(&mut program, sql).await.is_err(), "{sql} is allowed");
    }
    let steal = format!(
        "ALTER DATABASE {} RENAME TO mine",
        output(&for_blue, "name")
    );
    let stolen = sqlx::raw_sql(sqlx::AssertSqlSafe(steal))
        .execute(&mut program)
        .await;
    assert!(stolen.is_err());
    removes_all(&postgres, &red).await;
    removes_all(&postgres, &blue).await;
}

#[tokio::test]
async fn old_and_new_credentials_work_until_the_old_are_retired() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let first = request("postgres", "db", "red");
    let old = postgres.provision(&first).await.unwrap();
    let mut old_program = connect(&output(&old, "url")).await.unwrap();
    run(&mut old_program, "CREATE TABLE note (id int)")
        .await
        .unwrap();
    // A table that does not belong to the shared owner must not hold the login.
    run(
        &mut old_program,
        "RESET ROLE; SET ROLE NONE; CREATE SCHEMA IF NOT EXISTS public",
    )
    .await
    .unwrap();

    let second = Request {
        rotation: 2,
        state: old.state.clone(),
        ..first.clone()
    };
    let new = postgres.provision(&second).await.unwrap();
    assert_ne!(output(&old, "password"), output(&new, "password"));
    assert_eq!(output(&old, "database"), output(&new, "database"));
    let mut new_program = connect(&output(&new, "url")).await.unwrap();
    run(
        &mut new_program,
        "INSERT INTO note VALUES (1); ALTER TABLE note ADD word text",
    )
    .await
    .unwrap();
    connect(&output(&old, "url")).await.unwrap();

    postgres.retire(&second).await.unwrap();
    postgres.retire(&second).await.unwrap();
    assert!(connect(&output(&old, "url")).await.is_err());
    assert!(
        run(&mut old_program, "SELECT 1").await.is_err(),
        "its session lives on"
    );
    run(&mut new_program, "DROP TABLE note").await.unwrap();
    removes_all(&postgres, &second).await;
}

#[tokio::test]
async fn calls_that_are_dropped_anywhere_are_made_again() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let request = request("postgres", "db", "red");
    postgres.presence(&request).await;
    survives_being_dropped(&postgres, &request, 60_000).await;
    assert!(
        postgres
            .inventory(request.platform)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_call_that_hangs_loses_its_lock() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let request = request("postgres", "db", "red");
    let made = postgres.provision(&request).await.unwrap();
    let watch = format!(
        "postgres://{}:{}@127.0.0.1:5432/postgres",
        output(&made, "username"),
        output(&made, "password"),
    );
    let mut watch = connect(&watch).await.unwrap();
    let lock = request.uid.as_u64_pair().1.cast_signed();
    let hung = hangs_with_lock(&postgres, &request, async || {
        sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted \
             AND ((classid::bigint << 32) | objid::bigint) = $1)",
        )
        .bind(lock)
        .fetch_one(&mut watch)
        .await
        .unwrap()
    })
    .await;
    postgres.provision(&request).await.unwrap();
    // Awake again, it learns that it was too slow.
    let late = hung.await.unwrap_err();
    assert!(late.retry, "{late}");
    removes_all(&postgres, &request).await;
}

#[tokio::test]
async fn wrong_parameters_are_told_before_anything_is_made() {
    let postgres = Postgres::new(found());
    let params = json!({ "extensions": "pg_trgm", "extension": [] });
    let problems = postgres.check(params.as_object().unwrap());
    let rules: Vec<&str> = problems.iter().map(|p| p.rule.as_str()).collect();
    assert_eq!(rules, ["params/value", "params/unknown"]);
    if !listens("postgres", 5432) {
        return;
    }
    let mut request = request("postgres", "db", "red");
    request.params = json!({ "extensions": ["no_such"] })
        .as_object()
        .unwrap()
        .clone();
    let error = postgres.provision(&request).await.unwrap_err();
    assert!(!error.retry);
    assert!(error.message.contains("extension `no_such`"), "{error}");
    assert!(error.remedy.unwrap().contains("install"));
    removes_all(&postgres, &request).await;
}

#[tokio::test]
async fn a_login_that_no_longer_works_is_noticed_and_mended() {
    if !listens("postgres", 5432) {
        return;
    }
    let postgres = Postgres::new(found());
    let request = request("postgres", "db", "red");
    let made = postgres.provision(&request).await.unwrap();
    let (url, login) = (output(&made, "url"), output(&made, "username"));
    let mut program = connect(&url).await.unwrap();
    run(&mut program, "CREATE TABLE kept (id int)")
        .await
        .unwrap();

    // The login is its own to change; its sessions act as the owner.
    let sql = format!("SET ROLE NONE; ALTER ROLE {login} PASSWORD 'other'");
    let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut program);
    changed.await.unwrap();
    assert!(connect(&url).await.is_err());
    heals_a_change(&postgres, &request, &made, "password authentication failed").await;

    let mut program = connect(&url).await.unwrap();
    let sql = format!("SET ROLE NONE; ALTER ROLE {login} RESET role");
    let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut program);
    changed.await.unwrap();
    heals_a_change(&postgres, &request, &made, "it acts as").await;

    let mut program = connect(&url).await.unwrap();
    run(&mut program, "SELECT * FROM kept").await.unwrap();
    removes_all(&postgres, &request).await;
}
