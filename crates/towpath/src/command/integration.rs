//! `towpath integration`

mod change;

use clap::Subcommand;
use client::every;
use kernel::Resource;
use serde_json::json;
use teams::model::{self, IntegrationState, IntegrationStatus, Step};

use crate::{
    cli::Confirm,
    context::Context,
    failure::Result,
    render::{quantity, table},
};

/// Keep other tools in step with teams: set up integrations, and see how far they are
///
/// Only operators make, change and remove them.
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath integration set github -f github.yaml --credential-file token\n  towpath integration list\n  towpath integration list --team payments\n  towpath integration show github\n  towpath integration adopt github payments"
)]
pub(crate) enum Integration {
    /// List the integrations; for a team, how far they are with it
    List {
        /// The team
        #[arg(
            long,
            env = "TOWPATH_TEAM",
            hide_env_values = true,
            value_name = "NAME"
        )]
        team: Option<String>,
    },
    /// Show one, and how far it is with each team
    Show {
        /// The integration
        name: String,
    },
    Set(change::Set),
    /// Keep a disabled tool in step again
    Enable {
        /// The integration
        name: String,
    },
    /// Leave a tool as it is: nothing changes there until it is enabled again
    Disable {
        /// The integration
        name: String,
    },
    /// Take over what a tool already has for these teams, with everything in it
    ///
    /// What was not made from here is left alone until you run this.
    Adopt {
        /// The integration
        name: String,
        /// The teams
        #[arg(required = true, value_name = "TEAM")]
        teams: Vec<String>,
    },
    /// Remove an integration: the tool stays as it is, and is no longer kept in step
    Delete {
        /// The integration
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

impl Integration {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List { team: Some(team) } => {
                let all = every(async |page| client.team_integrations(&team, &page).await).await?;
                let documents = all.iter().map(Resource::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || {
                    states(&all, |one| &one.meta.name, "integration")
                })
            }
            Self::List { team: None } => {
                let all = every(async |page| client.integrations(&page).await).await?;
                let documents = all.iter().map(Resource::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || list(&all))
            }
            Self::Show { name } => {
                let found = client.integration(&name).await?;
                let all = every(async |page| client.integration_teams(&name, &page).await).await?;
                context.answer(&found.document()?, || {
                    let teams = states(&all, |one| &one.meta.scope, "team");
                    format!("{}\n{teams}", list(std::slice::from_ref(&found)))
                })
            }
            Self::Set(set) => set.run(context).await,
            Self::Enable { name } => change::enable(context, &name, true).await,
            Self::Disable { name } => change::enable(context, &name, false).await,
            Self::Adopt { name, teams } => change::adopt(context, &name, &teams).await,
            Self::Delete { name, confirm } => change::delete(context, &name, &confirm).await,
        }
    }
}

fn list(all: &[Resource<model::Integration>]) -> String {
    let row = |one: &Resource<model::Integration>| {
        let teams = &one.spec.teams.names;
        let enabled = if one.spec.enabled { "yes" } else { "no" };
        [
            one.meta.name.clone(),
            one.spec.tool.clone(),
            enabled.into(),
            if teams.is_empty() {
                "all".into()
            } else {
                teams.join(" ")
            },
            one.spec.description.clone(),
        ]
    };
    let head = ["name", "type", "enabled", "teams", "description"];
    let nothing = "There are no integrations.";
    table::table(head, all.iter().map(row).collect(), nothing)
}

/// What is wrong, and what is kept there against the rules.
fn why(status: &IntegrationStatus) -> String {
    let message = Some(&status.message).filter(|message| !message.is_empty());
    let all: Vec<&str> = message
        .into_iter()
        .chain(&status.violations)
        .map(String::as_str)
        .collect();
    all.join("; ")
}

fn states(
    all: &[Resource<IntegrationState>],
    called: impl Fn(&Resource<IntegrationState>) -> &String,
    column: &str,
) -> String {
    let row = |one: &Resource<IntegrationState>| {
        let step = match one.status.step {
            Step::New => "new",
            Step::InStep => "in step",
            Step::OutOfStep => "out of step",
            Step::Unknown => "unknown",
            Step::Resting => "resting",
        };
        let looked = one.status.looked.map(quantity::local);
        [
            called(one).clone(),
            step.into(),
            one.status.drifts.to_string(),
            looked.unwrap_or_default(),
            why(&one.status),
        ]
    };
    let head = [column, "state", "drifts", "looked", "why"];
    let nothing = "No tool is kept in step.";
    table::table(head, all.iter().map(row).collect(), nothing)
}
