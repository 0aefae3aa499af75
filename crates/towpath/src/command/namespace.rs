//! `towpath namespace`

use clap::Subcommand;
use client::every;
use kernel::Resource;
use teams::{
    api::{NamespaceFields, NewNamespace},
    model::{AmountsFields, Cpu, Memory, QuotaFields},
};

use super::{delete::gone, deploy::Wait};
use crate::{
    cli::{Confirm, TeamArg},
    context::Context,
    failure::Result,
    render,
};

/// List, show, make and remove a team's namespaces, and change their quotas
#[derive(Debug, Subcommand)]
pub(crate) enum Namespace {
    /// List a team's namespaces, and how much of each quota is requested
    List {
        #[command(flatten)]
        team: TeamArg,
    },
    /// Show a namespace: how much of its quota is requested, what counts for containers that do not say what they need,
    /// and who may reach it
    Show {
        /// The namespace
        name: String,
        #[command(flatten)]
        team: TeamArg,
    },
    /// Make a namespace beside the standard ones, within the team's allowance
    Create {
        /// Its name: TEAM-SUFFIX
        name: String,
        #[command(flatten)]
        team: TeamArg,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// The role of its environment [default: dev]
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
    },
    /// Change a namespace's quota, up to the team's allowance; what is not given stays
    Quota {
        /// The namespace
        name: String,
        #[command(flatten)]
        team: TeamArg,
        /// Cores that may be reserved
        #[arg(long, value_name = "CPU", value_parser = cpu)]
        cpu: Option<Cpu>,
        /// Memory that may be reserved
        #[arg(long, value_name = "MEMORY", value_parser = memory)]
        memory: Option<Memory>,
        /// Cores that may be used
        #[arg(long, value_name = "CPU", value_parser = cpu)]
        cpu_limit: Option<Cpu>,
        /// Memory that may be used
        #[arg(long, value_name = "MEMORY", value_parser = memory)]
        memory_limit: Option<Memory>,
    },
    /// Remove a namespace with everything in it, including data
    Delete {
        /// The namespace
        name: String,
        #[command(flatten)]
        team: TeamArg,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        wait: Wait,
    },
}

fn cpu(text: &str) -> std::result::Result<Cpu, String> {
    Cpu::parse(text).ok_or_else(|| "write cores, such as 2 or 500m".to_owned())
}

fn memory(text: &str) -> std::result::Result<Memory, String> {
    Memory::parse(text).ok_or_else(|| "write an amount, such as 2Gi or 512Mi".to_owned())
}

impl Namespace {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List { team } => {
                let list = async |page| client.namespaces(&team.team, &page).await;
                let all = every(list).await?;
                let documents: kernel::Result<Vec<_>> =
                    all.iter().map(Resource::document).collect();
                context.answer(&serde_json::json!({ "items": documents? }), || {
                    render::teams::namespaces(&all)
                })
            }
            Self::Show { name, team } => {
                let found = client.namespace(&team.team, &name).await?;
                context.answer(&found.document()?, || render::teams::namespace(&found))
            }
            Self::Create {
                name,
                team,
                description,
                role,
            } => {
                let fields = NamespaceFields {
                    role,
                    description,
                    ..NamespaceFields::default()
                };
                let new = NewNamespace { name, fields };
                let made = client.create_namespace(&team.team, &new).await?;
                context.answer(&made.document()?, || {
                    format!("namespace {} is being made", new.name)
                })
            }
            Self::Quota {
                name,
                team,
                cpu,
                memory,
                cpu_limit,
                memory_limit,
            } => {
                let quota = QuotaFields {
                    requests: AmountsFields { cpu, memory },
                    limits: AmountsFields {
                        cpu: cpu_limit,
                        memory: memory_limit,
                    },
                };
                let fields = NamespaceFields {
                    quota: Some(quota),
                    ..NamespaceFields::default()
                };
                let changed = client.change_namespace(&team.team, &name, &fields).await?;
                context.answer(&changed.document()?, || {
                    render::teams::namespaces(std::slice::from_ref(&changed))
                })
            }
            Self::Delete {
                name,
                team,
                confirm,
                wait,
            } => {
                // What is lost by it the platform says where it is not confirmed.
                let confirmed = confirm.given();
                client
                    .delete_namespace(&team.team, &name, confirmed)
                    .await?;
                gone(context, &wait, &format!("namespace {name}"), async || {
                    let left = client.namespace(&team.team, &name).await?;
                    Ok(Some(vec![left.status.message]))
                })
                .await
            }
        }
    }
}
