//! Environments: made on demand, changed, cloned, ended.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{path::Path, time::Duration};

use client::Client;
use delivery::{
    api::{
        ApplyOutcome, CreateEnvironment, Data, End, EnvironmentChange, ListQuery, NewEnvironment,
    },
    model::DeploymentPhase,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use site::{Site, listed::Servers, work};

const LONG: Duration = Duration::from_mins(1);
const HOUR: u64 = 3600;

/// A document of a kind of ours.
fn document(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "towpath.dev/v1", "kind": kind,
        "metadata": { "name": name }, "spec": spec,
    })
}

async fn apply(client: &Client, document: Value) -> ApplyOutcome {
    let answer = client.apply(vec![document]).await.unwrap();
    answer.items[0].outcome
}

/// Everything that a refusal says.
fn words(error: &client::Error) -> String {
    let client::Error::Refused(refused) = error else {
        panic!("it answers: {error}");
    };
    let problems = refused.problems.iter().map(|one| one.message.clone());
    let all: Vec<String> = std::iter::once(refused.to_string())
        .chain(problems)
        .collect();
    all.join("\n")
}

/// How many seconds from now an environment ends.
async fn left(client: &Client, name: &str) -> Option<i64> {
    let expires = client.environment(name).await.unwrap().spec.expires?;
    let left: SignedDuration = expires.duration_since(Timestamp::now());
    Some(left.as_secs())
}

fn near(left: Option<i64>, seconds: u64) -> bool {
    let seconds = i64::try_from(seconds).unwrap();
    left.is_some_and(|left| (seconds - 30..=seconds).contains(&left))
}

async fn gone(client: &Client, name: &str) {
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment(name).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}

fn write(directory: &Path, name: &str, score: &Value) -> String {
    let path = directory.join(name);
    std::fs::write(&path, score.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_document_changes_an_environment_that_is_there() {
    let data = tempfile::tempdir().unwrap();
    let running = Site::new(data.path()).start().await;
    let client = running.client();
    let says = |spec: Value| document("Environment", "pr-1", &spec);
    assert_eq!(
        apply(client, says(json!({ "ttlSeconds": HOUR }))).await,
        ApplyOutcome::Created
    );
    let before = client.environment("pr-1").await.unwrap();
    assert_eq!(before.spec.role, "ephemeral");
    assert_eq!(
        apply(client, says(json!({ "ttlSeconds": HOUR }))).await,
        ApplyOutcome::Unchanged,
        "what is said again does not move the end"
    );
    assert_eq!(client.environment("pr-1").await.unwrap().spec, before.spec);

    let mut other = says(json!({ "ttlSeconds": 2 * HOUR, "role": "qa" }));
    other["metadata"]["labels"] = json!({ "ticket": "17" });
    assert_eq!(apply(client, other).await, ApplyOutcome::Changed);
    assert!(near(left(client, "pr-1").await, 2 * HOUR));
    let after = client.environment("pr-1").await.unwrap();
    assert_eq!(after.spec.role, "qa");
    assert_eq!(after.meta.labels["ticket"], "17");

    let mut many = says(json!({}));
    many["metadata"]["labels"] = (0..65).map(|n| (format!("l{n}"), json!(""))).collect();
    let mut spaced = says(json!({}));
    spaced["metadata"]["labels"] = json!({ "ticket": "17 or 18" });
    for (labelled, why) in [(many, "64 at the most"), (spaced, "the label `ticket`")] {
        let refused = words(&client.apply(vec![labelled]).await.unwrap_err());
        assert!(refused.contains(why), "{refused}");
    }
    let unchanged = client.environment("pr-1").await.unwrap();
    assert_eq!(unchanged.meta.labels, after.meta.labels);

    let fixed = says(json!({ "engine": "docker", "team": "others" }));
    let client::Error::Refused(refused) = client.apply(vec![fixed]).await.unwrap_err() else {
        panic!("it answers");
    };
    let paths: Vec<_> = refused
        .problems
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["documents[0].spec.team", "documents[0].spec.engine"]
    );
    let protected = client.apply(vec![says(json!({ "role": "prod" }))]).await;
    let protected = words(&protected.unwrap_err());
    assert!(
        protected.contains("cannot end by themselves"),
        "{protected}"
    );
}

#[tokio::test]
async fn an_end_moves_only_where_there_is_one_or_somebody_says_so() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let score = work::score("hello", &json!({}), &json!({}));
    let file = write(data.path(), "score.json", &score);
    let deploy = async |env: &str, more: &[&str]| {
        let all = [&["deploy", &file, "--env", env][..], more].concat();
        site.cli(&all).await
    };
    let unknown = deploy("pr-1", &[]).await;
    assert_eq!(unknown.code, 4, "{}", unknown.err);
    let plan = async |more: &[&str]| {
        let all = [&["plan", &file, "--env", "pr-1"][..], more].concat();
        site.cli(&all).await.out
    };
    let planned = plan(&["--ttl", "1h"]).await;
    let made = "  + environment pr-1  role ephemeral, team default, ends in 1h\n";
    assert!(planned.starts_with(made), "{planned}");
    for ttl in ["1h", "3h", "2h"] {
        let ended = deploy("pr-1", &["--ttl", ttl]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        let hours: u64 = ttl.trim_end_matches('h').parse().unwrap();
        assert!(near(left(client, "pr-1").await, hours * HOUR), "{ttl}");
    }
    let planned = plan(&["--ttl", "4h"]).await;
    assert!(planned.starts_with("  ~ environment pr-1  "), "{planned}");
    assert!(planned.contains("ends in 4h\n"), "{planned}");
    let planned = plan(&[]).await;
    assert!(!planned.contains("environment pr-1"), "{planned}");
    let other = deploy("pr-1", &["--role", "qa"]).await;
    assert_eq!(other.code, 6, "{}", other.err);
    assert!(other.err.contains("role `ephemeral`"), "{}", other.err);

    let first = deploy("dev", &[]).await;
    assert_eq!(first.code, 0, "{}", first.err);
    let endless = deploy("dev", &["--ttl", "1h"]).await;
    assert_eq!(endless.code, 6, "{}", endless.err);
    assert!(endless.err.contains("env extend dev"), "{}", endless.err);
    assert_eq!(left(client, "dev").await, None);
    let extended = site.cli(&["env", "extend", "dev", "--ttl", "1h"]).await;
    assert_eq!(extended.code, 0, "{}", extended.err);
    assert!(near(left(client, "dev").await, HOUR));
    let extended = site.cli(&["env", "extend", "dev", "--forever"]).await;
    assert_eq!(extended.out, "environment dev does not end by itself\n");
    assert_eq!(left(client, "dev").await, None);
}

#[tokio::test]
async fn data_is_asked_for_before_it_goes_also_where_it_would_go_later() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let resources = json!({ "files": { "type": "volume" } });
    let mut new = work::deployment(work::score("hello", &json!({}), &resources));
    new.create_environment = Some(CreateEnvironment {
        role: None,
        ttl_seconds: Some(HOUR),
    });
    let deployment = client.deploy("pr-1", &new).await.unwrap();
    work::ended(client, &deployment).await;
    let refused = site.cli(&["env", "delete", "pr-1"]).await;
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(refused.err.contains("--with-data"), "{}", refused.err);
    let done = site.cli(&["env", "delete", "pr-1", "--with-data"]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        client.environment("pr-1").await.unwrap_err().is_not_found(),
        "said to be gone, and is"
    );
}

#[tokio::test]
async fn a_clone_keeps_the_definitions_of_its_source_until_it_is_told_otherwise() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let flags = |name: &str, url: &str, criteria: Value| {
        let spec = json!({
            "type": "flags", "provisioner": "template", "criteria": criteria,
            "params": { "outputs": { "url": url } },
        });
        document("ResourceDefinition", name, &spec)
    };
    apply(client, flags("flags", "first", json!([]))).await;
    let score = work::score(
        "hello",
        &json!({ "GREETING": "${resources.flags.url}" }),
        &json!({ "flags": { "type": "flags" } }),
    );
    let greeting = async |environment: &str| {
        let mut new = work::deployment(score.clone());
        new.create_environment = (environment == "dev").then(CreateEnvironment::default);
        let deployment = client.deploy(environment, &new).await.unwrap();
        let ended = work::ended(client, &deployment).await;
        assert_eq!(ended.status.phase, DeploymentPhase::Succeeded);
        let (_, body) = site
            .get(&format!("hello.{environment}.localhost"))
            .await
            .unwrap();
        body
    };
    assert_eq!(greeting("dev").await, "first");
    client
        .create_environment(&NewEnvironment {
            name: "copy".into(),
            clone_from: Some("dev".into()),
            ..NewEnvironment::default()
        })
        .await
        .unwrap();
    apply(client, flags("flags", "second", json!([]))).await;
    let of_copies = json!([{ "environment": "copy" }, { "environment": "dev" }]);
    apply(client, flags("flags-special", "third", of_copies)).await;
    assert_eq!(greeting("dev").await, "third");
    assert_eq!(greeting("copy").await, "first");
    let shown = site.cli(&["env", "describe", "copy"]).await.out;
    assert!(shown.contains("flags@1 (newest: 2)"), "{shown}");

    let unknown = site.cli(&["env", "unpin", "copy", "clouds"]).await;
    assert_eq!(unknown.code, 4, "{}", unknown.err);
    let done = site.cli(&["env", "unpin", "copy", "flags"]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(greeting("copy").await, "third");
    let pins = client.environment_summary("copy").await.unwrap().pins;
    assert!(pins.iter().any(|pin| pin.resource_type == "postgres"));
    let done = site.cli(&["env", "unpin", "copy"]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let pins = client.environment_summary("copy").await.unwrap().pins;
    assert_eq!(pins, []);
}

#[tokio::test]
async fn roles_are_data() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    // In one file, the environment before the role that it has.
    let training = json!({ "role": "training" });
    let documents = vec![
        document("Environment", "course", &training),
        document(
            "EnvironmentRole",
            "training",
            &json!({ "defaultTtlSeconds": HOUR }),
        ),
    ];
    client.apply(documents).await.unwrap();
    assert!(near(left(client, "course").await, HOUR));
    let unknown = client.apply(vec![document(
        "Environment",
        "other",
        &json!({ "role": "nonesuch" }),
    )]);
    let unknown = words(&unknown.await.unwrap_err());
    assert!(unknown.contains("nonesuch"), "{unknown}");

    let protect = |protected| {
        document(
            "EnvironmentRole",
            "vault",
            &json!({ "protected": protected }),
        )
    };
    apply(client, protect(true)).await;
    let new = NewEnvironment {
        name: "safe".into(),
        role: Some("vault".into()),
        ..NewEnvironment::default()
    };
    client.create_environment(&new).await.unwrap();
    let refused = site.cli(&["delete", "environment-role", "vault"]).await;
    assert_eq!(refused.code, 6, "{}", refused.err);
    assert!(
        refused.err.contains("used by environment `safe`"),
        "{}",
        refused.err
    );
    let refused = site.cli(&["env", "delete", "safe", "--with-data"]).await;
    assert_eq!(refused.code, 5, "{}", refused.err);
    assert!(refused.err.contains("role `vault`"), "{}", refused.err);
    let end = EnvironmentChange {
        end: Some(End::InSeconds(HOUR)),
        ..EnvironmentChange::default()
    };
    let refused = client.change_environment("safe", &end, None).await;
    assert!(refused.unwrap_err().to_string().contains("protected"));
    apply(client, protect(false)).await;
    client
        .delete_environment("safe", Data::Keep, None)
        .await
        .unwrap();
    gone(client, "safe").await;

    // Nothing has it any more.
    let deleted = site.cli(&["delete", "environment-role", "vault"]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.err);
    let roles = client
        .environment_roles(&ListQuery::default())
        .await
        .unwrap();
    assert!(roles.items.iter().all(|role| role.meta.name != "vault"));
    let missing = client.delete_environment_role("vault", None).await;
    assert!(missing.unwrap_err().is_not_found());
    let refused = client.delete_environment_role("dev", None).await;
    let refused = words(&refused.unwrap_err());
    assert!(refused.contains("comes with the platform"), "{refused}");
}

#[tokio::test]
async fn a_host_that_is_held_is_refused_with_its_owner() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let routed = |name: &str| {
        let route = json!({ "host": "our.dev.localhost", "path": "/", "port": "www" });
        let resources = json!({ "route": { "type": "route", "params": route } });
        let score = work::score(name, &json!({ "GREETING": name }), &resources);
        write(data.path(), &format!("{name}.json"), &score)
    };
    let (first, second) = (routed("shop"), routed("rival"));
    // Who never served keeps nobody off.
    let never = [
        "deploy",
        &second,
        "--timeout",
        "2s",
        "--image",
        "/bin/false",
    ];
    let broken = site.cli(&never).await;
    assert_eq!(broken.code, 1, "{}", broken.err);
    let done = site.cli(&["deploy", &first]).await;
    assert_eq!(done.code, 0, "{}", done.err);
    let refused = site.cli(&["deploy", &second]).await;
    assert_eq!(refused.code, 6, "{}", refused.err);
    let holder = "held by workload `shop` in environment `dev`";
    assert!(refused.err.contains(holder), "{}", refused.err);
    let answer = site.get("our.dev.localhost").await;
    assert_eq!(answer, Ok((200, "shop".to_owned())));
    let gone = site.cli(&["delete", "workload", "shop"]).await;
    assert_eq!(gone.code, 0, "{}", gone.err);
    let done = site.cli(&["deploy", &second]).await;
    assert_eq!(done.code, 0, "{}", done.err);
}

#[tokio::test]
async fn an_environment_on_demand_ends_with_everything_in_it() {
    let servers = Servers::find().await;
    let mark = format!("pr-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let resources: serde_json::Map<String, Value> = servers
        .types()
        .into_iter()
        .filter(|one| ["postgres", "s3", "volume"].contains(one))
        .map(|one| (one.to_owned(), json!({ "type": one })))
        .collect();
    let variables = if resources.contains_key("postgres") {
        json!({ "GREETING": "${resources.postgres.database}" })
    } else {
        json!({})
    };
    let score = work::score("hello", &variables, &Value::Object(resources.clone()));
    let file = write(data.path(), "score.json", &score);
    let deployed = site
        .cli(&["deploy", &file, "--env", &mark, "--ttl", "1h"])
        .await;
    assert_eq!(deployed.code, 0, "{}", deployed.err);
    let there = servers.listed(&site.data, &mark.replace('-', "_")).await;
    let volumes = servers.listed(&site.data, &mark).await;
    if resources.contains_key("postgres") {
        assert_eq!(there["database"].len(), 1, "{there:?}");
        let (_, database) = site.get(&format!("hello.{mark}.localhost")).await.unwrap();
        assert_eq!(there["database"], [database]);
        assert!(!there["role"].is_empty(), "{there:?}");
    }
    assert_eq!(volumes["process"].len(), 1, "{volumes:?}");

    let listed = site.cli(&["env", "list"]).await.out;
    let line = listed.lines().find(|line| line.starts_with(&mark)).unwrap();
    for part in ["ephemeral", "1/1", "local-admin", "cpu"] {
        assert!(line.contains(part), "{listed}");
    }

    let soon = EnvironmentChange {
        end: Some(End::InSeconds(1)),
        ..EnvironmentChange::default()
    };
    client.change_environment(&mark, &soon, None).await.unwrap();
    gone(client, &mark).await;
    for mark in [&mark, &mark.replace('-', "_")] {
        let left = servers.listed(&site.data, mark).await;
        assert!(left.values().all(Vec::is_empty), "{left:?}");
    }
    let events = work::events(client).await;
    let mine = events.iter().filter(|event| event.subject.ends_with(&mark));
    let kinds: Vec<&str> = mine.map(|event| event.kind.as_str()).collect();
    for kind in ["environment.expired", "environment.removed"] {
        assert!(
            kinds.contains(&format!("dev.towpath.{kind}").as_str()),
            "{kinds:?}"
        );
    }
}
