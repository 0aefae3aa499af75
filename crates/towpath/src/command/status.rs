//! `towpath status`

use clap::Args;
use client::{Client, WhoAmI, every};
use delivery::api::EnvironmentSummary;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use jiff::Timestamp;

use crate::{
    context::Context,
    failure::{Failure, Result},
    render,
};

/// Show what runs: all environments, or one in full
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath status\n  towpath status --env dev\n  towpath status --env dev -o json"
)]
pub(crate) struct Status {
    /// Only this environment, in full
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
            [] if context.is_text() => nothing(&client).await,
            [only] => render::status::environment(only, now),
            all => render::status::overview(all, now),
        };
        context.answer(&serde_json::json!({ "items": summaries }), || text)
    }
}

/// What is said where there is no environment to show.
pub(super) async fn nothing(client: &Client) -> String {
    match client.whoami().await {
        Ok(who) => nothing_of(&who),
        // Where it does not say who calls, nothing is advised.
        Err(_) => "No environments.".into(),
    }
}

/// The same, with what the caller may make: a name such as `dev` may be somebody else's.
fn nothing_of(who: &WhoAmI) -> String {
    if who.admin {
        return render::status::overview(&[], Timestamp::now());
    }
    match who.teams.first() {
        Some(team) => format!(
            "No environments of yours. `towpath env create {team}-NAME` makes one of team {team}."
        ),
        None => "No environments of yours: you are in no team.".into(),
    }
}

/// Environments that are asked about at once.
const AT_ONCE: usize = 8;

/// What is in every environment, in the order of the list.
pub(super) async fn summaries(client: &Client) -> Result<Vec<EnvironmentSummary>> {
    let environments = every(async |page| client.environments(&page).await).await?;
    let asked = stream::iter(environments).map(async |environment| {
        match client.environment_summary(&environment.meta.name).await {
            Ok(summary) => Ok(Some(summary)),
            // Removed since it was listed.
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Failure::from(error)),
        }
    });
    let answers = asked.buffered(AT_ONCE);
    answers
        .try_filter_map(|summary| future::ready(Ok(summary)))
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_environment_is_told_what_they_may_make() {
        let told = |teams: &[&str], admin: bool| {
            let who = serde_json::json!({
                "subject": "local:ada", "kind": "person", "teams": teams, "admin": admin,
            });
            nothing_of(&serde_json::from_value(who).unwrap())
        };
        assert!(told(&[], true).contains("makes `dev`"));
        let member = told(&["payments"], false);
        assert!(member.contains("env create payments-NAME"), "{member}");
        assert!(!member.contains("`dev`"), "{member}");
        assert!(told(&[], false).contains("in no team"));
    }
}
