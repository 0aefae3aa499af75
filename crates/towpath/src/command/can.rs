//! `towpath can`

use clap::Args;
use client::every;
use delivery::model::EnvironmentRole;
use kernel::{
    Name, Resource,
    http::{AccessPlace, AccessQuestion, AccessReview},
};

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Ask whether you may do something
///
/// Answers `yes`, or `no` with exit code 5, by the rules as they are at this moment. Nothing is done, and only the
/// environment is looked up: the answer does not say whether the resource exists. The actions are in
/// docs/authorization.md.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath can team.create Team\n  towpath can secret.write TeamSecret/stripe/api-key --team payments\n  towpath can deployment.create Deployment --env payments-prod && towpath deploy score.yaml --env payments-prod"
)]
pub(crate) struct Can {
    /// The action: secret.write, deployment.create ...
    action: String,
    /// What you would do it with: a kind, and optionally a name
    #[arg(value_name = "KIND[/NAME]")]
    target: String,
    /// The team that it belongs to [default: that of the environment, else the platform]
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "TEAM"
    )]
    team: Option<String>,
    /// The environment that it is in
    #[arg(long = "env", short = 'e', value_name = "NAME")]
    environment: Option<Name>,
}

impl Can {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let (kind, name) = self.target.split_once('/').unwrap_or((&self.target, ""));
        let mut question = AccessQuestion {
            action: self.action,
            kind: kind.into(),
            name: name.into(),
            scope: self.team.clone().unwrap_or_default(),
            team: self.team.unwrap_or_default(),
            environment: None,
        };
        if let Some(name) = &self.environment {
            let environment = client.environment(name.as_str()).await?;
            let roles = every(async |page| client.environment_roles(&page).await).await?;
            let role = environment.spec.role.clone();
            let is_protected = |one: &Resource<EnvironmentRole>| {
                one.meta.name.as_str() == role && one.spec.protected
            };
            let protected = roles.iter().any(is_protected);
            if question.team.is_empty() {
                question.team.clone_from(&environment.spec.team);
            }
            question.scope = name.to_string();
            question.environment = Some(AccessPlace {
                name: name.to_string(),
                role,
                protected,
            });
        }
        let review = AccessReview {
            questions: vec![question],
        };
        let answers = client.access_review(&review).await?.answers;
        let answer = answers.first().copied().unwrap_or_default();
        context.answer(&answer, || if answer.allowed { "yes" } else { "no" }.into())?;
        if answer.allowed {
            Ok(())
        } else {
            Err(Failure::told(Exit::Refused))
        }
    }
}
