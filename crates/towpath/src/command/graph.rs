//! `towpath graph`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use delivery::api::GraphAnswer;

use super::deploy::{Edits, Source};
use crate::{
    cli::EnvironmentArg,
    context::{Context, Format},
    failure::{Failure, Result},
    render,
};

/// Draw what an environment needs, or what a file would need
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath graph\n  towpath graph -f score.yaml --image ./app --format dot | dot -Tpng > graph.png\n  towpath graph --env pr-42 --format svg > graph.svg"
)]
pub(crate) struct Graph {
    #[command(flatten)]
    environment: EnvironmentArg,
    /// The Score file whose needs to draw, without deploying it; several are drawn together
    #[arg(long = "file", short, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    edits: Edits,
    /// The format of the drawing; `-o json` and `-o yaml` draw nothing
    #[arg(long, value_enum, default_value = "text")]
    format: Form,
}

/// The form of a drawing.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// A tree
    Text,
    /// Graphviz
    Dot,
    /// A picture
    Svg,
}

impl Graph {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        self.edits.need_a_workload(!self.files.is_empty())?;
        if matches!(self.format, Form::Dot | Form::Svg) && context.global.output != Format::Text {
            return Err(Failure::usage(
                "`--format` draws for people, and `--output` gives the graph to programs: they exclude each other",
            )
            .remedy("leave one of them out"));
        }
        let client = context.client()?;
        let environment = &self.environment.environment;
        let answer = if self.files.is_empty() {
            client.graph(environment).await?
        } else {
            let source = Source::of_files(self.files, self.edits);
            let request = source.request()?;
            let answer = client
                .plan(environment, &request.body)
                .await
                .map_err(|error| request.failure(error))?;
            GraphAnswer {
                graph: answer.graph,
                phases: std::collections::BTreeMap::new(),
            }
        };
        context.answer(&answer, || match self.format {
            Form::Text => render::graph::text(&answer),
            Form::Dot => render::graph::dot(&answer),
            Form::Svg => render::svg::svg(&answer),
        })
    }
}
