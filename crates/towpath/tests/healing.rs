//! What changes beneath a running service: removed by hand, rotated on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod site;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use client::Client;
use delivery::model::DeploymentPhase;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use site::{Site, work};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const LONG: Duration = Duration::from_mins(1);

/// The example's program, which the workspace's tests build along.
fn notes() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_towpath")).with_file_name("notes");
    let found = if program.is_file() {
        Ok(program)
    } else {
        Err("it is not built: `cargo build -p notes`".to_owned())
    };
    testkit::servers::require("notes", found)
}

/// Deploys the example to `environment`.
async fn deploy_notes(client: &Client, program: &std::path::Path, environment: &str) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/notes/score.yaml"
    );
    let mut score: Value =
        serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    score["containers"]["web"]["image"] = json!(program);
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

/// The database of the only Postgres instance in `environment`, and the login to it.
async fn database(client: &Client, environment: &str) -> (String, String, String) {
    let all = client::every(async |page| client.resources(environment, &page).await)
        .await
        .unwrap();
    let one = all
        .into_iter()
        .find(|one| one.spec.node.resource_type == "postgres")
        .unwrap();
    let output = |name: &str| one.status.outputs[name].as_str().unwrap().to_owned();
    (
        one.meta.name.clone(),
        output("database"),
        output("username"),
    )
}

/// Notes as the service lists them; nothing where it does not answer well.
async fn listed(site: &Site, host: &str) -> Option<Vec<String>> {
    let url = format!("http://127.0.0.1:{}/api/notes", site.gateway);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).header("host", host).send().await.ok()?;
    let all: Vec<Value> = answer.error_for_status().ok()?.json().await.ok()?;
    let body = |note: &Value| note["body"].as_str().unwrap().to_owned();
    Some(all.iter().map(body).collect())
}

async fn write(site: &Site, host: &str, body: &str) {
    let url = format!("http://127.0.0.1:{}/api/notes", site.gateway);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let note = json!({ "body": body });
    let answer = http.post(url).header("host", host).json(&note).send().await;
    assert_eq!(answer.unwrap().status(), 201);
}

async fn count(client: &Client, environment: &str, kind: &str) -> usize {
    let kind = format!("dev.towpath.{kind}");
    let scope = format!("/{environment}/");
    let events = work::events(client).await;
    let ours = |event: &&kernel::Event| event.kind == kind && event.subject.contains(&scope);
    events.iter().filter(ours).count()
}

#[tokio::test]
async fn what_is_removed_or_changed_by_hand_comes_back() {
    let (Some(program), Some(admin)) = (notes(), testkit::servers::postgres().await) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let environment = format!("drift-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let host = format!("notes.{environment}.localhost");
    deploy_notes(client, &program, &environment).await;
    write(&site, &host, "before").await;

    let [pid] = site.processes(&environment)[..] else {
        panic!("one process");
    };
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    testkit::eventually("another process serves", LONG, || async {
        let now = site.processes(&environment);
        let other = !now.is_empty() && now[0] != pid.as_raw_nonzero().get().unsigned_abs();
        let serves = listed(&site, &host).await == Some(vec!["before".into()]);
        (other && serves).then_some(())
    })
    .await;
    assert!(count(client, &environment, "workload.unhealthy").await > 0);

    let (_, name, login) = database(client, &environment).await;
    let mut server = PgConnection::connect(&admin).await.unwrap();
    let cut =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    for (times, sql) in [
        (1, format!("DROP ROLE {login}")),
        (2, format!("ALTER ROLE {login} PASSWORD 'other'")),
        (3, format!("ALTER ROLE {login} NOLOGIN")),
    ] {
        server.execute(AssertSqlSafe(sql.as_str())).await.unwrap();
        server.execute(AssertSqlSafe(cut.as_str())).await.unwrap();
        testkit::eventually(&format!("the login works after {sql}"), LONG, || async {
            let drifted = count(client, &environment, "resource-instance.drifted").await;
            let serves = listed(&site, &host).await == Some(vec!["before".into()]);
            (drifted == times && serves).then_some(())
        })
        .await;
    }
    // The data is where it was: nobody has to begin anew.
    assert_eq!(count(client, &environment, "workload.rolled").await, 0);

    let drop_database = format!("DROP DATABASE {name} WITH (FORCE)");
    server.execute(AssertSqlSafe(drop_database)).await.unwrap();
    testkit::eventually("the database is back, empty", LONG, || async {
        let healed = count(client, &environment, "resource-instance.drifted").await == 4;
        (healed && listed(&site, &host).await == Some(vec![])).then_some(())
    })
    .await;
    write(&site, &host, "after").await;
    client
        .delete_environment(&environment, delivery::api::Data::Remove, None)
        .await
        .unwrap();
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment(&environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_credential_is_rotated_with_no_failed_request() {
    let (Some(program), Some(admin)) = (notes(), testkit::servers::postgres().await) else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let running = site.start().await;
    let client = running.client();
    let environment = format!("rotate-{:06x}", rand::random::<u32>() & 0x00ff_ffff);
    let host = format!("notes.{environment}.localhost");
    deploy_notes(client, &program, &environment).await;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let (url, header) = (
        format!("http://127.0.0.1:{}/api/notes", site.gateway),
        host.clone(),
    );
    let load = tokio::spawn(async move {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut written = Vec::new();
        while !*stopped.borrow_and_update() {
            let note = format!("note {}", written.len());
            let request = http.post(&url).header("host", &header);
            let answer = request.json(&json!({ "body": note })).send().await;
            assert_eq!(answer.expect("it is answered").status(), 201, "{note}");
            written.push(note);
            let answer = http.get(&url).header("host", &header).send().await;
            assert_eq!(answer.expect("it is answered").status(), 200);
        }
        written
    });
    let (instance, name, first) = database(client, &environment).await;
    let mut server = PgConnection::connect(&admin).await.unwrap();
    let mut logins = BTreeSet::from([first]);
    for round in 2..=4 {
        client
            .rotate_resource(&environment, &instance)
            .await
            .unwrap();
        testkit::eventually("the old credentials end", LONG, || async {
            let retired = count(
                client,
                &environment,
                "resource-instance.credentials-retired",
            )
            .await;
            (retired == round - 1).then_some(())
        })
        .await;
        let (_, _, login) = database(client, &environment).await;
        assert!(logins.insert(login.clone()), "{login} is another login");
        let there: Vec<String> = sqlx::query_scalar(
            "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1) AND rolcanlogin",
        )
        .bind(&name)
        .fetch_all(&mut server)
        .await
        .unwrap();
        assert_eq!(there, [login], "the one before is gone");
    }
    stop.send(true).unwrap();
    let written = load.await.unwrap();
    assert!(written.len() > 20, "{} requests are no load", written.len());
    let kept = listed(&site, &host).await.unwrap();
    let kept: BTreeSet<_> = kept.into_iter().collect();
    assert!(
        written
            .iter()
            .rev()
            .take(20)
            .all(|note| kept.contains(note)),
        "what was answered is kept"
    );
    client
        .delete_environment(&environment, delivery::api::Data::Remove, None)
        .await
        .unwrap();
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment(&environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}
