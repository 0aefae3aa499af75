//! Looks for secrets where they may not be: in what the API and the command line answer, in files, in
//! the log of events.

use std::{collections::BTreeSet, path::Path};

use base64::Engine as _;
use client::Client;
use serde_json::Value;

use super::{Site, work};

/// Every secret output of the environment, with what of it could stand alone: the password in a URL.
pub async fn secrets(client: &Client, environment: &str) -> BTreeSet<String> {
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
pub struct Search {
    secrets: Vec<(String, Vec<Vec<u8>>)>,
    pub found: Vec<String>,
    pub places: usize,
}

impl Search {
    /// For these secrets, in every form.
    pub fn of(secrets: BTreeSet<String>) -> Self {
        let with_forms = |secret: String| {
            let forms = forms(&secret);
            (secret, forms)
        };
        Self {
            secrets: secrets.into_iter().map(with_forms).collect(),
            found: Vec::new(),
            places: 0,
        }
    }

    pub fn look(&mut self, place: &str, bytes: &[u8]) {
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

    pub fn look_at(&mut self, place: &str, value: &impl serde::Serialize) {
        self.look(place, &serde_json::to_vec(value).expect("it is JSON"));
    }
}

/// Everything that the API answers without being asked for a secret by name.
pub async fn search_api(search: &mut Search, site: &Site, client: &Client, environment: &str) {
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

/// What the command line says of the workload and its two deployments.
pub async fn search_command_line(
    search: &mut Search,
    site: &Site,
    environment: &str,
    workload: &str,
    score: &Path,
) {
    let score = score.to_str().expect("a path");
    let env = ["--env", environment];
    for words in [
        &["status"][..],
        &["get", "workloads"],
        &["get", "deployments"],
        &["get", "resources"],
        &["describe", "workload", workload],
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
pub fn search_files(search: &mut Search, directory: &Path) {
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
