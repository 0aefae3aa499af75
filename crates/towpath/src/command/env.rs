//! `towpath env`

use std::time::Duration;

use clap::{Args, Subcommand};
use delivery::api::{Data, NewEnvironment};
use jiff::Timestamp;

use super::{delete::gone, deploy::Wait, explain::pair, get, kind::Kind};
use crate::{
    context::Context,
    failure::Result,
    render::{self, quantity, quantity::parse_duration},
};

/// List, make, look into and remove environments
#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    /// List the environments
    List,
    Create(Create),
    /// Show what is in an environment, what it takes, and who made it
    Describe {
        /// The environment
        name: String,
    },
    /// Remove an environment with everything in it
    ///
    /// What holds data stays unless --with-data is given; the environment then stays too, until its
    /// data is removed.
    Delete {
        /// The environment
        name: String,
        /// Remove databases, buckets, volumes and queues too, with all that is in them
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
    /// Its role [default: dev, or ephemeral with --ttl]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// The team that it belongs to
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// How long it lives: 90m, 8h, 2d. Then everything in it is removed, data too
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// Keep the resource definitions of this environment, as they are there now
    #[arg(long, value_name = "ENV")]
    clone_from: Option<String>,
    /// What runs its workloads: process or docker [default: the platform's]
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// A label, for selection and for criteria of resource definitions
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

impl Env {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => get::show(context, Kind::Environments, None, "").await,
            Self::Create(create) => create.run(context).await,
            Self::Describe { name } => {
                let summary = context.client()?.environment_summary(&name).await?;
                context.answer(&summary, || {
                    render::status::environment(&summary, Timestamp::now())
                })
            }
            Self::Delete {
                name,
                with_data,
                wait,
            } => {
                let client = context.client()?;
                let data = if with_data { Data::Remove } else { Data::Keep };
                client.delete_environment(&name, data, None).await?;
                gone(context, &wait, &format!("environment {name}"), async || {
                    Ok(client.environment(&name).await?.status.remaining)
                })
                .await
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<()> {
        let new = NewEnvironment {
            name: self.name,
            role: self.role,
            team: self.team,
            ttl_seconds: self.ttl.map(|time| time.as_secs()),
            clone_from: self.clone_from,
            engine: self.engine,
            labels: self.labels.into_iter().collect(),
        };
        let environment = context.client()?.create_environment(&new).await?;
        context.answer(&environment.document()?, || {
            let spec = &environment.spec;
            let end = spec.expires.map_or_else(String::new, |time| {
                let (left, when) = (
                    quantity::until(time, Timestamp::now()),
                    quantity::local(time),
                );
                format!("; it ends {left}, at {when}")
            });
            format!(
                "environment {} is there (role {}, engine {}){end}",
                environment.meta.name, spec.role, spec.engine,
            )
        })
    }
}
