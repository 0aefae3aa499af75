//! `towpath logs`

use clap::Args;
use client::Client;
use delivery::{api::LogParams, engine::LogLine};

use super::env::elsewhere;
use crate::{
    cli::EnvironmentArg, context::Context, failure::Result, render::quantity::parse_whole,
};

/// Show what a workload writes
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath logs notes\n  towpath logs notes -f --tail 20 --env pr-42\n  towpath logs notes --release 3 -o json"
)]
pub(crate) struct Logs {
    /// The workload
    workload: String,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// Keep showing new lines
    #[arg(long, short)]
    follow: bool,
    /// Begin with this many of the last lines
    #[arg(long, value_name = "LINES", value_parser = parse_whole::<usize>, allow_negative_numbers = true)]
    tail: Option<usize>,
    /// Only this container
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Only this release
    #[arg(long, value_name = "NUMBER", value_parser = parse_whole::<u64>)]
    release: Option<u64>,
}

impl Logs {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let environment = self.environment.environment.clone();
        match self.show(context, &client).await {
            Err(failure) => Err(elsewhere(&client, &environment, failure).await),
            done => done,
        }
    }

    async fn show(self, context: &Context, client: &Client) -> Result<()> {
        let environment = &self.environment.environment;
        let params = LogParams {
            container: self.container,
            release: self.release,
            tail: self.tail,
            follow: self.follow,
        };
        let show = |line: &LogLine| context.log_line(line, || text(line));
        if !self.follow {
            for line in client.logs(environment, &self.workload, &params).await? {
                show(&line)?;
            }
            return Ok(());
        }
        let mut lines = client.follow_logs(environment, &self.workload, &params);
        while let Some(line) = lines.next().await? {
            show(&line)?;
        }
        Ok(())
    }
}

fn text(line: &LogLine) -> String {
    format!("{}@{} | {}", line.container, line.release, line.line)
}
