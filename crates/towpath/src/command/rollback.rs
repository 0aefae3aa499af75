//! `towpath rollback`

use std::time::Duration;

use clap::Args;

use super::deploy::Wait;
use crate::{
    cli::EnvironmentArg,
    context::{Context, patient},
    failure::Result,
    progress,
    render::quantity::parse_duration,
};

/// Return to an earlier deployment, and show the progress
///
/// A rollback is a new deployment with the workloads and the definition revisions of the earlier
/// one. Data stays as it is. A second rollback returns to where the first came from: `--to` goes
/// further back. A rollback to what already runs is refused (exit code 6), and nothing is changed.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath rollback\n  towpath rollback notes --env qa\n  towpath rollback --to d-3"
)]
pub(crate) struct Rollback {
    /// Only this workload
    workload: Option<String>,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// The deployment to return to [default: the last good one before the present]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<String>,
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
    #[command(flatten)]
    wait: Wait,
}

impl Rollback {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let body = delivery::api::Rollback {
            workload: self.workload,
            to: self.to,
            message: self.message,
            timeout_seconds: self.timeout.map(|time| time.as_secs()),
        };
        let environment = &self.environment.environment;
        let client = context.client()?;
        let deployment = client.rollback(environment, &body).await?;
        progress::follow(context, &patient(client), deployment, &self.wait).await
    }
}
