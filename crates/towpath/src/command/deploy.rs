//! `towpath deploy`

use std::{path::PathBuf, time::Duration};

use clap::Args;
use client::{Client, WhoAmI};
use delivery::{
    api::{CreateEnvironment, NewDeployment},
    model::Environment,
};

use super::plan;
use crate::{
    cli::EnvironmentArg,
    context::{Context, patient},
    exit::Exit,
    failure::{Failure, Result},
    input::{self, Changes, Request, Unready},
    progress,
    render::quantity::parse_duration,
};

/// Deploy workloads, and show the progress
///
/// Reads Score files, makes what they need, runs them, and waits until they are ready. If they do not get ready in
/// time, the last good release goes on serving.
///
/// The first deployment to `dev` makes it. Any other environment must exist, or be requested with --role or --ttl, so
/// that a typing error does not make one. `towpath env list` shows your environments: a team's have its name first,
/// such as `payments-dev`.
///
/// With `-o json` or `-o yaml` the answer comes once, when the deployment has ended. Follow it until then with
/// `towpath events --follow -o json`, one event per line.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath deploy score.yaml\n  towpath deploy score.yaml --env pr-42 --ttl 8h\n  towpath deploy shop.yaml notes.yaml --image notes.web=./target/release/notes\n  towpath deploy score.yaml --override containers.web.variables.LOG=debug --plan"
)]
pub(crate) struct Deploy {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wait: Wait,
    /// Only show what would change
    #[arg(long)]
    plan: bool,
}

/// The workloads, and what is changed in them before they are sent.
#[derive(Debug, Default, Args)]
pub(crate) struct Source {
    /// Score files; `-` is standard input
    #[arg(required_unless_present = "files", value_name = "FILE")]
    positional: Vec<PathBuf>,
    /// The same as FILE
    #[arg(long = "file", short = 'f', value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    edits: Edits,
}

/// What is changed in workloads before they are sent.
#[derive(Debug, Default, Args)]
pub(crate) struct Edits {
    /// Set a field: `containers.web.image=web:2`. The value is YAML, or text where the field is; an empty one removes it.
    /// With several workloads: `WORKLOAD:PATH=VALUE`
    #[arg(long = "override", value_name = "PATH=VALUE")]
    overrides: Vec<String>,
    /// A YAML file that is merged over the workload; null removes a field. With several workloads, its
    /// `metadata.name` says which one it is for
    #[arg(long = "overrides", value_name = "FILE")]
    override_files: Vec<PathBuf>,
    /// The image, or the path of the program: for the only container, for those whose image is `.`, or for the named
    /// container (WORKLOAD.CONTAINER if several have that name)
    #[arg(long = "image", value_name = "[CONTAINER=]IMAGE")]
    images: Vec<String>,
}

impl Source {
    /// These files, with what is changed in them.
    pub(crate) fn of_files(files: Vec<PathBuf>, edits: Edits) -> Self {
        Self {
            files,
            edits,
            ..Self::default()
        }
    }

    /// Reads the files, with everything that is wrong with any of them told at once.
    pub(crate) fn request(&self) -> Result<Request, Unready> {
        let files = self.positional.iter().chain(&self.files);
        let files = files.map(|path| input::File::read(path));
        self.edits.request(files.collect::<Result<_>>()?)
    }
}

impl Edits {
    /// The workloads in `files`, so changed.
    pub(crate) fn request(&self, files: Vec<input::File>) -> Result<Request, Unready> {
        let override_files = self.override_files.iter();
        let override_files = override_files.map(|path| input::File::read(path));
        input::workloads(
            files,
            Changes {
                overrides: self.overrides.clone(),
                override_files: override_files.collect::<Result<_>>()?,
                images: self.images.clone(),
            },
        )
        .map_err(Unready::Faulty)
    }

    /// Refuses where there is no workload that they could change.
    pub(crate) fn need_a_workload(&self, there: bool) -> Result<()> {
        if there
            || self.overrides.is_empty() && self.override_files.is_empty() && self.images.is_empty()
        {
            return Ok(());
        }
        Err(
            Failure::usage("--image and --override change workloads, and there is none here")
                .remedy("name a Score file with --file"),
        )
    }
}

/// Where to, and under which conditions.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    environment: EnvironmentArg,
    /// The role of the environment that this makes; an existing environment must have this role
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// How long the environment lives from now: 90m, 8h, 2d. Then everything in it is removed, including data.
    /// Refused for an environment that exists and has no end
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Accept the replacement of this resource, and the loss of its data
    #[arg(long, value_name = "RESOURCE")]
    accept: Vec<String>,
    /// Why: kept in the history
    #[arg(
        long,
        short,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    message: String,
    /// How long the workloads, and what they need, may take to get ready [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl Target {
    pub(crate) fn environment(&self) -> &str {
        &self.environment.environment
    }

    /// The default development environment, and one for which a role or a life time is given, come
    /// into being by the first deployment. Any other name may be a slip of the finger.
    fn creates(&self) -> bool {
        self.role.is_some()
            || self.ttl.is_some()
            || self.environment() == crate::cli::DEFAULT_ENVIRONMENT
    }

    pub(crate) fn fill(&self, body: &mut NewDeployment) {
        body.message.clone_from(&self.message);
        body.timeout_seconds = self.timeout.map(|time| time.as_secs());
        body.accept.clone_from(&self.accept);
        body.create_environment = self.creates().then(|| CreateEnvironment {
            role: self.role.clone(),
            ttl_seconds: self.ttl.map(|time| time.as_secs()),
        });
    }
}

/// Whether to wait for the end.
#[derive(Debug, Default, Args)]
#[allow(clippy::struct_field_names, reason = "named as the options are")]
pub(crate) struct Wait {
    /// Wait until it is done; this is the default
    #[arg(long, overrides_with = "no_wait")]
    #[allow(dead_code, reason = "the default, said aloud")]
    wait: bool,
    /// Do not wait until it is done
    #[arg(long)]
    no_wait: bool,
    /// The longest time to wait [default: until it is done]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    wait_timeout: Option<Duration>,
}

impl Wait {
    /// Whether not to wait.
    pub(crate) fn no_wait(&self) -> bool {
        self.no_wait
    }

    /// How long at the most.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.wait_timeout
    }
}

impl Deploy {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        if self.plan {
            return plan::show(context, &self.source, &self.target).await;
        }
        let mut request = match self.source.request() {
            Ok(request) => request,
            Err(why) => return Err(unready(context, &self.target, why).await),
        };
        self.target.fill(&mut request.body);
        deploy(context, self.target.environment(), &request, &self.wait).await
    }
}

/// Why files cannot be deployed: with their mistakes, what the platform finds wrong with the rest of them, which is
/// planned for that alone. Where it cannot be asked, their mistakes are all there is to tell.
pub(crate) async fn unready(context: &Context, target: &Target, why: Unready) -> Failure {
    let mut faulty = match why {
        Unready::Failed(failure) => return failure,
        Unready::Faulty(faulty) => faulty,
    };
    let body = faulty.body();
    target.fill(body);
    // It may be of what was taken out.
    body.accept.clear();
    if body.workloads.is_empty() {
        return faulty.into();
    }
    let Ok(client) = context.client() else {
        return faulty.into();
    };
    let asked = client.plan(target.environment(), faulty.body()).await;
    match asked {
        Err(error @ client::Error::Refused(_)) => faulty.with(error),
        _ => faulty.into(),
    }
}

/// Sends `request`, follows it, and tells how it went.
pub(crate) async fn deploy(
    context: &Context,
    environment: &str,
    request: &Request,
    wait: &Wait,
) -> Result<()> {
    let client = context.client()?;
    // The first call is not patient: whoever forgot to start a platform should hear so at once.
    let deployment = match client.deploy(environment, &request.body).await {
        Ok(mut deployment) => {
            request.place(&mut deployment.spec.plan);
            deployment
        }
        Err(error) => return Err(advised(&client, request.failure(error)).await),
    };
    progress::follow(context, &patient(client), deployment, wait).await
}

/// `failure`, with where the caller may deploy to: whoever deploys for the first time does not know.
pub(crate) async fn advised(client: &Client, mut failure: Failure) -> Failure {
    let mut rules = failure.problems.iter().map(|problem| &problem.rule);
    let taken = rules.any(|rule| rule == Environment::TAKEN);
    if !taken && failure.exit != Exit::Refused {
        return failure;
    }
    // Where it does not say who calls, the refusal says enough.
    if let Ok(who) = client.whoami().await
        && let Some(remedy) = advice(taken, &who)
    {
        failure.remedy = Some(remedy);
    }
    failure
}

fn advice(taken: bool, who: &WhoAmI) -> Option<String> {
    if who.kind == "person" && who.teams.is_empty() && !who.admin {
        let subject = &who.subject;
        return Some(format!(
            "you ({subject}) are in no team: ask a lead of yours (`towpath team member add`), or a manager"
        ));
    }
    taken.then(|| {
        "it is not one of yours: `towpath env list` shows those that are; name one with --env"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_deploys_for_the_first_time_is_told_where_to() {
        let who = |teams: &[&str], admin: bool| -> WhoAmI {
            let who = serde_json::json!({
                "subject": "local:ada", "kind": "person", "teams": teams, "admin": admin,
            });
            serde_json::from_value(who).unwrap()
        };
        let outside = advice(true, &who(&[], false)).unwrap();
        assert!(outside.contains("local:ada) are in no team"), "{outside}");
        assert_eq!(advice(false, &who(&[], false)), Some(outside));
        let member = advice(true, &who(&["payments"], false)).unwrap();
        assert!(member.contains("`towpath env list`"), "{member}");
        assert_eq!(advice(false, &who(&["payments"], false)), None);
        assert_eq!(advice(false, &who(&[], true)), None);
    }
}
