use delivery::provisioner::{Presence, Provisioner, Request};
use sqlx::{Connection as _, MySqlConnection};
use towpath_provisioners::Mysql;

use crate::support::{
    another, found, hangs_with_lock, heals_a_change, is_idempotent, keeps_its_description, listens,
    longest_names, output, removes_all, request, survives_being_dropped,
};

async fn run(connection: &mut MySqlConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
}

#[tokio::test]
async fn a_program_uses_its_database_until_it_is_removed() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let request = request("mysql", "notes.db", "red");
    let made = is_idempotent(&mysql, &request).await;
    keeps_its_description(&mysql, &made);
    let mut program = MySqlConnection::connect(&output(&made, "url"))
        .await
        .unwrap();
    run(&mut program, "CREATE TABLE note (id int)")
        .await
        .unwrap();
    // An open transaction must not hold the removal up.
    run(
        &mut program,
        "START TRANSACTION; INSERT INTO note VALUES (1)",
    )
    .await
    .unwrap();

    let listed = mysql.inventory(request.platform).await.unwrap();
    assert_eq!(listed, [mysql.listed_as(&request).unwrap()]);
    assert_eq!(mysql.presence(&request).await, Presence::Present);
    removes_all(&mysql, &request).await;
    assert!(
        MySqlConnection::connect(&output(&made, "url"))
            .await
            .is_err()
    );
    assert!(mysql.inventory(request.platform).await.unwrap().is_empty());
}

/// A grant takes 64 characters, and escapes each underscore by one more.
#[tokio::test]
async fn names_of_any_length_fit() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let ids = ["ab", "abcdefgh", "abcdefghijklmnop", "orders-database"];
    let ordinary = ids.map(|id| Request {
        environment: "payments-pr-1234".to_owned(),
        ..request("mysql", &format!("checkout-service.{id}"), "red")
    });
    for request in [vec![longest_names("mysql")], ordinary.to_vec()].concat() {
        let made = is_idempotent(&mysql, &request).await;
        let name = output(&made, "database");
        assert_eq!(mysql.listed_as(&request).as_ref(), Some(&name));
        let end = request.uid.simple().to_string().split_off(24);
        assert!(name.ends_with(&format!("_{end}")), "{name}");
        let mut program = MySqlConnection::connect(&output(&made, "url"))
            .await
            .unwrap();
        run(&mut program, "CREATE TABLE note (id int)")
            .await
            .unwrap();
        assert_eq!(mysql.presence(&request).await, Presence::Present);
        removes_all(&mysql, &request).await;
    }
}

/// What was made before the limit of grants was kept has its name still.
#[test]
fn a_name_that_fits_is_as_long_as_the_server_takes() {
    let mysql = Mysql::new(found());
    let request = Request {
        environment: "payments".to_owned(),
        ..request("mysql", &format!("x{}", "y".repeat(62)), "red")
    };
    let name = mysql.listed_as(&request).unwrap();
    assert_eq!(name.len() + name.matches('_').count(), 64, "{name}");
    let short = Request {
        id: "notes.db".to_owned(),
        ..request
    };
    let name = mysql.listed_as(&short).unwrap();
    assert_eq!(name, short.unique_name(64, '_'));
}

#[tokio::test]
async fn a_teams_login_opens_no_other_teams_database() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let red = request("mysql", "db", "red");
    let blue = another(&red, "blue");
    let (for_red, for_blue) =
        tokio::try_join!(mysql.provision(&red), mysql.provision(&blue)).unwrap();
    let crossed = format!(
        "mysql://{}:{}@127.0.0.1:3306/{}",
        output(&for_red, "username"),
        output(&for_red, "password"),
        output(&for_blue, "database"),
    );
    let refused = MySqlConnection::connect(&crossed)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Access denied"), "{refused}");
    let mut program = MySqlConnection::connect(&output(&for_red, "url"))
        .await
        .unwrap();
    let seen: Vec<String> =
        sqlx::query_scalar("SELECT CAST(SCHEMA_NAME AS CHAR) FROM information_schema.SCHEMATA")
            .fetch_all(&mut program)
            .await
            .unwrap();
    assert!(!seen.contains(&output(&for_blue, "database")), "{seen:?}");
    for sql in [
        "CREATE DATABASE more",
        "CREATE USER intruder",
        "SELECT * FROM mysql.user",
        "SELECT 1 INTO OUTFILE '/tmp/towpath-intruder'",
    ] {
        assert!(run(&mut program, sql).await.is_err(), "{sql} is allowed");
    }
    // A name that differs only where this one has an underscore: a careless grant would match it.
    let near = format!(
        "CREATE DATABASE `{}`",
        output(&for_red, "database").replace('_', "x")
    );
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(near))
        .execute(&mut program)
        .await;
    assert!(made.is_err(), "the grant's underscores are wildcards");
    removes_all(&mysql, &red).await;
    removes_all(&mysql, &blue).await;
}

#[tokio::test]
async fn old_and_new_credentials_work_until_the_old_are_retired() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let first = request("mysql", "db", "red");
    let old = mysql.provision(&first).await.unwrap();
    let mut old_program = MySqlConnection::connect(&output(&old, "url"))
        .await
        .unwrap();
    run(
        &mut old_program,
        "CREATE TABLE note (id int); CREATE VIEW notes AS SELECT id FROM note",
    )
    .await
    .unwrap();
    let second = Request {
        rotation: 2,
        state: old.state.clone(),
        ..first.clone()
    };
    let new = mysql.provision(&second).await.unwrap();
    assert_ne!(output(&old, "password"), output(&new, "password"));
    MySqlConnection::connect(&output(&old, "url"))
        .await
        .unwrap();
    let mut new_program = MySqlConnection::connect(&output(&new, "url"))
        .await
        .unwrap();

    mysql.retire(&second).await.unwrap();
    mysql.retire(&second).await.unwrap();
    assert!(
        MySqlConnection::connect(&output(&old, "url"))
            .await
            .is_err()
    );
    assert!(
        run(&mut old_program, "SELECT 1").await.is_err(),
        "its session lives on"
    );
    // The view runs in the name of the login that is no longer let in.
    run(&mut new_program, "INSERT INTO note VALUES (1)")
        .await
        .unwrap();
    let seen: Vec<i32> = sqlx::query_scalar("SELECT id FROM notes")
        .fetch_all(&mut new_program)
        .await
        .unwrap();
    assert_eq!(seen, [1]);
    removes_all(&mysql, &second).await;
    assert!(mysql.inventory(first.platform).await.unwrap().is_empty());
}

#[tokio::test]
async fn calls_that_are_dropped_anywhere_are_made_again() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let request = request("mysql", "db", "red");
    mysql.presence(&request).await;
    survives_being_dropped(&mysql, &request, 20_000).await;
    assert!(mysql.inventory(request.platform).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_hangs_loses_its_lock() {
    if !listens("mysql", 3306) {
        return;
    }
    let mysql = Mysql::new(found());
    let request = request("mysql", "db", "red");
    let made = mysql.provision(&request).await.unwrap();
    let mut watch = MySqlConnection::connect(&output(&made, "url"))
        .await
        .unwrap();
    let lock = mysql.listed_as(&request).unwrap();
    let hung = hangs_with_lock(&mysql, &request, async || {
        sqlx::query_scalar::<_, Option<i64>>("SELECT CAST(IS_USED_LOCK(?) AS SIGNED)")
            .bind(&lock)
            .fetch_one(&mut watch)
            .await
            .unwrap()
            .is_some()
    })
    .await;
    mysql.provision(&request).await.unwrap();
    // Awake again, it learns that it was too slow.
    let late = hung.await.unwrap_err();
    assert!(late.retry, "{late}");
    removes_all(&mysql, &request).await;
}

#[tokio::test]
async fn a_login_that_no_longer_works_is_noticed_and_mended() {
    let (true, Some(administrator)) = (listens("mysql", 3306), testkit::servers::mysql()) else {
        return;
    };
    let mysql = Mysql::new(found());
    let request = request("mysql", "db", "red");
    let made = mysql.provision(&request).await.unwrap();
    let (login, database) = (output(&made, "username"), output(&made, "database"));
    let pattern = database.replace('_', "\\_");
    for (sql, why) in [
        (
            format!("ALTER USER '{login}'@'%' IDENTIFIED BY 'other'"),
            "Access denied",
        ),
        (format!("DROP USER '{login}'@'%'"), "Access denied"),
        (
            format!("REVOKE INSERT ON `{pattern}`.* FROM '{login}'@'%'"),
            "all rights",
        ),
        (
            format!("REVOKE ALL ON `{pattern}`.* FROM '{login}'@'%'"),
            "Access denied",
        ),
    ] {
        let mut administrator = MySqlConnection::connect(&administrator).await.unwrap();
        let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut administrator);
        changed.await.unwrap();
        heals_a_change(&mysql, &request, &made, why).await;
        MySqlConnection::connect(&output(&made, "url"))
            .await
            .unwrap();
    }
    removes_all(&mysql, &request).await;
}
