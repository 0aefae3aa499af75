//! `towpath group`

use clap::Subcommand;
use client::every;
use kernel::Document;
use serde_json::{Value, json};

use crate::{
    cli::Confirm,
    context::Context,
    failure::{Failure, Result},
    render::table::table,
};

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
    /// Add users to a group, which is made if it does not exist
    ///
    /// One after the other: if one cannot be added, those before it are in the group, which the message says, and
    /// those after it are not added. Run again, the command goes on.
    Add {
        /// The group
        name: String,
        /// The users
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Remove users from a group: what they had through it ends at once
    ///
    /// One after the other: if one cannot be removed, those before it are out of the group, which the message says,
    /// and those after it are still in. Run it again without the names that are out.
    Remove {
        /// The group
        name: String,
        /// The users
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Remove a group
    ///
    /// If it is a team's, --confirm is required, since its people lose their access with it.
    Delete {
        /// The group
        name: String,
        #[command(flatten)]
        confirm: Confirm,
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
            // One by one, so that nobody is lost whom another takes in at this moment.
            Self::Add { name, users } => {
                for (done, user) in users.iter().enumerate() {
                    let added = client.put_group_member(&name, user).await;
                    added.map_err(|error| partly(error, &users[..done], "in the group"))?;
                }
                told(context, &client.group(&name).await?)
            }
            Self::Remove { name, users } => {
                for (done, user) in users.iter().enumerate() {
                    let removed = client.delete_group_member(&name, user).await;
                    removed.map_err(|error| partly(error, &users[..done], "out of the group"))?;
                }
                told(context, &client.group(&name).await?)
            }
            Self::Delete { name, confirm } => {
                // Whose access ends with it the platform says where it is not confirmed.
                client.delete_group(&name, confirm.given()).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!("group {name} is gone")
                })
            }
        }
    }
}

/// A failure that says for whom it is done already.
fn partly(error: client::Error, done: &[String], place: &str) -> Failure {
    let mut failure = Failure::from(error);
    if !done.is_empty() {
        let message = format!("{}; already {place}: {}", failure.message, done.join(", "));
        failure.message = message;
    }
    failure
}

fn told(context: &Context, group: &Document) -> Result<()> {
    context.answer(group, || {
        let name = &group.meta.name;
        match members(group).as_slice() {
            [] => format!("group {name} has no members"),
            some => format!("group {name}: {}", some.join(", ")),
        }
    })
}

fn members(group: &Document) -> Vec<&str> {
    let members = group.spec["members"].as_array().into_iter().flatten();
    members.filter_map(Value::as_str).collect()
}

fn list(groups: &[Document]) -> String {
    let row = |group: &Document| [group.meta.name.clone(), members(group).join(", ")];
    table(
        ["name", "members"],
        groups.iter().map(row).collect(),
        "There are no groups of the local source.",
    )
}
