//! `towpath logs`

use clap::Args;
use delivery::{api::LogParams, engine::LogLine};

use crate::{cli::EnvironmentArg, context::Context, failure::Result};

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
    /// Go on as lines come
    #[arg(long, short)]
    follow: bool,
    /// Begin with the last so many lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Only this container
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Only this release
    #[arg(long, value_name = "NUMBER")]
    release: Option<u64>,
}

impl Logs {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
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
