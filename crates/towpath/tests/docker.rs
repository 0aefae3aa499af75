//! The whole platform with its workloads in Docker: the example's own Score file, with the example as
//! an image, its real Postgres and its bucket; reached by the gateway, redeployed, removed, and killed in all of it.

mod site;

use std::{collections::BTreeSet, path::Path, time::Duration};

use client::Client;
use delivery::api::Data;
use rand::{Rng as _, rngs::StdRng};
use serde_json::{Value, json};
use site::{
    Running, Site,
    docker::{self, Cleaned, Image},
    listed::Servers,
    search::{Search, search_api, search_command_line, search_files, secrets},
};

const LONG: Duration = Duration::from_secs(90);

/// How often the platform is killed in the midst of a deployment.
const KILLS: u32 = 6;

/// How often in the midst of making an environment, and of removing it: each time at another third of the work.
const ENVIRONMENTS: u32 = 3;

/// The example as its users reach it: through the gateway.
struct Notes {
    http: reqwest::Client,
    url: String,
    host: String,
}

impl Notes {
    fn of(site: &Site, environment: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(LONG).build();
        Self {
            http: http.expect("a client"),
            url: format!("http://127.0.0.1:{}", site.gateway),
            host: format!("notes.{environment}.localhost"),
        }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).header("host", &self.host)
    }

    /// A body of 200, and the version that has answered.
    async fn get(&self, path: &str) -> Result<(String, String), String> {
        let answer = self.request(reqwest::Method::GET, path).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let (status, version) = (answer.status(), answer.headers().get("x-version").cloned());
        let body = answer.text().await.map_err(|error| error.to_string())?;
        match version {
            Some(version) if status == 200 => {
                Ok((body, version.to_str().expect("it is text").to_owned()))
            }
            _ => Err(format!("{status}: {body}")),
        }
    }

    async fn version(&self) -> Result<String, String> {
        Ok(self.get("/healthz").await?.1)
    }

    /// Writes a note with an attachment.
    async fn write(&self, text: &str) {
        let body = json!({ "body": text });
        let made = self
            .request(reqwest::Method::POST, "/api/notes")
            .json(&body);
        let made = made.send().await.expect("an answer");
        let status = made.status();
        let made = made.text().await.expect("a text");
        assert_eq!(status, 201, "{made}");
        let made: Value = serde_json::from_str(&made).expect("it is JSON");
        let id = &made["id"];
        let path = format!("/api/notes/{id}/attachments?name=a.txt");
        let attached = self
            .request(reqwest::Method::POST, &path)
            .header("content-type", "text/plain")
            .body(format!("attached to {text}"));
        let attached = attached.send().await.expect("an answer");
        let status = attached.status();
        assert_eq!(status, 201, "{:?}", attached.text().await);
    }

    /// The notes' texts, sorted, once each one's attachment has been read back.
    async fn read(&self) -> Vec<String> {
        let (all, _) = self.get("/api/notes").await.expect("the list");
        let all: Vec<Value> = serde_json::from_str(&all).expect("it is JSON");
        let mut texts = Vec::new();
        for note in all {
            let text = note["body"].as_str().expect("a text").to_owned();
            let attachment = &note["attachments"][0]["id"];
            let (content, _) = self
                .get(&format!("/api/attachments/{attachment}"))
                .await
                .expect("the attachment");
            assert_eq!(content, format!("attached to {text}"));
            texts.push(text);
        }
        texts.sort();
        texts
    }
}

/// Waits until nothing of the environment is under way and one release is left of the workload.
async fn settled(client: &Client, site: &Site, environment: &str) {
    testkit::eventually("everything settles", LONG, || async {
        let all = client::every(async |page| client.deployments(environment, &page).await);
        let all = all.await.expect("deployments are listed");
        let newest = all.iter().max_by_key(|deployment| deployment.meta.uid)?;
        if !newest.status.phase.is_final() {
            return None;
        }
        let failure = &newest.status.failure;
        assert!(failure.is_none(), "{failure:?}\n{}", site.log());
        let workload = client.workload(environment, "notes").await;
        let alone = workload.expect("the workload").status.releases.len() == 1;
        alone.then_some(())
    })
    .await;
}

/// Kills the platform at a random moment of the work's part `round`, and starts it again.
async fn killed(site: &Site, running: Running, random: &mut StdRng, round: u32) -> Running {
    let part = 1500 / u64::from(ENVIRONMENTS);
    let moment = u64::from(round) * part + random.random_range(0..part);
    tokio::time::sleep(Duration::from_millis(moment)).await;
    running.kill();
    site.start().await
}

/// Makes an environment and removes it, again and again; killed in the midst of both, the platform carries on.
async fn made_and_removed(
    site: &Site,
    mut running: Running,
    servers: &Servers,
    random: &mut StdRng,
    (score, image): (&str, &Image),
) -> Running {
    let environment = format!("k{:06x}", rand::random::<u32>() & 0xff_ffff);
    let _cleaned = Cleaned(environment.clone());
    let notes = Notes::of(site, &environment);
    let mut deploy = vec!["deploy", score, "--env", &environment, "--role", "dev"];
    deploy.extend(["--no-wait", "--image", image.reference.as_str()]);
    let everything = async || {
        let mut all = servers.listed(&site.data, &environment).await;
        all.extend(docker::listed(&environment));
        all
    };
    for round in 0..ENVIRONMENTS {
        let ended = site.cli(&deploy).await;
        assert_eq!(ended.code, 0, "{ended:?}\n{}", site.log());
        running = killed(site, running, random, round).await;
        settled(running.client(), site, &environment).await;
        notes.write("the first").await;
        assert_eq!(notes.read().await, ["the first"], "an earlier one's data");
        let there = everything().await;
        for sort in ["container", "network", "database", "bucket"] {
            assert_eq!(there[sort].len(), 1, "round {round}: {there:?}");
        }
        assert!(
            there["docker volume"].is_empty(),
            "round {round}: {there:?}"
        );

        let client = running.client();
        let removed = client.delete_environment(&environment, Data::Remove, None);
        removed.await.expect("it may go");
        running = killed(site, running, random, round).await;
        gone(running.client(), &environment).await;
        let mut left = everything().await;
        left.retain(|_, names| !names.is_empty());
        assert!(left.is_empty(), "round {round}: left behind: {left:?}");
    }
    running
}

/// Waits until the environment is no more.
async fn gone(client: &Client, environment: &str) {
    testkit::eventually("the environment is gone", LONG, || async {
        let found = client.environment(environment).await;
        found.is_err_and(|error| error.is_not_found()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_on_docker_as_it_does_elsewhere() {
    if testkit::servers::docker().is_none() || testkit::servers::postgres().await.is_none() {
        return;
    }
    let servers = Servers::find().await;
    let data = tempfile::tempdir().expect("a directory");
    let mut site = Site::new(data.path());
    site.options = vec!["--engine".into(), "docker".into()];
    site.log_level = "debug,hyper=info,h2=info";
    let environment = format!("d{:06x}", rand::random::<u32>() & 0xff_ffff);
    let _cleaned = Cleaned(environment.clone());
    let images = ["one", "two"].map(|version| Image::of_notes(version, &environment));
    let score = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/notes/score.yaml");
    let score = score.to_str().expect("it is text");
    let deploy = |image: &Image, more: &[&'static str]| {
        let image = image.reference.clone();
        let mut arguments = vec!["deploy", score, "--env", &environment, "--role", "dev"];
        arguments.extend(more);
        let arguments = arguments.into_iter().map(ToOwned::to_owned);
        arguments
            .chain(["--image".to_owned(), image])
            .collect::<Vec<String>>()
    };
    let cli = async |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        site.cli(&arguments).await
    };

    let mut running = site.start().await;
    let notes = Notes::of(&site, &environment);
    let ended = cli(deploy(&images[0], &[])).await;
    assert_eq!(ended.code, 0, "{ended:?}\n{}", site.log());
    assert_eq!(notes.version().await.as_deref(), Ok("one"));
    notes.write("first").await;
    let mut all = secrets(running.client(), &environment).await;
    assert!(all.len() >= 2, "a URL, its password, the bucket's key");

    // Another release takes over while it is being used.
    let replaced = async {
        let ended = cli(deploy(&images[1], &[])).await;
        assert_eq!(ended.code, 0, "{ended:?}\n{}", site.log());
    };
    let used = async {
        let (mut answered, mut failed) = (BTreeSet::new(), Vec::new());
        while !answered.contains("two") {
            match notes.version().await {
                Ok(version) => drop(answered.insert(version)),
                Err(error) => failed.push(error),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        failed
    };
    let ((), failed) = tokio::join!(replaced, used);
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(notes.read().await, ["first"]);

    // Killed in the midst of a deployment, again and again, it carries on where it was.
    let mut random = testkit::seeded();
    for round in 0..KILLS {
        let image = &images[round as usize % 2];
        let ended = cli(deploy(image, &["--no-wait"])).await;
        assert_eq!(ended.code, 0, "{ended:?}\n{}", site.log());
        let moment = Duration::from_millis(random.random_range(0..1500));
        tokio::time::sleep(moment).await;
        running.kill();
        running = site.start().await;
        settled(running.client(), &site, &environment).await;
        let version = ["one", "two"][round as usize % 2];
        assert_eq!(notes.version().await.as_deref(), Ok(version));
        notes.write(&format!("round {round}")).await;
        let listed = docker::listed(&environment);
        let counts = listed.iter().map(|(sort, names)| (*sort, names.len()));
        let expected = [("container", 1), ("docker volume", 0), ("network", 1)];
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{listed:?}");
    }
    assert_eq!(notes.read().await.len(), 1 + KILLS as usize);
    running = made_and_removed(&site, running, &servers, &mut random, (score, &images[0])).await;

    // New credentials reach the program, without another deployment.
    let client = running.client();
    let page = client.resources(&environment, &Default::default()).await;
    let mut instances = page.expect("a list").items;
    instances.retain(|instance| !instance.status.secret_outputs.is_empty());
    for instance in &instances {
        let rotated = client.rotate_resource(&environment, &instance.meta.name);
        rotated.await.expect("it rotates");
    }
    testkit::eventually("everything is rotated and in use", LONG, || async {
        let page = client.resources(&environment, &Default::default()).await;
        let page = page.expect("a list");
        (page.items.iter())
            .filter(|instance| !instance.status.secret_outputs.is_empty())
            .all(|instance| instance.status.oldest_rotation == 2)
            .then_some(())
    })
    .await;
    settled(client, &site, &environment).await;
    assert_eq!(notes.read().await.len(), 1 + KILLS as usize);
    let before = all.len();
    all.extend(secrets(client, &environment).await);
    assert!(all.len() >= 2 * before, "{before} {}", all.len());

    let mut search = Search::of(all);
    // That it finds what is there: Docker was handed them in the container's environment.
    let container = docker::listed(&environment)["container"][0].clone();
    let handed = docker::inspected(&container, "{{json .Config.Env}}");
    search.look("the container's environment", handed.as_bytes());
    assert!(!search.found.is_empty(), "the search finds nothing at all");
    search.found.clear();
    for field in [
        "{{json .Config.Labels}}",
        "{{json .Config.Cmd}}",
        "{{json .Args}}",
    ] {
        let written = docker::inspected(&container, field);
        search.look(field, written.as_bytes());
    }
    let log = client
        .logs(&environment, "notes", &Default::default())
        .await;
    search.look_at("the workload's own log", &log.expect("the log"));
    let planned = data.path().join("score.yaml");
    let text = std::fs::read_to_string(score).expect("it is read");
    let text = text.replace("image: .", &format!("image: {}", images[0].reference));
    std::fs::write(&planned, text).expect("it is written");
    search_api(&mut search, &site, client, &environment).await;
    search_command_line(&mut search, &site, &environment, "notes", &planned).await;
    search_files(&mut search, data.path());
    assert!(search.places > 60, "{}", search.places);
    assert!(search.found.is_empty(), "{}", search.found.join("\n\n"));

    let present = servers.listed(&site.data, &environment).await;
    for sort in ["database", "role", "bucket"] {
        assert!(!present[sort].is_empty(), "{sort}: {present:?}");
    }
    let removed = client.delete_environment(&environment, Data::Remove, None);
    removed.await.expect("it may go");
    gone(client, &environment).await;
    let mut left = servers.listed(&site.data, &environment).await;
    left.extend(docker::listed(&environment));
    left.retain(|_, names| !names.is_empty());
    assert!(left.is_empty(), "left behind: {left:?}");
    search_files(&mut search, data.path());
    assert!(search.found.is_empty(), "{}", search.found.join("\n\n"));
}
