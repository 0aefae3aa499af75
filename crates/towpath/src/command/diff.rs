//! `towpath diff`

use clap::{Args, ValueEnum};
use delivery::api::DifferenceQuery;

use crate::{
    context::Context,
    failure::Result,
    render::{self, quantity::parse_whole},
};

/// Compare two revisions of a resource definition
///
/// Without numbers, compares the newest with the one before; with one number, that revision with the newest.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath diff definition postgres-default\n  towpath diff definition postgres-default 3\n  towpath diff definition postgres-default 1 3 -o json"
)]
pub(crate) struct Diff {
    /// The kind
    #[arg(value_enum)]
    kind: Revised,
    /// The name
    name: String,
    /// The earlier revision [default: the one before the newest]
    #[arg(value_parser = parse_whole::<u64>)]
    from: Option<u64>,
    /// The later one [default: the newest]
    #[arg(value_parser = parse_whole::<u64>)]
    to: Option<u64>,
}

/// What is kept in revisions.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Revised {
    /// How the platform meets a need.
    #[value(
        alias = "resource-definition",
        alias = "resource-definitions",
        alias = "definitions"
    )]
    Definition,
}

impl Diff {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let Revised::Definition = self.kind;
        let query = DifferenceQuery {
            from: self.from,
            to: self.to,
        };
        let client = context.client()?;
        let found = client.definition_difference(&self.name, &query).await?;
        context.answer(&found, || render::difference::text(&found))
    }
}
