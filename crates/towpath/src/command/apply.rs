//! `towpath apply`

use std::path::PathBuf;

use clap::Args;
use delivery::api::{Applied, ApplyOutcome};

use super::{
    deploy::{self, Edits, Target, Wait},
    plan,
};
use crate::{
    context::Context,
    failure::{Failure, Result},
    input,
};

/// Apply documents: definitions, roles, environments, teams, namespaces, integrations, tools, identity,
/// subscriptions, clusters, workloads
///
/// A file may hold several documents of the platform, or several Score workloads, but not both: use separate files
/// for both. The documents are applied together or not at all; the workloads are then deployed to the environment.
///
/// With --plan nothing is written. It says for each document whether it would be new, change something (and where),
/// or change nothing, and for the workloads what their deployment would change, compared with what exists now.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath apply -f definitions.yaml\n  towpath apply -f definitions.yaml --plan\n  towpath apply -f roles.yaml -f score.yaml --env qa\n  cat definitions.yaml | towpath apply -f -"
)]
pub(crate) struct Apply {
    /// The file; `-` is standard input
    #[arg(long = "file", short = 'f', value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    edits: Edits,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wait: Wait,
    /// Only say what would change
    #[arg(long)]
    plan: bool,
}

impl Apply {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let mut input = input::documents(&self.files)?;
        if input.ours.is_empty() && input.workloads.is_empty() {
            return Err(Failure::usage("there is no document in these files"));
        }
        self.edits.need_a_workload(!input.workloads.is_empty())?;
        // Everything is read and checked before anything is sent.
        let request = match std::mem::take(&mut input.workloads) {
            none if none.is_empty() => None,
            files => match self.edits.request(files) {
                Ok(request) => Some(request),
                Err(why) if input.ours.is_empty() => {
                    return Err(deploy::unready(context, &self.target, why).await);
                }
                // The platform has not been sent the other documents, and would miss what they bring.
                Err(why) => return Err(why.into()),
            },
        };
        ours(context, input, self.plan).await?;
        let Some(mut request) = request else {
            return Ok(());
        };
        self.target.fill(&mut request.body);
        let environment = self.target.environment();
        if self.plan {
            return plan::of(context, environment, &request).await;
        }
        deploy::deploy(context, environment, &request, &self.wait).await
    }
}

/// Has the platform take the documents of its own kinds, together or not at all; or, with `plan`, say what
/// would become of them.
pub(crate) async fn ours(context: &Context, input: input::Documents, plan: bool) -> Result<()> {
    if input.ours.is_empty() {
        return Ok(());
    }
    let client = context.client()?;
    let answer = if plan {
        client.apply_plan(input.ours).await
    } else {
        client.apply(input.ours).await
    };
    let answer = answer.map_err(|error| input.places.failure(error))?;
    context.answer(&answer, || {
        let lines = answer.items.iter().map(|applied| line(applied, plan));
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn line(applied: &Applied, plan: bool) -> String {
    let word = match (applied.outcome, plan) {
        (ApplyOutcome::Created, false) => "created",
        (ApplyOutcome::Changed, false) => "changed",
        (ApplyOutcome::Created, true) => "would be created",
        (ApplyOutcome::Changed, true) => "would be changed",
        (ApplyOutcome::Unchanged, _) => "unchanged",
    };
    let differs = match applied.differs.join(", ") {
        none if none.is_empty() => none,
        places => format!(": {places}"),
    };
    let revision = applied
        .revision
        .map_or_else(String::new, |revision| format!(" (revision {revision})"));
    let missing = match &applied.missing {
        Some(missing) => format!("\n  still wanted: {missing}"),
        None => String::new(),
    };
    format!(
        "{}/{} {word}{revision}{differs}{missing}",
        applied.kind, applied.name
    )
}
