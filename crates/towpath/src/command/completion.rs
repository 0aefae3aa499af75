//! `towpath completion`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{cli::Cli, context::Context, failure::Result};

/// Write the completion script of a shell
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath completion bash > ~/.local/share/bash-completion/completions/towpath\n  towpath completion zsh > ~/.zfunc/_towpath"
)]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "towpath", &mut script);
        context.print(&String::from_utf8_lossy(&script))
    }
}
