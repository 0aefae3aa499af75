//! The database server behind a resource is away for a while: what runs goes on, what is asked for
//! waits and says for what, and all of it is made by itself once the server is back.

mod site;

use std::{path::Path, time::Duration};

use client::Client;
use delivery::{
    api::ListQuery,
    model::{DeploymentPhase, InstancePhase, ResourceInstance},
};
use kernel::Resource;
use serde_json::{Value, json};
use site::{Site, processes_marked, work};
use sqlx::{Connection as _, PgConnection};
use testkit::{PATIENCE, servers::PostgresServer};

/// A server that is away is noticed within half a minute, and tried again within another.
const NOTICED: Duration = Duration::from_secs(60);

/// Longest wait between two tries, and then the work itself.
const HEALED: Duration = Duration::from_secs(90);

async fn connect(postgres: &PostgresServer) -> PgConnection {
    PgConnection::connect(&postgres.url())
        .await
        .expect("it answers")
}

fn score(name: &str) -> Value {
    let variables = json!({ "GREETING": name, "DATABASE_URL": "${resources.db.url}" });
    work::score(name, &variables, &json!({ "db": { "type": "postgres" } }))
}

async fn up(data: &Path, postgres: &PostgresServer) -> (Site, site::Running) {
    let mut site = Site::new(data);
    site.options = vec![
        "--no-start-servers".into(),
        "--postgres".into(),
        postgres.url(),
    ];
    let running = site.start().await;
    (site, running)
}

async fn instance_of(
    client: &Client,
    environment: &str,
    workload: &str,
) -> Resource<ResourceInstance> {
    let all = client
        .resources(environment, &ListQuery::default())
        .await
        .expect("a list");
    all.items
        .into_iter()
        .find(|i| i.spec.workload.as_deref() == Some(workload))
        .expect("it is listed")
}

/// How often `what` was told of an instance of `workload`.
async fn told_of(client: &Client, what: &str, workload: &str) -> usize {
    let kind = format!("dev.towpath.resource-instance.{what}");
    let told = work::events(client).await.into_iter();
    told.filter(|event| event.kind == kind && event.subject.contains(workload))
        .count()
}

/// What was made before: "could not ask" is neither "failed" nor "gone".
async fn stays_ready_and_says_so(client: &Client, environment: &str, site: &Site) {
    for workload in ["early", "steady"] {
        let instance = testkit::eventually("it shows", NOTICED, || async {
            let found = instance_of(client, environment, workload).await;
            found.status.unreachable.is_some().then_some(found)
        })
        .await;
        let status = instance.status;
        assert_eq!(status.phase, InstancePhase::Ready);
        assert!(status.message.contains("does not answer"), "{status:?}");
        assert!(status.next_try.is_some());
        assert_eq!(told_of(client, "unreachable", workload).await, 1);
    }
    let told = site.cli(&["resource", "list", "--env", environment]).await;
    assert!(told.out.contains("unreachable"), "{}", told.out);
}

/// Tries are counted in the status, and the log of events does not grow with them.
async fn tries_leave_no_trace_but_the_count(client: &Client, environment: &str, name: &str) {
    let instance = || async {
        client
            .resource(environment, name)
            .await
            .expect("it is there")
    };
    let events = || async {
        let all = work::events(client).await;
        all.into_iter().filter(|e| e.subject.contains(name)).count()
    };
    let (before, tries) = (events().await, instance().await.status.attempts);
    testkit::eventually("it is tried again", NOTICED, || async {
        (instance().await.status.attempts > tries).then_some(())
    })
    .await;
    assert_eq!(events().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_says_for_what_and_heals_by_itself() {
    let Some(postgres) = testkit::servers::postgres_server() else {
        return;
    };
    postgres.start();
    let data = tempfile::tempdir().expect("a directory");
    let (site, running) = up(data.path(), &postgres).await;
    let client = running.client();
    let environment = format!("o{}", postgres.port());

    let mut first = work::deployment(score("early"));
    first.workloads.insert("steady".into(), score("steady"));
    let first = client
        .deploy(&environment, &first)
        .await
        .expect("it is accepted");
    let first = work::ended(client, &first).await;
    assert_eq!(
        first.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        first.status.failure
    );
    let mark = format!("/{environment}/early@");
    let pids = processes_marked(&mark);
    assert_eq!(pids.len(), 1);

    postgres.stop();
    stays_ready_and_says_so(client, &environment, &site).await;
    let mut new = work::deployment(score("late"));
    new.timeout_seconds = Some(240);
    let second = client
        .deploy(&environment, &new)
        .await
        .expect("it is accepted");
    let name = second.meta.name.as_str();
    let instance = testkit::eventually("it was tried several times", PATIENCE, || async {
        let all = client
            .resources(&environment, &ListQuery::default())
            .await
            .expect("a list");
        all.items.into_iter().find(|instance| {
            instance.spec.workload.as_deref() == Some("late") && instance.status.attempts >= 4
        })
    })
    .await;
    let status = &instance.status;
    assert_eq!(status.phase, InstancePhase::Retrying);
    let address = format!("127.0.0.1:{}", postgres.port());
    for part in [&address, "does not answer", "Connection refused"] {
        assert!(status.message.contains(part), "{part}: {}", status.message);
    }
    assert!(status.next_try.is_some());
    // The deployment says the same, to programs and to people.
    let open = client
        .deployment(&environment, name)
        .await
        .expect("it is there");
    assert_eq!(open.status.phase, DeploymentPhase::Creating);
    let waiting = open.status.waiting_for.join("\n");
    assert!(
        waiting.contains(&address) && waiting.contains("Connection refused"),
        "{waiting}"
    );
    let told = site.cli(&["status", "--env", &environment]).await;
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.out.contains("does not answer"), "{}", told.out);
    // Tries come further and further apart: in the log of events only what is new is written.
    let failures = work::events(client).await.into_iter().filter(|event| {
        event.kind == "dev.towpath.resource-instance.failed"
            && event.subject.clone().contains("late")
    });
    assert_eq!(failures.count(), 1);
    tries_leave_no_trace_but_the_count(client, &environment, &instance.meta.name).await;

    // What runs goes on, over a restart of the platform too.
    running.kill();
    let running = site.start().await;
    let client = running.client();
    assert_eq!(processes_marked(&mark), pids);
    let host = format!("early.{environment}.localhost");
    assert_eq!(
        site.get(&host).await.expect("the gateway answers"),
        (200, "early".into())
    );
    let all = client
        .resources(&environment, &ListQuery::default())
        .await
        .expect("a list");
    let early = all
        .items
        .iter()
        .find(|i| i.spec.workload.as_deref() == Some("early"));
    let early = early.expect("it is kept");
    assert_eq!(
        early.status.phase,
        InstancePhase::Ready,
        "{}",
        early.status.message
    );
    assert!(early.status.unreachable.is_some());
    // Its removal waits: "could not ask" is not "gone".
    let data_goes = delivery::api::Data::Remove;
    client
        .delete_workload(&environment, "early", data_goes, None)
        .await
        .expect("it may go");
    let removing = early.meta.name.clone();
    testkit::eventually("the removal was tried", PATIENCE, || async {
        let instance = client
            .resource(&environment, &removing)
            .await
            .expect("it is not forgotten");
        (instance.status.phase == InstancePhase::Removing && instance.status.attempts >= 2)
            .then_some(())
    })
    .await;

    postgres.start();
    let second = work::ended(client, &second).await;
    assert_eq!(
        second.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}",
        second.status.failure
    );
    testkit::eventually("what was removed is gone", HEALED, || async {
        let found = client.resource(&environment, &removing).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
    testkit::eventually("the one that was there is seen again", HEALED, || async {
        let steady = instance_of(client, &environment, "steady").await;
        let status = steady.status;
        (status.unreachable.is_none() && status.message.is_empty() && status.attempts == 0)
            .then_some(())
    })
    .await;
    let reachable = told_of(client, "reachable", "steady").await;
    assert_eq!(reachable, 1);
    let mut connection = connect(&postgres).await;
    let databases: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE '%' || $1 || '%'")
            .bind(&environment)
            .fetch_all(&mut connection)
            .await
            .expect("it lists");
    assert_eq!(databases.len(), 2, "{databases:?}");
    let drifted = work::events(client)
        .await
        .into_iter()
        .filter(|e| e.kind.ends_with(".drifted"));
    assert_eq!(drifted.count(), 0);
    assert!(!site.log().contains("hush-of-the-admin"));

    client
        .delete_environment(&environment, data_goes, None)
        .await
        .expect("it may go");
    testkit::eventually("the environment is gone", PATIENCE, || async {
        let found = client.environment(&environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}
