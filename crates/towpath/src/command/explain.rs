//! `towpath explain`

use std::collections::BTreeMap;

use clap::Args;
use delivery::api::ExplainRequest;

use super::env::elsewhere;
use crate::{
    cli::EnvironmentArg,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Say which resource definition meets a need, and why
///
/// Shows the parameters that a Score file may give to that definition, and the outputs that it may read. Ends with
/// code 4 if no definition meets the need, and with 6 if several do equally.
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
        let client = context.client()?;
        let answer = match client.explain(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                return Err(elsewhere(&client, &request.environment, error.into()).await);
            }
        };
        if context.is_text() && answer.candidates.is_empty() {
            return Err(unknown(&answer.text()));
        }
        context.answer(&answer, || answer.text())?;
        match (&answer.chosen, answer.rivals.is_empty()) {
            (Some(_), _) => Ok(()),
            (None, true) => Err(Failure::told(Exit::NotFound)),
            (None, false) => Err(Failure::told(Exit::Conflict)),
        }
    }
}

/// What the last words of an explanation say of a type that nothing provides: what is wrong, and how to mend it.
fn unknown(explanation: &str) -> Failure {
    let said = explanation.trim_end();
    let said = said.rsplit_once("\n\n").map_or(said, |(_, last)| last);
    match said.split_once('\n') {
        Some((message, remedy)) => Failure::new(Exit::NotFound, message).remedy(remedy),
        None => Failure::new(Exit::NotFound, said),
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_is_an_error_with_its_remedy() {
        let explanation = "`postgre`\n  in environment dev (role dev, team pay)\n\nnothing here provides \
                           resources of type `postgre`\ndid you mean `postgres`?\n";
        let failure = unknown(explanation);
        let message = "nothing here provides resources of type `postgre`";
        assert_eq!(failure.message, message);
        assert_eq!(failure.remedy.as_deref(), Some("did you mean `postgres`?"));
        assert_eq!(failure.exit, Exit::NotFound);
    }
}
