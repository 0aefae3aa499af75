//! `towpath explain`

use std::collections::BTreeMap;

use clap::Args;
use delivery::api::ExplainRequest;

use crate::{
    cli::EnvironmentArg,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Say which resource definition meets a need, and why
///
/// Ends with code 4 where none does, and with 6 where several do equally.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath explain postgres\n  towpath explain postgres --env prod --workload notes --class large"
)]
pub(crate) struct Explain {
    /// The resource type: postgres, s3, route ...
    #[arg(value_name = "TYPE")]
    resource_type: String,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// The workload that asks
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// The resource's class [default: default]
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// The resource's id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// An annotation of the resource
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

impl Explain {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let request = ExplainRequest {
            environment: self.environment.environment,
            resource_type: self.resource_type,
            workload: self.workload,
            class: self.class,
            id: self.id,
            labels: self.labels.into_iter().collect::<BTreeMap<_, _>>(),
        };
        let answer = context.client()?.explain(&request).await?;
        context.answer(&answer, || answer.text())?;
        match (&answer.chosen, answer.rivals.is_empty()) {
            (Some(_), _) => Ok(()),
            (None, true) => Err(Failure::told(Exit::NotFound)),
            (None, false) => Err(Failure::told(Exit::Conflict)),
        }
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}
