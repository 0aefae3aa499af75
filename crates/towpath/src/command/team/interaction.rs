//! `towpath team interaction`

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use kernel::Resource;
use serde_json::json;
use teams::{
    api::TeamFields,
    model::{self, InteractionMode, Team},
};

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    render::{self, quantity::parse_duration},
    retry_on_conflict::retry_on_conflict,
};

/// See how a team works with others, begin it, and end it
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath team interaction add payments --with search --mode x-as-a-service --purpose 'full text'\n  towpath team interaction add payments --with enablers --mode facilitating --skill 'load tests' --for 60d\n  towpath team interaction list payments\n  towpath team interaction end payments --with search"
)]
pub(crate) enum Interaction {
    /// List how a team works with others
    List {
        /// The team
        team: String,
    },
    Add(Add),
    /// End how a team works with another
    End {
        /// The team
        team: String,
        /// The other team
        #[arg(long, value_name = "TEAM")]
        with: String,
        /// Only the interaction of this mode [default: all with that team]
        #[arg(long, value_name = "MODE", value_parser = mode)]
        mode: Option<InteractionMode>,
    },
}

/// Declare that a team works with another; an interaction of the same mode is replaced
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The team
    team: String,
    /// The other team
    #[arg(long, value_name = "TEAM")]
    with: String,
    /// How: collaboration, x-as-a-service or facilitating
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: InteractionMode,
    /// What for
    #[arg(long, value_name = "TEXT", default_value = "")]
    purpose: String,
    /// What the other team can do itself when it is over: required if it is facilitating, which also needs an end
    #[arg(long, value_name = "TEXT", default_value = "")]
    skill: String,
    /// How long: 30d, 12h [default: until somebody ends it]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    lasts: Option<Duration>,
}

fn mode(text: &str) -> std::result::Result<InteractionMode, String> {
    serde_json::from_value(text.into())
        .map_err(|_| "use collaboration, x-as-a-service or facilitating".to_owned())
}

impl Interaction {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { team } => told(context, &context.client()?.team(&team).await?),
            Self::Add(add) => add.run(context).await,
            Self::End { team, with, mode } => {
                let changed = change(context, &team, |all| {
                    let before = all.len();
                    let ends = |one: &model::Interaction| {
                        one.with == with && mode.is_none_or(|mode| one.mode == mode)
                    };
                    all.retain(|one| !ends(one));
                    if all.len() < before {
                        return Ok(());
                    }
                    let way = mode.map_or("", |_| " in that way");
                    let what = format!("team {team} is not declared to work with team {with}{way}");
                    Err(Failure::new(Exit::NotFound, what).remedy(format!(
                        "see what there is: `towpath team interaction list {team}`"
                    )))
                })
                .await?;
                told(context, &changed)
            }
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<()> {
        let ends = |lasts: Duration| {
            Timestamp::now()
                .checked_add(lasts)
                .map_err(|_| Failure::usage("that is longer than time is counted"))
        };
        let new = model::Interaction {
            with: self.with,
            mode: self.mode,
            purpose: self.purpose,
            skill: self.skill,
            expires: self.lasts.map(ends).transpose()?,
        };
        let changed = change(context, &self.team, |all| {
            all.retain(|one| (&one.with, one.mode) != (&new.with, new.mode));
            all.push(new.clone());
            Ok(())
        })
        .await?;
        told(context, &changed)
    }
}

/// Writes how a team works with others anew, with what others change meanwhile.
async fn change(
    context: &Context,
    team: &str,
    with: impl Fn(&mut Vec<model::Interaction>) -> Result<()>,
) -> Result<Resource<Team>> {
    let client = context.client()?;
    let read = async || -> Result<Resource<Team>> { Ok(client.team(team).await?) };
    let write = async |held: Resource<Team>, revision: Option<i64>| -> Result<Resource<Team>> {
        let mut all = held.spec.interactions;
        with(&mut all)?;
        let fields = TeamFields {
            interactions: Some(all),
            ..TeamFields::default()
        };
        Ok(client.change_team(team, &fields, revision).await?)
    };
    retry_on_conflict(read, write).await
}

fn told(context: &Context, team: &Resource<Team>) -> Result<()> {
    let all = &team.spec.interactions;
    context.answer(&json!({ "items": all }), || {
        let nothing = "It is not declared to work with any other team.";
        render::teams::interactions(all, nothing, Timestamp::now())
    })
}
