//! Deploying the example on the process engine, beside a script that does the same by hand against
//! the same servers: `cargo bench -p towpath --bench deploy`.
//!
//! The script makes a role and a database, starts the program and waits until it is ready. There is
//! no doing by hand for a bucket of the embedded S3 server, so the script is handed one that is
//! there already: it does less. Each deployment is one into a new environment, which it makes, with
//! a role, a database and a bucket of its own; it ends with the workload reachable through the
//! gateway. The three sorts take turns, and what each has made is removed before the next begins.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod platform;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use client::{Client, EventQuery};
use delivery::{
    api::{CreateEnvironment, Data, ListQuery, NewDeployment},
    model::DeploymentPhase,
};
use platform::{Failure, Platform, median};
use testkit::{free_port, servers::postgres};

/// Deployments of each sort.
const ROUNDS: usize = 15;
/// Between two looks at a deployment; the script's between two at the program.
const LOOK: Duration = Duration::from_millis(10);
const SCORE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/notes/score.yaml"
);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/by-hand.sh");
/// What the name of the resource begins with whose bucket the script uses.
const BUCKET: &str = "s3-default-notes-uploads";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Some(admin) = postgres().await else {
        return Ok(());
    };
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let platform = Platform::start(data.path(), Some(&admin)).await?;
    let bench = Bench {
        client: &platform.client,
        data: data.path(),
        admin: &admin,
        program: program()?,
    };
    // Warms both sides up, and makes the script's bucket.
    bench.through_api("first").await?;
    let bucket = bench.bucket("first").await?;
    bench.by_hand(&bucket)?;

    let (mut hand, mut api, mut command) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = String::new();
    for round in 0..ROUNDS {
        hand.push(bench.by_hand(&bucket)?);
        last = format!("api-{round}");
        api.push(bench.through_api(&last).await?);
        if round + 1 < ROUNDS {
            bench.remove(&last).await?;
        }
        let environment = format!("command-{round}");
        command.push(bench.through_command(&environment)?);
        bench.remove(&environment).await?;
    }
    let by_hand = median(&hand);
    println!("by hand                   median {by_hand:>6.1?}");
    for (name, times) in [
        ("through the API", &api),
        ("`towpath deploy --wait`", &command),
    ] {
        let ours = median(times);
        println!(
            "{name:<24}  median {ours:>6.1?}   {:.2} of by hand   (wanted: at most 1.10)",
            ours.as_secs_f64() / by_hand.as_secs_f64()
        );
    }
    bench.tell_steps(&last).await?;
    bench.remove(&last).await?;
    bench.remove("first").await?;
    println!(
        "memory after {} deployments   {:.1} MiB resident",
        2 * ROUNDS + 1,
        platform.memory()?
    );
    Ok(())
}

/// The example's program, built as this benchmark is.
fn program() -> Result<PathBuf, Failure> {
    let beside = Path::new(env!("CARGO_BIN_EXE_towpath")).with_file_name("notes");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "bench"
    };
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--profile", profile, "-p", "notes"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if built.success() && beside.is_file() {
        Ok(beside)
    } else {
        Err(format!("the example was not built at {}", beside.display()).into())
    }
}

struct Bench<'a> {
    client: &'a Client,
    data: &'a Path,
    /// Postgres, as somebody who may make roles and databases.
    admin: &'a str,
    program: PathBuf,
}

impl Bench<'_> {
    async fn through_api(&self, environment: &str) -> Result<Duration, Failure> {
        let mut score: serde_json::Value =
            serde_yaml_ng::from_str(&std::fs::read_to_string(SCORE)?)?;
        score["containers"]["web"]["image"] = self.program.display().to_string().into();
        let new = NewDeployment {
            workloads: BTreeMap::from([("notes".into(), score)]),
            create_environment: Some(CreateEnvironment::default()),
            ..NewDeployment::default()
        };
        let begun = Instant::now();
        let name = self.client.deploy(environment, &new).await?.meta.name;
        loop {
            let deployment = self.client.deployment(environment, &name).await?;
            let status = deployment.status;
            match status.phase {
                DeploymentPhase::Succeeded => return Ok(begun.elapsed()),
                phase if phase.is_final() => {
                    return Err(format!("the deployment failed: {:?}", status.failure).into());
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    fn through_command(&self, environment: &str) -> Result<Duration, Failure> {
        let begun = Instant::now();
        run(Command::new(env!("CARGO_BIN_EXE_towpath"))
            .args(["deploy", SCORE, "--wait", "--role", "dev"])
            .args(["--env", environment, "--image"])
            .arg(&self.program)
            .arg("--data")
            .arg(self.data))?;
        Ok(begun.elapsed())
    }

    fn by_hand(&self, bucket: &[(&str, String)]) -> Result<Duration, Failure> {
        let name = format!("by_hand_{:016x}", rand::random::<u64>());
        let password = format!("{:032x}", rand::random::<u128>());
        let (_, server) = self.admin.rsplit_once('@').ok_or("a URL without a user")?;
        let server = server.split('/').next().unwrap_or_default();
        let port = free_port();
        let mut script = Command::new("bash");
        script
            .arg(SCRIPT)
            .envs(bucket.iter().cloned())
            .env("ADMIN", self.admin)
            .env("NAME", &name)
            .env("PASSWORD", &password)
            .env("PROGRAM", &self.program)
            .env("PORT", port.to_string())
            .env("HOST", "127.0.0.1")
            .env("LOG", self.data.join("by-hand.log"))
            .env(
                "DATABASE_URL",
                format!("postgres://{name}:{password}@{server}/{name}"),
            );
        let begun = Instant::now();
        let process = run(&mut script)?;
        let took = begun.elapsed();
        run(Command::new("kill").arg(process.trim()))?;
        run(Command::new("psql")
            .args(["--no-psqlrc", "--quiet", self.admin])
            .args(["-c", &format!("DROP DATABASE {name} WITH (FORCE)")])
            .args(["-c", &format!("DROP ROLE {name}")]))?;
        Ok(took)
    }

    /// What the example needs to know of the bucket in `environment`.
    async fn bucket(&self, environment: &str) -> Result<Vec<(&'static str, String)>, Failure> {
        let resources = self
            .client
            .resources(environment, &ListQuery::default())
            .await?;
        let bucket = resources
            .items
            .iter()
            .map(|resource| &resource.meta.name)
            .find(|name| name.starts_with(BUCKET))
            .ok_or("the example was given no bucket")?;
        let secret = "secret_access_key";
        let outputs = self
            .client
            .resource_outputs(environment, bucket, Some(secret))
            .await?;
        let text = |output: &str| {
            outputs
                .outputs
                .get(output)
                .and_then(|value| value.as_str())
                .or(outputs.revealed.get(output).map(String::as_str))
                .map(str::to_owned)
                .ok_or_else(|| format!("the bucket has no output `{output}`"))
        };
        Ok(vec![
            ("S3_ENDPOINT", text("endpoint")?),
            ("S3_BUCKET", text("bucket")?),
            ("S3_REGION", text("region")?),
            ("S3_ACCESS_KEY_ID", text("access_key_id")?),
            ("S3_SECRET_ACCESS_KEY", text(secret)?),
        ])
    }

    async fn remove(&self, environment: &str) -> Result<(), Failure> {
        self.client
            .delete_environment(environment, Data::Remove, None)
            .await?;
        loop {
            match self.client.environment(environment).await {
                Ok(_) => tokio::time::sleep(LOOK).await,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Where the time of the deployment of `environment` went.
    async fn tell_steps(&self, environment: &str) -> Result<(), Failure> {
        let deployment = self.client.deployment(environment, "d-1").await?;
        let query = EventQuery {
            correlation: Some(deployment.spec.correlation),
            after: Some(0),
            ..EventQuery::default()
        };
        let events = self.client.event_page(&query).await?.items;
        let begun = events.first().ok_or("a deployment without events")?.time;
        println!("the steps of one:");
        for event in &events {
            let after = event.time.duration_since(begun).as_millis();
            let what = event.kind.trim_start_matches("dev.towpath.");
            println!("  {after:>5} ms  {what:<24} {}", event.subject);
        }
        Ok(())
    }
}

/// What `command` says; an error where it fails.
fn run(command: &mut Command) -> Result<String, Failure> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    if !status.success() {
        let program = command.get_program().display();
        let stderr = String::from_utf8_lossy(&stderr);
        return Err(format!("{program} ended with {status}: {stderr}").into());
    }
    Ok(String::from_utf8(stdout)?)
}
