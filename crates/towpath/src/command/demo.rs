//! `towpath demo`

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use delivery::api::CreateEnvironment;

use super::{
    deploy::{self, Wait},
    program::own_name,
};
use crate::{
    background,
    cli::{DEFAULT_ENVIRONMENT, Source},
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    input::{self, Changes},
};

/// The example's description, as it is in the repository.
const EXAMPLE: &str = "examples/notes/score.yaml";
const SCORE: &str = include_str!("../../../../examples/notes/score.yaml");

/// What the example's program is called.
const PROGRAM: &str = "notes";

/// Start a platform if none runs, and deploy the example
///
/// The example is a small service that keeps its notes in Postgres and its attachments in S3. The command opens no
/// browser; it prints the address, and what to try next.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath demo\n  towpath demo --program ./target/release/notes"
)]
pub(crate) struct Demo {
    /// The example's program [default: beside this program, or built in the repository]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Passed to the platform if this starts one: `--gateway-listen 127.0.0.1:8080`
    #[arg(last = true, value_name = "OPTIONS OF UP")]
    up: Vec<String>,
}

impl Demo {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let program = find(self.program.as_deref())?;
        // Whoever is logged in elsewhere does not mean the platform there.
        let context = &context.here();
        if context.global.server.is_none() && !context.has_token()? {
            // Nothing was ever started here: whoever answers at the usual address is another's.
            context.say("no platform was started here yet: starting one in the background");
            background::start(context, &self.up).await?;
        } else if !runs(context).await? {
            if let Some(server) = &context.global.server
                && self.up.is_empty()
            {
                return Err(Failure::new(
                    Exit::Unreachable,
                    format!("no platform answers at {server}"),
                )
                .remedy("start it there, or leave out --server and TOWPATH_SERVER"));
            }
            context.say("no platform answers here: starting one in the background");
            background::start(context, &self.up).await?;
        }
        let changes = Changes {
            images: vec![program.display().to_string()],
            ..Changes::default()
        };
        let example = input::File {
            name: EXAMPLE.into(),
            bytes: SCORE.into(),
        };
        let mut request = input::workloads(vec![example], changes)?;
        request.body.message = "towpath demo".into();
        request.body.create_environment = Some(CreateEnvironment::default());
        deploy::deploy(context, DEFAULT_ENVIRONMENT, &request, &Wait::default()).await?;
        context.say(&next(context, &program));
        Ok(())
    }
}

/// Whether the platform answers.
async fn runs(context: &Context) -> Result<bool> {
    match context.client() {
        Ok(client) => background::answers(&client).await,
        // None was ever up in the data directory.
        Err(failure) if failure.exit == Exit::Unreachable => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The example's program: the one that was named, the one beside this program, or a new build.
fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return absolute(path);
    }
    let own =
        std::env::current_exe().map_err(|e| Failure::io("this program cannot be found", &e))?;
    let beside = own.with_file_name(PROGRAM);
    if beside.is_file() {
        return Ok(beside);
    }
    let here = std::env::current_dir().unwrap_or_default();
    let repository = own
        .ancestors()
        .chain(here.ancestors())
        .find(|folder| folder.join("examples/notes/Cargo.toml").is_file());
    match repository {
        Some(repository) => build(repository),
        None => Err(
            Failure::new(Exit::NotFound, "the example's program is not here").remedy(
                "run this in a clone of the repository, or name the program with --program",
            ),
        ),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path)
        .map_err(|e| Failure::io(&format!("{} cannot be found", path.display()), &e))
}

/// Builds the example in `repository`; Cargo says where its program is.
fn build(repository: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--package",
            PROGRAM,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(repository)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| Failure::io("cargo cannot be started", &e))?;
    if !output.status.success() {
        return Err(Failure::new(Exit::Failed, "the example could not be built"));
    }
    let built = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == PROGRAM)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    built.ok_or_else(|| Failure::new(Exit::Failed, "cargo does not say where it put the example"))
}

/// Commands that show what a platform does, in an order that works.
fn next(context: &Context, program: &Path) -> String {
    let program = program.display();
    // Whoever named a data directory has to name it again.
    let data = match (&context.global.data, context.global.given.data) {
        (Some(data), Some(Source::Flag)) => format!(" --data {}", data.display()),
        _ => String::new(),
    };
    let score = if Path::new(EXAMPLE).exists() {
        EXAMPLE.to_owned()
    } else {
        format!("PATH/TO/{EXAMPLE}")
    };
    let text = format!(
        "
What to try next:
  towpath status                         what runs, with its database and its bucket
  towpath logs notes -f                  what it writes
  towpath graph                          what it needs, and which definitions meet that
  towpath explain postgres               why this definition, and not another
  towpath deploy {score} --image {program} --override containers.web.variables.GREETING=Hello
                                         a second release takes over: what you have noted stays
  towpath get deployments                what was deployed
  towpath rollback                       the first release again: what you have noted stays
  towpath deploy {score} --image {program} --env pr-1 --ttl 1h
                                         the same in an environment that ends by itself
  towpath delete workload notes          stop it; its data stays
  towpath down                           stop the platform"
    );
    text.replace("\n  towpath ", &format!("\n  {}{data} ", own_name()))
}
