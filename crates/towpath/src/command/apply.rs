//! `towpath apply`

use std::path::PathBuf;

use clap::Args;
use delivery::api::{Applied, ApplyOutcome};

use super::deploy::{self, Edits, Target, Wait};
use crate::{
    context::Context,
    failure::{Failure, Result},
    input,
};

/// Apply documents: definitions, roles, environments, teams, namespaces, integrations, tools, who logs in and by
/// what, subscriptions, clusters, workloads
///
/// A file may hold several documents. Those of `towpath.dev/v1` are applied together or not at all;
/// Score workloads are then deployed to the environment.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath apply -f definitions.yaml\n  towpath apply -f roles.yaml -f score.yaml --env qa\n  cat definitions.yaml | towpath apply -f -"
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
            files => Some(self.edits.request(files)?),
        };
        ours(context, input).await?;
        if let Some(mut request) = request {
            self.target.fill(&mut request.body);
            deploy::deploy(context, self.target.environment(), &request, &self.wait).await?;
        }
        Ok(())
    }
}

/// Has the platform take the documents of its own kinds, together or not at all.
pub(crate) async fn ours(context: &Context, input: input::Documents) -> Result<()> {
    if input.ours.is_empty() {
        return Ok(());
    }
    let answer = context
        .client()?
        .apply(input.ours)
        .await
        .map_err(|error| input.places.failure(error))?;
    context.answer(&answer, || {
        let lines: Vec<_> = answer.items.iter().map(line).collect();
        lines.join("\n")
    })
}

fn line(applied: &Applied) -> String {
    let word = match applied.outcome {
        ApplyOutcome::Created => "created",
        ApplyOutcome::Changed => "changed",
        ApplyOutcome::Unchanged => "unchanged",
    };
    let revision = applied
        .revision
        .map_or_else(String::new, |revision| format!(" (revision {revision})"));
    let missing = match &applied.missing {
        Some(missing) => format!("\n  still wanted: {missing}"),
        None => String::new(),
    };
    format!(
        "{}/{} {word}{revision}{missing}",
        applied.kind, applied.name
    )
}
