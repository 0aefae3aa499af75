//! `towpath env`

use std::time::Duration;

use clap::{Args, Subcommand};
use client::{Client, every};
use delivery::{
    api::{Data, End, EnvironmentChange, NewEnvironment},
    model::default_team,
};
use jiff::Timestamp;

use super::{
    delete::{gone, remaining},
    deploy::Wait,
    explain::pair,
    status,
};
use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    render::{self, quantity, quantity::parse_duration},
};

/// List, make, show, change and remove environments
#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    /// List the environments: what is in each, what it requests, who made it, when it ends
    List,
    Create(Create),
    /// Show what is in an environment, what it uses, and who made it
    Describe {
        /// The environment
        name: String,
    },
    Extend(Extend),
    /// Have a clone follow the newest resource definitions again
    ///
    /// A clone keeps the definitions that its source had. From its next deployment on, these types use the newest
    /// ones; what runs stays as it is until then.
    Unpin {
        /// The environment
        name: String,
        /// Only for these resource types [default: all]
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
    },
    /// Remove an environment with everything in it
    ///
    /// Refused if it holds data, unless --with-data is given, even if it would end by itself later.
    Delete {
        /// The environment
        name: String,
        /// Remove databases, buckets, volumes and queues as well, with everything in them
        #[arg(long)]
        with_data: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Make an environment
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath env create qa --role qa\n  towpath env create pr-42 --role ephemeral --ttl 8h\n  towpath env create hotfix --clone-from prod"
)]
pub(crate) struct Create {
    /// Its name
    name: String,
    /// Its role [default: that of --clone-from, else ephemeral with --ttl, else the role of the same name, else dev]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The team that it belongs to
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "TEAM"
    )]
    team: Option<String>,
    /// How long it lives: 90m, 8h, 2d. Then everything in it is removed, including data
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Use the resource definitions of this environment, pinned as they are there now
    #[arg(long, value_name = "ENV")]
    clone_from: Option<String>,
    /// What runs its workloads: process or docker [default: the platform's]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// A label, for selection and for criteria of resource definitions
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

/// Change when an environment ends
///
/// The end may move earlier or later. At its end everything in it is removed, including data.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath env extend pr-42 --ttl 8h\n  towpath env extend pr-42 --forever"
)]
pub(crate) struct Extend {
    /// The environment
    name: String,
    /// How long it lives from now: 90m, 8h, 2d
    #[arg(long, value_name = "TIME", value_parser = parse_duration, required_unless_present = "forever")]
    ttl: Option<Duration>,
    /// Do not end it automatically
    #[arg(long, conflicts_with = "ttl")]
    forever: bool,
}

impl Extend {
    async fn run(self, context: &Context) -> Result<()> {
        let end = self
            .ttl
            .map_or(End::Never, |time| End::InSeconds(time.as_secs()));
        let change = EnvironmentChange {
            end: Some(end),
            ..EnvironmentChange::default()
        };
        let client = context.client()?;
        let environment = client.change_environment(&self.name, &change, None).await?;
        context.answer(&environment.document()?, || {
            let name = &environment.meta.name;
            match environment.spec.expires {
                Some(time) => format!("environment {name} ends {}", moment(time)),
                None => format!("environment {name} does not end by itself"),
            }
        })
    }
}

/// How far off a moment is, and when.
fn moment(time: Timestamp) -> String {
    let left = quantity::until(time, Timestamp::now());
    format!("{left}, at {}", quantity::local(time))
}

impl Env {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => {
                let client = context.client()?;
                let summaries = status::summaries(&client).await?;
                let text = match &summaries[..] {
                    [] if context.is_text() => status::nothing(&client).await,
                    all => render::status::overview(all, Timestamp::now()),
                };
                context.answer(&serde_json::json!({ "items": summaries }), || text)
            }
            Self::Create(create) => create.run(context).await,
            Self::Describe { name } => {
                let summary = context.client()?.environment_summary(&name).await?;
                context.answer(&summary, || {
                    render::status::environment(&summary, Timestamp::now())
                })
            }
            Self::Extend(extend) => extend.run(context).await,
            Self::Unpin { name, types } => {
                let environment = context.client()?.unpin(&name, &types).await?;
                context.answer(&environment.document()?, || {
                    let which = if types.is_empty() {
                        "every resource type".to_owned()
                    } else {
                        types.join(", ")
                    };
                    format!(
                        "environment {name} follows the newest definitions of {which} from its next deployment on"
                    )
                })
            }
            Self::Delete {
                name,
                with_data,
                wait,
            } => {
                let client = context.client()?;
                let data = if with_data { Data::Remove } else { Data::Keep };
                let environment = client.environment(&name).await?;
                client.delete_environment(&name, data, None).await?;
                gone(context, &wait, &format!("environment {name}"), async || {
                    remaining(&client, &environment).await
                })
                .await
            }
        }
    }
}

/// `failure`, with the environments that there are where something is not in `environment`: whoever names none may
/// have it in another.
pub(super) async fn elsewhere(client: &Client, environment: &str, mut failure: Failure) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    // Where they cannot be listed, the failure says enough.
    if let Ok(all) = every(async |page| client.environments(&page).await).await {
        let names: Vec<_> = all.iter().map(|one| one.meta.name.as_str()).collect();
        if let Some(remedy) = choice(environment, &names, &failure) {
            failure.remedy = Some(remedy);
        }
    }
    failure
}

/// How one of the environments `names` is chosen in place of `environment`.
fn choice(environment: &str, names: &[&str], failure: &Failure) -> Option<String> {
    /// So many are named.
    const MOST: usize = 8;
    let others = names.iter().filter(|name| **name != environment);
    let mut told: Vec<_> = others.map(|name| format!("`{name}`")).collect();
    if told.is_empty() {
        return None;
    }
    if told.len() > MOST {
        told.truncate(MOST);
        told.push("more, which `towpath env list` shows".into());
    }
    let told = told.join(", ");
    if !names.contains(&environment) {
        return Some(format!("name one with --env, or in TOWPATH_ENV: {told}"));
    }
    if !failure.message.starts_with("workload ") {
        return None;
    }
    let before = failure.remedy.as_deref().unwrap_or_default();
    Some(format!(
        "{before}; other environments are named with --env, or in TOWPATH_ENV: {told}"
    ))
}

impl Create {
    async fn run(self, context: &Context) -> Result<()> {
        let team = self.team.clone();
        let new = NewEnvironment {
            name: self.name,
            role: self.role,
            team: self.team,
            ttl_seconds: self.ttl.map(|time| time.as_secs()),
            clone_from: self.clone_from,
            engine: self.engine,
            labels: self.labels.into_iter().collect(),
        };
        let client = context.client()?;
        let environment = client.create_environment(&new).await?;
        context.answer(&environment.document()?, || {
            let spec = &environment.spec;
            let end = spec
                .expires
                .map_or_else(String::new, |time| format!("; it ends {}", moment(time)));
            format!(
                "environment {} is made (role {}, engine {}){end}",
                environment.meta.name, spec.role, spec.engine,
            )
        })?;
        if let Some(team) = team {
            note_unknown(context, &client, &team, &environment.meta.name).await;
        }
        Ok(())
    }
}

/// A team that is misspelt looks like one that nobody is in: operators may name any.
async fn note_unknown(context: &Context, client: &Client, team: &str, environment: &str) {
    // Where it cannot be asked, the environment is made all the same.
    let unknown = match client.team(team).await {
        Ok(found) => !found.spec.is_registered(),
        Err(error) => error.is_not_found() && team != default_team(),
    };
    if unknown {
        context.say(&format!(
            "note: no team `{team}` is onboarded: until one is (`towpath team onboard {team}`), only those who \
             operate the platform may use environment {environment}; `towpath team list` shows the teams"
        ));
    }
}
