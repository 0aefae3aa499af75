//! Secrets are nowhere but where they were asked for by name: not in the log, the events, the plans,
//! the documents, the answers or what the command line says of them, and not in the store's files.

mod site;

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use base64::Engine as _;
use client::Client;
use delivery::{api::Data, model::DeploymentPhase};
use serde_json::{Map, Value, json};
use site::{Site, listed::Servers, work};

const LONG: Duration = Duration::from_secs(60);

/// Every secret output of the environment, with what of it could stand alone: the password in a URL.
async fn secrets(client: &Client, environment: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let page = client
        .resources(environment, &Default::default())
        .await
        .expect("a list");
    for instance in page.items {
        for name in &instance.status.secret_outputs {
            let outputs = client
                .resource_outputs(environment, &instance.meta.name, Some(name))
                .await;
            let revealed = outputs.expect("it is revealed").revealed.remove(name);
            let revealed = revealed.expect("it was asked for");
            if let Ok(url) = reqwest::Url::parse(&revealed) {
                all.extend(url.password().map(ToOwned::to_owned));
            }
            all.insert(revealed);
        }
    }
    all.retain(|secret| secret.len() >= 8);
    all
}

/// A secret as it is, and as others may write it down.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    let url: String = reqwest::Url::parse_with_params("x:", [("s", secret)])
        .ok()
        .and_then(|url| Some(url.query()?.trim_start_matches("s=").to_owned()))
        .expect("anything can be part of a query");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        secret.as_bytes().to_vec(),
        url.into_bytes(),
        hex.into_bytes(),
    ];
    // Within a longer text the bytes may begin at any of three places; its ends are not its own.
    for shift in 0..3 {
        let mut bytes = vec![b'x'; shift];
        bytes.extend(secret.as_bytes());
        let encoded = engine.encode(bytes);
        forms.push(encoded[4 * usize::from(shift > 0)..encoded.len() - 2].into());
    }
    forms
}

/// Where secrets were looked for, and what was found there.
struct Search {
    secrets: Vec<(String, Vec<Vec<u8>>)>,
    found: Vec<String>,
    places: usize,
}

impl Search {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        self.places += 1;
        for (secret, forms) in &self.secrets {
            for form in forms {
                if let Some(at) = bytes.windows(form.len()).position(|part| part == form) {
                    let around = &bytes[at.saturating_sub(200)..(at + 100).min(bytes.len())];
                    let around = String::from_utf8_lossy(around).into_owned();
                    self.found
                        .push(format!("{secret} in {place}: ...{around}..."));
                }
            }
        }
    }

    fn look_at(&mut self, place: &str, value: &impl serde::Serialize) {
        self.look(place, &serde_json::to_vec(value).expect("it is JSON"));
    }
}

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
    new.timeout_seconds = Some(if blurt { 8 } else { 60 });
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
    let end = work::ended(client, &begun, LONG).await;
    assert_eq!(end.status.phase, expected, "{:?}", end.status.failure);
    end
}

/// Everything that the API answers without being asked for a secret by name.
async fn search_api(search: &mut Search, site: &Site, client: &Client, environment: &str) {
    let token = std::fs::read_to_string(site.data.join("admin.token")).expect("the token");
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let mut paths: Vec<String> = [
        "environments",
        "environment-roles",
        "resource-definitions",
        "routes",
        "policies",
        "events?limit=1000",
    ]
    .map(ToOwned::to_owned)
    .into();
    paths.extend(
        [
            "",
            "/summary",
            "/graph",
            "/workloads",
            "/deployments",
            "/resources",
        ]
        .map(|below| format!("environments/{environment}{below}")),
    );
    for (kind, below) in [
        ("workloads", &[""][..]),
        ("deployments", &[""]),
        ("resources", &["", "/outputs"]),
    ] {
        let url = format!("{}/v1/environments/{environment}/{kind}", site.server());
        let list: Value = http
            .get(url)
            .bearer_auth(token.trim())
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("a list");
        for item in list["items"].as_array().expect("items") {
            let name = item["metadata"]["name"].as_str().expect("a name");
            paths.extend(
                below
                    .iter()
                    .map(|b| format!("environments/{environment}/{kind}/{name}{b}")),
            );
        }
    }
    for path in paths {
        let url = format!("{}/v1/{path}", site.server());
        let answer = http
            .get(url)
            .bearer_auth(token.trim())
            .send()
            .await
            .expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        search.look(&path, &answer.bytes().await.expect("a body"));
    }
    search.look_at("all events", &work::events(client).await);
}

async fn search_command_line(search: &mut Search, site: &Site, environment: &str, score: &Path) {
    let score = score.to_str().expect("a path");
    let env = ["--env", environment];
    for words in [
        &["status"][..],
        &["get", "workloads"],
        &["get", "deployments"],
        &["get", "resources"],
        &["describe", "workload", "hello"],
        &["describe", "deployment", "d-1"],
        &["describe", "deployment", "d-2"],
        &["graph"],
        &["events", "--after", "0"],
        &["resource", "list"],
        &["plan", score],
        &["explain", "postgres"],
    ] {
        for format in ["text", "json", "yaml"] {
            let mut arguments = words.to_vec();
            if words[0] != "events" {
                arguments.extend(env);
            }
            arguments.extend(["-o", format]);
            let ended = site.cli(&arguments).await;
            assert_ne!(ended.code, 2, "{arguments:?}: {}", ended.err);
            search.look(&arguments.join(" "), (ended.out + &ended.err).as_bytes());
        }
    }
}

/// The files of the data directory, apart from what programs are handed and have written, and the
/// servers' own. The S3 server's keys are in `keys.sealed`.
fn search_files(search: &mut Search, directory: &Path) {
    let mut level = vec![directory.to_owned()];
    while let Some(directory) = level.pop() {
        for entry in std::fs::read_dir(&directory)
            .expect("a directory")
            .flatten()
        {
            let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
            let name = path.display().to_string();
            if kind.is_dir() {
                if !["/engine/", "/servers/"]
                    .iter()
                    .any(|own| format!("{name}/").contains(own))
                {
                    level.push(path);
                }
            } else if kind.is_file() {
                search.look(&name, &std::fs::read(&path).expect("a file"));
            }
        }
    }
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
    for instance in &page.items {
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

    let mut search = Search {
        secrets: all
            .into_iter()
            .map(|secret| {
                let forms = forms(&secret);
                (secret, forms)
            })
            .collect(),
        found: Vec::new(),
        places: 0,
    };
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
    search_command_line(&mut search, &site, &environment, &score).await;
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
