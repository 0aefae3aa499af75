//! Two replicas on one Postgres store: either may be killed, or held up, at any moment. What is
//! under way is finished by the other within the lease, and nothing is done twice.

#[path = "replicas/keys.rs"]
mod keys;
mod site;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use client::Client;
use delivery::model::DeploymentPhase;
use kernel::{Resource, lease::LEASE_TTL};
use rand::Rng as _;
use rustix::process::Signal;
use serde_json::json;
use site::{Running, Site, processes_marked, work};

/// What a takeover may take beyond the lease: the work itself, on a busy machine.
const SLACK: Duration = Duration::from_secs(30);

/// A name of its own for each run: processes are looked for by it.
fn environment() -> String {
    format!("r{:06x}", rand::random::<u32>() & 0xff_ffff)
}

/// Deploys round `round`: a slow start and a further bucket each time.
async fn deploy(
    client: &Client,
    environment: &str,
    round: usize,
    starts: &Path,
) -> Resource<delivery::model::Deployment> {
    let resources: serde_json::Map<_, _> = (0..=round)
        .map(|n| (format!("files-{n}"), json!({ "type": "s3" })))
        .collect();
    let variables = json!({
        "GREETING": format!("round {round}"),
        "STARTS": starts,
        "START_AFTER": "300",
        "BUCKET": format!("${{resources.files-{round}.bucket}}"),
    });
    let score = work::score("hello", &variables, &json!(resources));
    client
        .deploy(environment, &work::deployment(score))
        .await
        .expect("it is accepted")
}

/// Waits until the deployment has succeeded and is alone, and serves through this replica.
async fn arrives(
    site: &Site,
    running: &Running,
    deployment: &Resource<delivery::model::Deployment>,
    round: usize,
) {
    let client = running.client();
    let end = work::ended(client, deployment).await;
    let status = &end.status;
    assert_eq!(
        status.phase,
        DeploymentPhase::Succeeded,
        "{:?}\n{}",
        status.failure,
        site.log()
    );
    let environment = &deployment.meta.scope;
    let host = format!("hello.{environment}.localhost");
    testkit::eventually("the gateway of this replica switches", SLACK, || async {
        let (status, body) = site.get(&host).await.expect("the gateway answers");
        (status == 200 && body == format!("round {round}")).then_some(())
    })
    .await;
    testkit::eventually("the old release goes", SLACK, || async {
        (processes_marked(&format!("/{environment}/")).len() == 1).then_some(())
    })
    .await;
}

/// The starts of each release that the programs themselves have written down.
fn starts_of(file: &Path) -> BTreeMap<String, usize> {
    let mut starts = BTreeMap::new();
    for line in std::fs::read_to_string(file)
        .expect("programs have started")
        .lines()
    {
        *starts.entry(line.to_owned()).or_default() += 1;
    }
    starts
}

/// Each release was begun by one replica, once.
async fn begun_once(client: &Client) {
    let mut begun = BTreeMap::<u64, usize>::new();
    for event in work::events(client).await {
        if event.kind == "dev.towpath.workload.started" {
            *begun
                .entry(event.data["release"].as_u64().expect("a number"))
                .or_default() += 1;
        }
    }
    assert!(begun.values().all(|times| *times == 1), "{begun:?}");
}

async fn remove(client: &Client, environment: &str) {
    let data = delivery::api::Data::Remove;
    client
        .delete_environment(environment, data, None)
        .await
        .expect("it may go");
    testkit::eventually("the environment is gone", LEASE_TTL + SLACK, || async {
        let found = client.environment(environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
    assert!(processes_marked(&format!("/{environment}/")).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn either_is_killed_while_a_deployment_is_under_way() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    // Programs do not see the platform's own directory.
    let outside = tempfile::tempdir().unwrap();
    let starts = outside.path().join("starts");
    let environment = environment();
    let mut first = Site::new(data.path());
    first.store = Some(database.url.clone());
    let second = first.replica();
    let sites = [&first, &second];

    let mut random = testkit::seeded();

    // The first reconciles: the second comes when it does so already.
    let one = first.start().await;
    let deployment = deploy(one.client(), &environment, 0, &starts).await;
    arrives(&first, &one, &deployment, 0).await;
    let mut running = [Some(one), Some(second.start().await)];

    // The one that reconciles, the other one that reconciles by then, and the one that does not.
    for (round, killed) in [(1, 0), (2, 1), (3, 1)] {
        let survivor = 1 - killed;
        let victim = running[killed].take().expect("it runs");
        let other = running[survivor].as_ref().expect("it runs");
        let deployment = deploy(other.client(), &environment, round, &starts).await;
        let moment = Duration::from_millis(random.random_range(0..500));
        tokio::time::sleep(moment).await;
        victim.kill();
        let begun = Instant::now();
        arrives(sites[survivor], other, &deployment, round).await;
        println!(
            "round {round}: killed after {moment:?}, done after {:?}",
            begun.elapsed()
        );

        // The survivor serves S3, at the address that the workloads know.
        let s3 = format!("http://127.0.0.1:{}/", first.s3);
        let answer = reqwest::get(s3).await.expect("S3 answers");
        assert_eq!(answer.status(), 403);

        running[killed] = Some(sites[killed].start().await);
        let client = running[killed].as_ref().expect("it runs").client();
        let workload = client
            .workload(&environment, "hello")
            .await
            .expect("it is there");
        assert_eq!(workload.status.active_release, workload.spec.release);
    }
    let expected: BTreeMap<_, _> = (0..=3).map(|round| (format!("round {round}"), 1)).collect();
    assert_eq!(starts_of(&starts), expected, "{}", first.log());
    let one = running[0].as_ref().expect("it runs");
    begun_once(one.client()).await;
    remove(one.client(), &environment).await;
}

/// The example of this repository, built along with the tests.
fn notes() -> Option<std::path::PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_towpath")).with_file_name("notes");
    let found = if program.exists() {
        Ok(program)
    } else {
        Err("it is not built: `cargo build -p notes`".to_owned())
    };
    testkit::servers::require("notes", found)
}

/// The example with a greeting: notes in Postgres, attachments in S3.
fn notes_score(program: &Path, greeting: &str) -> serde_json::Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/notes/score.yaml");
    let text = std::fs::read_to_string(file).expect("the example is there");
    let mut score: serde_json::Value = serde_yaml_ng::from_str(&text).expect("it is YAML");
    score["containers"]["web"]["image"] = program.to_str().expect("UTF-8").into();
    score["containers"]["web"]["variables"]["GREETING"] = greeting.into();
    score
}

/// A request to a workload, through the gateway of a replica.
fn through(
    site: &Site,
    method: reqwest::Method,
    host: &str,
    path: &str,
) -> reqwest::RequestBuilder {
    let client = reqwest::Client::builder().no_proxy().build();
    client
        .expect("a client")
        .request(method, format!("http://127.0.0.1:{}{path}", site.gateway))
        .header("host", host)
}

/// What a user has entered outlives the replica that made its database, and the next release.
#[tokio::test(flavor = "multi_thread")]
async fn notes_outlive_the_replica_that_made_their_database() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let Some(program) = notes() else { return };
    let data = tempfile::tempdir().expect("a directory");
    let environment = environment();
    let mut first = Site::new(data.path());
    first.store = Some(database.url.clone());
    let second = first.replica();
    let one = first.start().await;
    let asked = work::deployment(notes_score(&program, "First"));
    let deployment = one.client().deploy(&environment, &asked).await;
    let deployment = deployment.expect("it is accepted");
    let end = work::ended(one.client(), &deployment).await;
    assert_eq!(
        end.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}\n{}",
        end.status.failure,
        first.log()
    );
    let two = second.start().await;
    let host = format!("notes.{environment}.localhost");

    let made = through(&first, reqwest::Method::POST, &host, "/api/notes")
        .json(&json!({ "body": "outlives the leader" }))
        .send()
        .await
        .expect("an answer");
    assert_eq!(made.status(), 201);
    let made: serde_json::Value = made.json().await.expect("JSON");
    let attach = format!("/api/notes/{}/attachments?name=kept.txt", made["id"]);
    let attached = through(&first, reqwest::Method::POST, &host, &attach)
        .body("kept")
        .send()
        .await
        .expect("an answer");
    assert!(attached.status().is_success(), "{}", attached.status());

    one.kill();
    let notes = async |site: &Site| {
        let answer = through(site, reqwest::Method::GET, &host, "/api/notes")
            .send()
            .await
            .ok()?;
        answer.json::<serde_json::Value>().await.ok()
    };
    let kept = |all: &serde_json::Value| {
        all.as_array()
            .is_some_and(|all| all.len() == 1 && all[0]["body"] == "outlives the leader")
    };
    // What runs goes on at once; the other replica's gateway leads to it.
    let all = notes(&second).await.expect("an answer");
    assert!(kept(&all), "{all}");

    // The other takes over, and lets a further release follow.
    let asked = work::deployment(notes_score(&program, "Second"));
    let deployment = two.client().deploy(&environment, &asked).await;
    let deployment = deployment.expect("it is accepted");
    let end = work::ended(two.client(), &deployment).await;
    assert_eq!(
        end.status.phase,
        DeploymentPhase::Succeeded,
        "{:?}\n{}",
        end.status.failure,
        second.log()
    );
    let (status, page) = second.get(&host).await.expect("the gateway answers");
    assert!(status == 200 && page.contains("Second"), "{page}");
    let all = notes(&second).await.expect("an answer");
    assert!(kept(&all), "{all}");
    let attachment = &all[0]["attachments"][0]["id"];
    let path = format!("/api/attachments/{attachment}");
    let answer = through(&second, reqwest::Method::GET, &host, &path)
        .send()
        .await;
    let body = answer.expect("an answer").text().await.expect("text");
    assert_eq!(body, "kept", "{all}");
    let drifted = work::events(two.client()).await;
    assert!(
        drifted
            .iter()
            .all(|event| !event.kind.ends_with(".drifted"))
    );
    remove(two.client(), &environment).await;
}

/// A replica that is held up beyond its lease, by a sleeping machine say, and goes on later: it
/// finds that another reconciles, and starts nothing of its own accord any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_held_up_leaves_the_work_to_the_other() {
    let Some(database) = testkit::servers::postgres_database().await else {
        return;
    };
    let data = tempfile::tempdir().expect("a directory");
    // Programs do not see the platform's own directory.
    let outside = tempfile::tempdir().unwrap();
    let starts = outside.path().join("starts");
    let environment = environment();
    let mut first = Site::new(data.path());
    first.store = Some(database.url.clone());
    let second = first.replica();
    let one = first.start().await;
    let deployment = deploy(one.client(), &environment, 0, &starts).await;
    arrives(&first, &one, &deployment, 0).await;
    let two = second.start().await;

    one.signal(Signal::STOP);
    // What the first one started is known to the second one, which did not see it start.
    testkit::eventually("the second reconciles", LEASE_TTL + SLACK, || async {
        reconciling(&second.log(), "epoch=2")
    })
    .await;
    one.signal(Signal::CONT);
    testkit::eventually("the first notices", LEASE_TTL + SLACK, || async {
        reconciling(&second.log(), "no longer held")
    })
    .await;

    // A crash, which both could see: the first one is the program's parent.
    let mark = format!("/{environment}/");
    let [pid] = processes_marked(&mark)[..] else {
        panic!("there is one process")
    };
    let pid = rustix::process::Pid::from_raw(pid.try_into().expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, Signal::KILL).expect("it runs");
    let host = format!("hello.{environment}.localhost");
    testkit::eventually("it is started again", SLACK, || async {
        if starts_of(&starts)["round 0"] < 2 {
            return None;
        }
        let (status, _) = second.get(&host).await.expect("the gateway answers");
        (status == 200).then_some(())
    })
    .await;
    // Long enough for a second start to be seen, if there were one.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(starts_of(&starts)["round 0"], 2, "{}", first.log());
    assert_eq!(processes_marked(&mark).len(), 1);
    begun_once(two.client()).await;
    remove(one.client(), &environment).await;
}

/// Whether a line of `log` says `what` of the lease of whoever reconciles.
fn reconciling(log: &str, what: &str) -> Option<()> {
    let says = |line: &str| line.contains("lease=\"reconcile\"") && line.contains(what);
    log.lines().any(says).then_some(())
}
