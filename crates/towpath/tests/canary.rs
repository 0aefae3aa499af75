//! Secrets are nowhere but where they were asked for by name: not in the log, the events, the plans,
//! the documents, the answers or what the command line says of them, and not in the store's files.

mod site;

use std::{collections::BTreeSet, process::Command, time::Duration};

use client::Client;
use delivery::{
    api::Data,
    model::{DeploymentPhase, ResourceInstance},
};
use serde_json::{Map, Value, json};
use site::{
    Site,
    listed::Servers,
    search::{Search, search_api, search_command_line, search_files, secrets},
    work,
};

const LONG: Duration = Duration::from_secs(60);

fn deployment(servers: &Servers, greeting: &str, blurt: bool) -> delivery::api::NewDeployment {
    let mut resources = Map::new();
    let mut all = Vec::new();
    for resource_type in servers.types() {
        resources.insert(
            format!("a-{resource_type}"),
            json!({ "type": resource_type }),
        );
        all.push(match resource_type {
            "s3" => "${resources.a-s3.secret_access_key}",
            "postgres" => "${resources.a-postgres.url} ${resources.a-postgres.password}",
            "mysql" => "${resources.a-mysql.url}",
            "redis" => "${resources.a-redis.url}",
            "amqp" => "${resources.a-amqp.url}",
            _ => "",
        });
    }
    let mut variables = json!({ "GREETING": greeting, "SECRETS": all.join(" ") });
    if blurt {
        variables["BLURT"] = all.join(" ").into();
    }
    let mut score = work::score("hello", &variables, &Value::Object(resources));
    score["containers"]["main"]["files"] =
        json!({ "secrets.conf": { "content": format!("secrets = {}", all.join(",")) } });
    let mut new = work::deployment(score);
    new.timeout_seconds = Some(if blurt { 20 } else { 60 });
    new
}

async fn deploy(
    client: &Client,
    environment: &str,
    new: &delivery::api::NewDeployment,
    expected: DeploymentPhase,
) -> kernel::Resource<delivery::model::Deployment> {
    let begun = client
        .deploy(environment, new)
        .await
        .expect("it is accepted");
    let end = work::ended(client, &begun).await;
    assert_eq!(end.status.phase, expected, "{:?}", end.status.failure);
    end
}

async fn nowhere(store: Option<&testkit::servers::PostgresDatabase>) {
    let servers = Servers::find().await;
    let data = tempfile::tempdir().expect("a directory");
    let mut site = Site::new(data.path());
    site.log_level = "debug,hyper=info,h2=info";
    site.store = store.map(|database| database.url.clone());
    let running = site.start().await;
    let client = running.client();
    let environment = format!("c{}", site.api);
    let mut all = BTreeSet::new();

    deploy(
        client,
        &environment,
        &deployment(&servers, "one", false),
        DeploymentPhase::Succeeded,
    )
    .await;
    all.extend(secrets(client, &environment).await);
    let blurts = deployment(&servers, "two", true);
    let failed = deploy(client, &environment, &blurts, DeploymentPhase::RolledBack).await;
    let failure = failed.status.failure.expect("it says why");
    assert!(
        failure.log.iter().any(|line| line.contains("cannot use")),
        "{failure:?}"
    );

    let page = client
        .resources(&environment, &Default::default())
        .await
        .expect("a list");
    let has_secrets =
        |one: &&kernel::Resource<ResourceInstance>| !one.status.secret_outputs.is_empty();
    for instance in page.items.iter().filter(has_secrets) {
        client
            .rotate_resource(&environment, &instance.meta.name)
            .await
            .expect("it rotates");
    }
    testkit::eventually("everything is rotated and in use", LONG, || async {
        let page = client
            .resources(&environment, &Default::default())
            .await
            .expect("a list");
        page.items
            .iter()
            .filter(has_secrets)
            .all(|i| i.status.oldest_rotation == 2)
            .then_some(())
    })
    .await;
    let before = all.len();
    all.extend(secrets(client, &environment).await);
    assert!(
        before >= servers.types().len() - 1 && all.len() >= 2 * before,
        "{before} {}",
        all.len()
    );

    let mut search = Search::of(all);
    // That it finds what is there: the program has written its secrets into its own log.
    let log = client
        .logs(&environment, "hello", &Default::default())
        .await
        .expect("the log");
    search.look_at("the workload's own log", &log);
    assert!(!search.found.is_empty(), "the search finds nothing at all");
    search.found.clear();

    let score = data.path().join("score.json");
    let text = serde_json::to_vec(&blurts.workloads["hello"]).expect("it is JSON");
    std::fs::write(&score, text).expect("it is written");
    search.look_at(
        "a plan",
        &client.plan(&environment, &blurts).await.expect("a plan"),
    );
    search.look_at("the failure", &failure);
    search_api(&mut search, &site, client, &environment).await;
    search_command_line(&mut search, &site, &environment, "hello", &score).await;
    search_files(&mut search, data.path());
    if let Some(database) = store {
        let dump = Command::new("pg_dump")
            .args(["--inserts", &database.url])
            .output();
        let dump = dump.expect("pg_dump runs");
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        assert!(dump.stdout.len() > 10_000);
        search.look("the dump of the store", &dump.stdout);
    }
    assert!(search.places > 60, "{}", search.places);
    assert!(search.found.is_empty(), "{}", search.found.join("\n\n"));

    client
        .delete_environment(&environment, Data::Remove, None)
        .await
        .expect("it may go");
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment(&environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
    // Nor in what is kept of what is gone.
    search_files(&mut search, data.path());
    assert!(search.found.is_empty(), "{}", search.found.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_anywhere_on_sqlite() {
    nowhere(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_anywhere_on_postgres() {
    if let Some(database) = testkit::servers::postgres_database().await {
        nowhere(Some(&database)).await;
    }
}
