//! `towpath secrets`

pub(crate) mod inject;
mod resolve;
mod run;

use clap::Subcommand;

use crate::{context::Context, failure::Result};

/// Give secrets to programs: in their environment, or in a file made from a template
///
/// References to secrets are written towpath://TEAM/NAME. All references resolve, or nothing is started or written,
/// and the error names those that do not.
#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    Run(run::Run),
    Inject(inject::Inject),
}

impl Secrets {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Run(run) => run.run(context).await,
            Self::Inject(inject) => inject.run(context).await,
        }
    }
}
