//! `towpath group`

use std::collections::BTreeSet;

use clap::Subcommand;
use client::every;
use kernel::Document;
use serde_json::{Value, json};

use crate::{context::Context, failure::Result, render::table::table};

/// List, make, change and remove groups of users who log in with a password
///
/// A group of the local source. Its members have the rights of the team that names it: see
/// docs/teams.md.
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath group add managers grace\n  towpath group remove payments ada"
)]
pub(crate) enum Group {
    /// List the groups with their members
    List,
    /// Take users into a group; it is made where it is not there
    Add {
        /// The group
        name: String,
        /// The users
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Take users out of a group: what they had by it ends at once
    Remove {
        /// The group
        name: String,
        /// The users
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Remove a group
    Delete {
        /// The group
        name: String,
    },
}

impl Group {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List => {
                let groups = every(|query| {
                    let client = &client;
                    async move { client.groups(&query).await }
                })
                .await?;
                context.answer(&json!({ "items": groups }), || list(&groups))
            }
            Self::Add { name, users } => {
                let (spec, revision) = match client.group(&name).await {
                    Ok(group) => (group.spec, Some(group.meta.revision)),
                    Err(error) if error.is_not_found() => (json!({}), None),
                    Err(error) => return Err(error.into()),
                };
                let mut members = members(&spec);
                members.extend(users);
                write(context, &name, spec, members, revision).await
            }
            Self::Remove { name, users } => {
                let group = client.group(&name).await?;
                let mut members = members(&group.spec);
                members.retain(|member| !users.contains(member));
                let revision = Some(group.meta.revision);
                write(context, &name, group.spec, members, revision).await
            }
            Self::Delete { name } => {
                client.delete_group(&name).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!("group {name} is gone")
                })
            }
        }
    }
}

/// Writes a group that is still as it was read.
async fn write(
    context: &Context,
    name: &str,
    mut spec: Value,
    members: BTreeSet<String>,
    revision: Option<i64>,
) -> Result<()> {
    spec["members"] = json!(members);
    let client = context.client()?;
    let group = client.put_group(name, &spec, revision).await?;
    context.answer(&group, || {
        let members: Vec<_> = members.iter().map(String::as_str).collect();
        match members.as_slice() {
            [] => format!("group {name} has no members"),
            some => format!("group {name}: {}", some.join(", ")),
        }
    })
}

fn members(spec: &Value) -> BTreeSet<String> {
    let members = spec["members"].as_array().into_iter().flatten();
    members
        .filter_map(|member| member.as_str().map(str::to_owned))
        .collect()
}

fn list(groups: &[Document]) -> String {
    let row = |group: &Document| {
        let members: Vec<_> = members(&group.spec).into_iter().collect();
        [group.meta.name.clone(), members.join(", ")]
    };
    table(
        ["name", "members"],
        groups.iter().map(row).collect(),
        "There are no groups of the local source.",
    )
}
