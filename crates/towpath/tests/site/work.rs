//! What is done with a platform: the command line beside it, and deployments of the test workload.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use client::Client;
use delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::Deployment,
};
use kernel::Resource;
use serde_json::{Value, json};

use super::Site;

/// What the end of a deployment may take beyond its own time, on a busy machine.
const SLACK: Duration = Duration::from_mins(1);

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            out: String::from_utf8(output.stdout).expect("it writes text"),
            err: String::from_utf8(output.stderr).expect("it writes text"),
        }
    }
}

impl Site {
    /// Runs the command line against this platform.
    pub async fn cli(&self, arguments: &[&str]) -> Ended {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TOWPATH_DATA", &self.data)
            .env("TOWPATH_SERVER", self.server())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the binary starts")
            .into()
    }

    /// The address of the API.
    pub fn server(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }
}

/// The test workload, with these variables and resources.
pub fn score(name: &str, variables: &Value, resources: &Value) -> Value {
    json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": name },
        "service": { "ports": { "www": { "port": 80, "targetPort": 8080 } } },
        "containers": { "main": {
            "image": super::hello(),
            "variables": variables,
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 } },
        }},
        "resources": resources,
    })
}

/// A deployment of that one workload; makes its environment.
pub fn deployment(score: Value) -> NewDeployment {
    let name = score["metadata"]["name"]
        .as_str()
        .expect("it has a name")
        .to_owned();
    NewDeployment {
        workloads: [(name, score)].into(),
        timeout_seconds: Some(60),
        create_environment: Some(CreateEnvironment {
            role: Some("dev".into()),
            ttl_seconds: None,
        }),
        ..NewDeployment::default()
    }
}

/// Waits for the end of a deployment, which its own time brings at the latest.
pub async fn ended(client: &Client, deployment: &Resource<Deployment>) -> Resource<Deployment> {
    let meta = &deployment.meta;
    let within = Duration::from_secs(deployment.spec.timeout_seconds) + SLACK;
    let what = format!("{} of {} ends", meta.name, meta.scope);
    testkit::eventually(&what, within, || async {
        let now = client
            .deployment(&meta.scope, &meta.name)
            .await
            .expect("it is there");
        now.status.phase.is_final().then_some(now)
    })
    .await
}

/// Every event so far, as the API gives it.
pub async fn events(client: &Client) -> Vec<kernel::Event> {
    let mut all = Vec::new();
    loop {
        let query = client::EventQuery {
            after: all.last().map(|event: &kernel::Event| event.seq),
            limit: Some(1000),
            ..client::EventQuery::default()
        };
        let page = client.event_page(&query).await.expect("events are listed");
        if page.items.is_empty() {
            return all;
        }
        all.extend(page.items);
    }
}
