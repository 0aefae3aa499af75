//! `towpath down`

use clap::Args;
use serde_json::json;
use server::RunningServer;

use crate::{
    background,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Stop the platform on this machine; workloads go on
///
/// Workloads go on running, and so do the servers for resources; `towpath up` or `towpath demo` with the same
/// options finds them again. To remove workloads as well, delete their environment first. The servers that Towpath
/// started are listed; `--servers` stops them, too.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath down\n  towpath env delete dev --with-data && towpath down --servers"
)]
pub(crate) struct Down {
    /// Also stop the servers that Towpath started for resources; their data stays, and the next start of the
    /// platform starts them again
    #[arg(long)]
    servers: bool,
}

impl Down {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let data = context.data()?;
        let was_up = background::stop(&data).await?;
        let (mut running, mut untold) = (Vec::new(), Vec::new());
        for found in server::running_servers(&data).await {
            match found {
                Ok(server) => running.push(server),
                Err(error) => untold.push(error),
            }
        }
        if !was_up && (!self.servers || running.is_empty()) {
            let message = format!("no platform of {} runs on this machine", data.display());
            let remedy = if running.is_empty() {
                "name its data directory with --data".to_owned()
            } else {
                format!(
                    "name its data directory with --data; `towpath down --servers` stops the servers of this one: {}",
                    names(&running)
                )
            };
            return Err(Failure::new(Exit::NotFound, message).remedy(remedy));
        }
        if self.servers {
            for server in &running {
                server.stop().await?;
            }
            if !untold.is_empty() {
                return Err(untold.remove(0).into());
            }
        }
        let (platform, state) = (
            if was_up { "stopped" } else { "absent" },
            if self.servers { "stopped" } else { "running" },
        );
        let servers: Vec<_> = running
            .iter()
            .map(|it| json!({ "name": it.name, "runsAs": it.runs_as, "state": state }))
            .collect();
        context.answer(&json!({ "platform": platform, "servers": servers }), || {
            let mut lines = Vec::new();
            if was_up {
                lines.push(
                    "the platform is stopped; workloads go on: `towpath up` with the same options finds them again, \
                     and their addresses answer from then on"
                        .to_owned(),
                );
            }
            if !running.is_empty() {
                lines.push(after(&running, self.servers));
            }
            for error in &untold {
                lines.push(format!(
                    "whether a server that Towpath started runs is not known: {error}"
                ));
            }
            lines.join("\n")
        })
    }
}

/// What became of the servers.
fn after(running: &[RunningServer], stopped: bool) -> String {
    let names = names(running);
    if stopped {
        format!(
            "stopped as well: {names}; their data stays, and the next `towpath up` starts them again"
        )
    } else {
        format!(
            "servers that Towpath started go on as well: {names}; `towpath down --servers` stops them and keeps \
             their data"
        )
    }
}

fn names(running: &[RunningServer]) -> String {
    let names = running
        .iter()
        .map(|it| format!("{} ({})", it.name, it.runs_as));
    names.collect::<Vec<_>>().join(", ")
}
