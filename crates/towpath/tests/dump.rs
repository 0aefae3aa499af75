//! What a resource holds is copied before it goes, and brought back.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use client::Client;
use delivery::model::{DeploymentPhase, ResourceInstance};
use kernel::Resource;
use serde_json::{Map, Value, json};
use site::{Site, work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, PgConnection};

/// Deploys a workload with a resource of each of these types, by the type's name.
async fn deployed(client: &Client, environment: &str, types: &[&str]) {
    let resource = |name: &&str| ((*name).to_owned(), json!({ "type": name }));
    let resources: Map<String, Value> = types.iter().map(resource).collect();
    let score = work::score("web", &json!({}), &resources.into());
    let deployment = client
        .deploy(environment, &work::deployment(score))
        .await
        .unwrap();
    let ended = work::ended(client, &deployment).await;
    assert_eq!(
        ended.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        ended.status
    );
}

async fn resource(client: &Client, environment: &str, of: &str) -> Resource<ResourceInstance> {
    let all = client::every(async |page| client.resources(environment, &page).await);
    let all = all.await.unwrap();
    all.into_iter()
        .find(|one| one.spec.node.resource_type == of)
        .unwrap()
}

async fn secret(client: &Client, environment: &str, name: &str, output: &str) -> String {
    let outputs = client.resource_outputs(environment, name, Some(output));
    outputs.await.unwrap().revealed[output].clone()
}

fn run(command: &mut Command) -> Output {
    let ended = command.output().unwrap();
    assert!(
        ended.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    ended
}

async fn dump(site: &Site, environment: &str, name: &str, out: &Path) -> work::Ended {
    let out = out.to_str().unwrap();
    site.cli(&["resource", "dump", name, "--env", environment, "--out", out])
        .await
}

/// The environment's own name: servers are shared.
fn environment(of: &str) -> String {
    format!("{of}-{:06x}", rand::random::<u32>() & 0x00ff_ffff)
}

async fn ended(site: &Site, environment: &str) {
    let ended = site
        .cli(&["env", "delete", environment, "--with-data"])
        .await;
    assert_eq!(ended.code, 0, "{}", ended.err);
}

#[tokio::test]
async fn a_database_is_dumped_before_it_goes_and_restored_into_another() {
    let program = testkit::servers::require("postgres", testkit::servers::program("pg_restore"));
    let (Some(restore), Some(_)) = (program, testkit::servers::postgres().await) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let (first, second) = (environment("dump"), environment("back"));
    deployed(client, &first, &["postgres"]).await;
    let database = resource(client, &first, "postgres").await;
    let name = database.meta.name.as_str();
    let url = secret(client, &first, name, "url").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection
        .execute("CREATE TABLE note (text text); INSERT INTO note VALUES ('kept')")
        .await
        .unwrap();

    // Each refusal names the very command.
    let told = format!("towpath resource dump {name} --env {first} --out {first}-{name}.dump");
    for arguments in [
        &["env", "delete", &first][..],
        &["delete", "environment", &first],
        &["resource", "delete", name, "--env", &first],
    ] {
        let refused = site.cli(arguments).await;
        assert_eq!(refused.code, 6, "{arguments:?}: {}", refused.err);
        assert!(
            refused.err.contains(&told),
            "{arguments:?}: {}",
            refused.err
        );
    }

    let desk = tempfile::tempdir().unwrap();
    let file = desk.path().join(format!("{name}.dump"));
    let done = dump(&site, &first, name, &file).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("pg_restore --no-owner"), "{}", done.out);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others of the machine may not read it");
    let again = dump(&site, &first, name, &file).await;
    assert_eq!(again.code, 6, "{}", again.err);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let password = secret(client, &first, name, "password").await;
    assert!(!(done.out + &done.err).contains(&password));
    drop(connection);
    ended(&site, &first).await;

    deployed(client, &second, &["postgres"]).await;
    let database = resource(client, &second, "postgres").await;
    let url = secret(client, &second, &database.meta.name, "url").await;
    run(Command::new(restore)
        .args(["--no-owner", "--dbname", &url])
        .arg(&file));
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let kept: String = sqlx::query_scalar("SELECT text FROM note")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, "kept");
    drop(connection);
    ended(&site, &second).await;
    let left: Vec<_> = fs::read_dir(desk.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no draft is left: {left:?}");
}

#[tokio::test]
async fn a_mysql_database_is_dumped_as_its_own_programs_do() {
    if testkit::servers::mysql().is_none() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let environment = environment("mydump");
    deployed(client, &environment, &["mysql"]).await;
    let database = resource(client, &environment, "mysql").await;
    let name = database.meta.name.as_str();
    let url = secret(client, &environment, name, "url").await;
    let mut connection = MySqlConnection::connect(&url).await.unwrap();
    for statement in [
        "CREATE TABLE note (text text)",
        "INSERT INTO note VALUES ('kept')",
    ] {
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let file = data.path().join("copy.sql");
    let done = dump(&site, &environment, name, &file).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("CREATE TABLE `note`") && text.contains("'kept'"),
        "{text}"
    );
    drop(connection);
    ended(&site, &environment).await;
}

#[tokio::test]
async fn a_volume_is_dumped_and_what_is_missing_is_named() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    deployed(client, "dev", &["volume", "s3", "dns"]).await;
    let volume = resource(client, "dev", "volume").await;
    let source = volume.status.outputs["source"].as_str().unwrap();
    fs::write(Path::new(source).join("note.txt"), "kept").unwrap();
    let file = data.path().join("copy.tar");
    let done = dump(&site, "dev", &volume.meta.name, &file).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let back = data.path().join("back");
    fs::create_dir(&back).unwrap();
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&file)
        .arg("--directory")
        .arg(&back));
    assert_eq!(fs::read_to_string(back.join("note.txt")).unwrap(), "kept");

    let none = data.path().join("none");
    let dns = resource(client, "dev", "dns").await;
    let refused = dump(&site, "dev", &dns.meta.name, &none).await;
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused
            .err
            .contains("there is of postgres, mysql, volume, s3"),
        "{}",
        refused.err
    );
    // The command line of this test looks for programs there alone.
    if !Path::new("/usr/bin/aws").exists() {
        let bucket = resource(client, "dev", "s3").await;
        let refused = dump(&site, "dev", &bucket.meta.name, &none).await;
        assert_eq!(refused.code, 1, "{}", refused.err);
        assert!(
            refused.err.contains("apt-get install awscli"),
            "{}",
            refused.err
        );
    }
    assert!(!none.exists());
}
