//! `towpath status`

use clap::Args;
use client::{Client, every};
use delivery::api::EnvironmentSummary;
use jiff::Timestamp;

use crate::{context::Context, failure::Result, render};

/// Show what runs: all environments, or one whole
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath status\n  towpath status --env dev\n  towpath status --env dev -o json"
)]
pub(crate) struct Status {
    /// Only this environment, whole
    #[arg(long = "env", short = 'e', value_name = "NAME")]
    environment: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let now = Timestamp::now();
        if let Some(name) = &self.environment {
            let summary = client.environment_summary(name).await?;
            return context.answer(&summary, || render::status::environment(&summary, now));
        }
        let summaries = summaries(&client).await?;
        let text = match &summaries[..] {
            [only] => render::status::environment(only, now),
            all => render::status::overview(all, now),
        };
        context.answer(&serde_json::json!({ "items": summaries }), || text)
    }
}

/// What is in every environment.
pub(super) async fn summaries(client: &Client) -> Result<Vec<EnvironmentSummary>> {
    let mut summaries = Vec::new();
    for environment in every(async |page| client.environments(&page).await).await? {
        match client.environment_summary(&environment.meta.name).await {
            Ok(summary) => summaries.push(summary),
            // Removed since it was listed.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(summaries)
}
