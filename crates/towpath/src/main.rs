//! Towpath: the command line, and the platform itself (`towpath up`).

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod background;
mod cli;
mod command;
mod context;
mod exit;
mod failure;
mod input;
mod logins;
#[cfg(test)]
mod operations;
mod progress;
mod prompt;
#[cfg(test)]
mod reference;
mod render;
mod retry_on_conflict;
mod secret_file;
mod usage;

use std::process::ExitCode;

/// What the process engine calls this program with, to have it become a workload's program. No
/// command of people: it must not start a thread, and nothing is to be read before it.
const ENGINE_SHIM: &str = "engine-shim";

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == ENGINE_SHIM)
    {
        return server::shim_main();
    }
    let terminal = context::Terminal::detect();
    let cli = match cli::Cli::read() {
        Ok(cli) => cli,
        Err(usage) => {
            usage.failure.report(usage.format, terminal);
            return usage.failure.exit.into();
        }
    };
    let format = cli.global.output;
    match cli.run(terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(format, terminal);
            failure.exit.into()
        }
    }
}
