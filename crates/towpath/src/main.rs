//! Towpath: the command line, and the platform itself (`towpath up`).

mod cli;
mod command;
mod context;
mod exit;
mod failure;
mod input;
mod progress;
#[cfg(test)]
mod reference;
mod render;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let terminal = context::Terminal::detect();
    let format = cli.global.output;
    match cli.run(terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(format, terminal);
            failure.exit.into()
        }
    }
}
