//! `kill -9` at any moment of a deployment, a teardown, a rotation or a start: on the next start the platform
//! converges, nothing is made twice, nothing is left behind, and no secret is lost.

#![allow(
    clippy::print_stdout,
    reason = "what was compared is part of the result"
)]

mod compared;
mod logins;
#[path = "../site/mod.rs"]
mod site;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use client::Client;
use compared::Compared;
use delivery::{
    api::{CreateEnvironment, Data, NewDeployment},
    model::ResourceInstance,
};
use kernel::Resource;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use site::{Site, listed::Servers};

/// How often the platform is killed, unless `TOWPATH_KILL_ROUNDS` says otherwise.
const ROUNDS: u32 = 100;

/// Of so many kills one is of a platform on Postgres, where this machine has it.
const ON_POSTGRES: u32 = 5;

/// After so many kills the platform is left alone, and everything is compared.
const COMPARED_EVERY: u32 = 10;

/// What is asked for is worked on for about so long once it is accepted.
const WORK: Duration = Duration::from_millis(700);

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_converges() {
    let rounds = number("TOWPATH_KILL_ROUNDS").map_or(ROUNDS, |rounds| {
        u32::try_from(rounds).expect("TOWPATH_KILL_ROUNDS is small")
    });
    let seed = number("TOWPATH_KILL_SEED").unwrap_or_else(rand::random);
    // Shown where the test fails: the same is drawn again with it.
    println!("TOWPATH_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let servers = Servers::find().await;
    let postgres = testkit::servers::postgres_database().await;
    let on_postgres = postgres.as_ref().map_or(0, |_| rounds / ON_POSTGRES);

    let mut tally = Tally::default();
    let trial = Trial::new(&servers, None, &mut random, &mut tally);
    trial.run(rounds - on_postgres).await;
    if let Some(postgres) = postgres {
        let store = Some(postgres.url.clone());
        let trial = Trial::new(&servers, store, &mut random, &mut tally);
        trial.run(on_postgres).await;
    }
    tally.check(rounds);
}

/// What an environment variable says.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("it is a number"))
}

/// How many kills hit what.
#[derive(Debug, Default)]
struct Tally {
    asked: BTreeMap<&'static str, u32>,
    accepted: u32,
    refused: u32,
    unanswered: u32,
    in_a_start: u32,
}

impl Tally {
    /// A kill before anything is asked for proves nothing.
    fn check(&self, rounds: u32) {
        println!("{rounds} kills: {self:?}");
        let asked = |what| self.asked.get(what).copied().unwrap_or_default();
        assert!(asked("deployment") >= rounds / 4, "{self:?}");
        assert!(asked("teardown") >= rounds / 20, "{self:?}");
        assert!(asked("rotation") >= rounds / 50, "{self:?}");
        assert!(self.accepted >= rounds / 10, "{self:?}");
        assert!(self.unanswered >= rounds / 20, "{self:?}");
        assert!(self.in_a_start >= rounds / 10, "{self:?}");
    }
}

/// What is asked of the platform before it is killed.
enum Asked {
    Deployment(Box<NewDeployment>),
    Teardown,
    Rotation(String),
}

impl Asked {
    const fn word(&self) -> &'static str {
        match self {
            Self::Deployment(_) => "deployment",
            Self::Teardown => "teardown",
            Self::Rotation(_) => "rotation",
        }
    }

    /// Asks for it. Says how long the answer took.
    async fn of(self, client: Client, environment: String) -> Result<Duration, client::Error> {
        let begun = Instant::now();
        match self {
            Self::Deployment(new) => client.deploy(&environment, &new).await.map(drop)?,
            Self::Teardown => client
                .delete_environment(&environment, Data::Remove, None)
                .await
                .map(drop)?,
            Self::Rotation(instance) => client
                .rotate_resource(&environment, &instance)
                .await
                .map(drop)?,
        }
        Ok(begun.elapsed())
    }
}

/// A platform that is killed again and again.
struct Trial<'t> {
    site: Site,
    servers: &'t Servers,
    environment: String,
    random: &'t mut StdRng,
    tally: &'t mut Tally,
    /// From the start of its process until it is ready.
    start_takes: Duration,
    /// From a call to its answer.
    call_takes: Duration,
    _data: tempfile::TempDir,
}

impl<'t> Trial<'t> {
    fn new(
        servers: &'t Servers,
        store: Option<String>,
        random: &'t mut StdRng,
        tally: &'t mut Tally,
    ) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut site = Site::new(data.path());
        site.store = store;
        Self {
            site,
            servers,
            // Not of the seed: what an earlier run has left is not this one's.
            environment: format!("k{:06x}", rand::random::<u32>() & 0xff_ffff),
            random,
            tally,
            start_takes: Duration::ZERO,
            call_takes: Duration::from_millis(20),
            _data: data,
        }
    }

    async fn run(mut self, rounds: u32) {
        let mut compared = Compared::begin(self.servers, &self.site, &self.environment).await;
        let begun = Instant::now();
        let running = self.site.start().await;
        self.start_takes = begun.elapsed();
        running
            .client()
            .apply(bundle())
            .await
            .expect("the definition is accepted");
        running.kill();
        for round in 1..=rounds {
            match round % COMPARED_EVERY {
                3 | 7 => self.killed_in_a_start().await,
                _ => self.killed_at_work(round).await,
            }
            if round % COMPARED_EVERY == 0 {
                compared.compare(&self.site).await;
            }
        }
        compared.finish(&self.site).await;
    }

    /// What the last kill has left is looked through when the next one comes.
    async fn killed_in_a_start(&mut self) {
        let moment = self.moment(self.start_takes);
        let running = self.site.begin();
        tokio::time::sleep(moment).await;
        running.kill();
        self.tally.in_a_start += 1;
    }

    async fn killed_at_work(&mut self, round: u32) {
        let running = self.site.start().await;
        let asked = self.chosen(round, running.client()).await;
        let word = asked.word();
        *self.tally.asked.entry(word).or_default() += 1;
        // Half of the kills come while the call is read, planned, verified and written.
        let within = if self.random.random() {
            self.call_takes
        } else {
            self.call_takes + WORK
        };
        let moment = self.moment(within);
        let call = asked.of(running.client().clone(), self.environment.clone());
        let call = tokio::spawn(call);
        tokio::time::sleep(moment).await;
        running.kill();
        match call.await.expect("the call does not panic") {
            Ok(took) => {
                self.call_takes = self.call_takes.max(took).min(WORK);
                self.tally.accepted += 1;
            }
            // The one before is still being worked on: killing that is as good.
            Err(client::Error::Refused(problem)) => {
                println!("round {round}: {word}: {problem}");
                self.tally.refused += 1;
            }
            Err(_) => self.tally.unanswered += 1,
        }
    }

    fn moment(&mut self, within: Duration) -> Duration {
        within.mul_f64(self.random.random())
    }

    /// Whether a call that was killed was carried out shows by what there is.
    async fn chosen(&mut self, round: u32, client: &Client) -> Asked {
        let there = match client.environment(&self.environment).await {
            Ok(found) => found.meta.deleting.is_none(),
            Err(error) if error.is_not_found() => false,
            Err(error) => panic!("{error}\n{}", self.site.log()),
        };
        // Compared after deployments and after teardowns, in turn; a mixture in between.
        let teardown = match round % (2 * COMPARED_EVERY) {
            0 => true,
            COMPARED_EVERY => false,
            _ => self.random.random_ratio(1, 4),
        };
        if there && matches!(round % COMPARED_EVERY, 2 | 5) {
            let mut all = instances(client, &self.environment).await;
            // What has credentials: not the volume.
            all.retain(|one| !one.status.secret_outputs.is_empty());
            if !all.is_empty() {
                let one = &all[self.random.random_range(0..all.len())];
                return Asked::Rotation(one.meta.name.clone());
            }
        }
        if there && teardown {
            return Asked::Teardown;
        }
        let new = deployment(self.servers, &format!("round {round}"));
        Asked::Deployment(Box::new(new))
    }
}

async fn instances(client: &Client, environment: &str) -> Vec<Resource<ResourceInstance>> {
    client::every(async |page| client.resources(environment, &page).await)
        .await
        .expect("resources are listed")
}

/// A resource that needs another one, and that a third comes along with.
fn bundle() -> Vec<Value> {
    vec![json!({
        "apiVersion": "towpath.dev/v1",
        "kind": "ResourceDefinition",
        "metadata": { "name": "bundle" },
        "spec": {
            "type": "bundle",
            "provisioner": "template",
            "params": { "outputs": { "bucket": "${resources.files.bucket}" } },
            "resources": { "files": { "type": "s3" } },
            "coprovision": [{ "type": "volume", "order": "after" }],
        },
    })]
}

fn deployment(servers: &Servers, greeting: &str) -> NewDeployment {
    let mut resources = serde_json::Map::new();
    for resource_type in servers.types() {
        resources.insert(
            format!("a-{resource_type}"),
            json!({ "type": resource_type }),
        );
    }
    resources.insert("bundle".into(), json!({ "type": "bundle" }));
    let mut variables = json!({ "GREETING": greeting, "BUNDLE": "${resources.bundle.bucket}" });
    if servers.types().contains(&"postgres") {
        variables["DATABASE_URL"] = "${resources.a-postgres.url}".into();
    }
    let workload: Value = json!({
        "apiVersion": "score.dev/v1b1",
        "metadata": { "name": "hello" },
        "service": { "ports": { "www": { "port": 80, "targetPort": 8080 } } },
        "containers": { "main": {
            "image": site::hello(),
            "variables": variables,
            "readinessProbe": { "httpGet": { "path": "/", "port": 8080 } },
        }},
        "resources": resources,
    });
    NewDeployment {
        workloads: [("hello".to_owned(), workload)].into(),
        timeout_seconds: Some(60),
        create_environment: Some(CreateEnvironment {
            role: Some("dev".into()),
            ttl_seconds: None,
        }),
        ..NewDeployment::default()
    }
}
