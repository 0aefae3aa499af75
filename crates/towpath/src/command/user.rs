//! `towpath user`

use clap::{Args, Subcommand};
use client::every;
use kernel::{Document, Secret};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{
    context::Context,
    failure::{Failure, Result},
    prompt,
    render::table::table,
    retry_on_conflict::{found, retry_on_conflict},
};

/// List, make, change and remove users who log in with a password that the platform keeps
///
/// For laptops and tests, and for the first administrator. An organization's people log in at its own provider: see
/// docs/identity.md.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List the users
    List,
    Set(Set),
    /// Remove a user; every session of theirs ends
    Delete {
        /// The user
        name: String,
    },
}

/// Make a user, or change what you name
///
/// A password is read from standard input, whose last line break does not count; at a terminal you are prompted for
/// it, and it is not shown. A new password ends every session of the user. --email or --disabled alone do not make a
/// user.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath user set ada --password\n  towpath user set ada --email ada@example.com\n  towpath user set ada --disabled true"
)]
pub(crate) struct Set {
    /// The user
    name: String,
    /// Give them a password: without one nobody can log in as this user
    #[arg(long)]
    password: bool,
    /// Their address, for other tools that identify people by it
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Lock them out, or let them in again: their sessions end at once, and none begins
    #[arg(long, value_name = "true|false")]
    disabled: Option<bool>,
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        // Asked for once it is known that the user can be read.
        let typed: OnceCell<Secret> = OnceCell::new();
        let read = async || match client.user(&self.name).await {
            Err(error) if error.is_not_found() => self.may_make(error).map(|()| None),
            answer => found(answer),
        };
        let write = async |before: Option<Document>, revision: Option<i64>| -> Result<Document> {
            let mut spec = before.map_or_else(|| json!({}), |user| user.spec);
            if let Some(email) = &self.email {
                spec["email"] = json!(email);
            }
            if let Some(disabled) = self.disabled {
                spec["disabled"] = json!(disabled);
            }
            let mut password = None;
            if self.password {
                let typed = typed.get_or_try_init(|| self.ask()).await?;
                password = Some(
                    typed
                        .expose_str()
                        .ok_or_else(|| Failure::usage("the password is not text in UTF-8"))?,
                );
            }
            let written = client.put_user(&self.name, &spec, password, revision);
            Ok(written.await?)
        };
        let user = retry_on_conflict(read, write).await?;
        context.answer(&user, || {
            let can = user.status["hasPassword"] == true;
            match (can, user.spec["disabled"] == true) {
                (_, true) => format!("user {} is kept out", self.name),
                (true, false) => format!("user {} can log in", self.name),
                (false, false) => format!(
                    "user {name} has no password: `towpath user set {name} --password`",
                    name = self.name
                ),
            }
        })
    }

    /// Whether one is made who is not there, as `missing` says: a name that is misspelt would make somebody, and
    /// leave whom it meant as they are.
    fn may_make(&self, missing: client::Error) -> Result<()> {
        if self.password || (self.disabled.is_none() && self.email.is_none()) {
            return Ok(());
        }
        Err(Failure::from(missing).remedy(format!(
            "`towpath user list` shows the users; to make a new one, add --password, or make them first: \
             `towpath user set {}`",
            self.name
        )))
    }

    async fn ask(&self) -> Result<Secret> {
        prompt::hidden(&format!("password of {}", self.name)).await
    }
}

impl User {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List => {
                let client = context.client()?;
                let users = every(|query| {
                    let client = &client;
                    async move { client.users(&query).await }
                })
                .await?;
                context.answer(&json!({ "items": users }), || list(&users))
            }
            Self::Set(set) => set.run(context).await,
            Self::Delete { name } => {
                context.client()?.delete_user(&name).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!("user {name} is gone, and every session of theirs")
                })
            }
        }
    }
}

fn list(users: &[Document]) -> String {
    let row = |user: &Document| {
        [
            user.meta.name.clone(),
            user.spec["email"].as_str().unwrap_or_default().to_owned(),
            if user.spec["disabled"] == true {
                "kept out"
            } else if user.status["hasPassword"] == true {
                "can log in"
            } else {
                "has no password"
            }
            .to_owned(),
        ]
    };
    table(
        ["name", "email", "state"],
        users.iter().map(row).collect(),
        "There are no users of the local source.",
    )
}
