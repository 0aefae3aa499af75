//! `towpath session`

use clap::{Args, Subcommand};
use client::{PersonalSession, every};
use serde_json::json;

use crate::{
    context::Context,
    failure::Result,
    render::{quantity::local, table::table},
};

/// See where you are logged in, and end logins
///
/// Operators see and end everybody's.
#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List active logins: yours, or all if you operate the platform
    List {
        /// Whose, as `towpath whoami` names them: local:ada, github:583231
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<String>,
    },
    End(End),
}

/// End a login, or all of somebody's
///
/// A login in a browser ends together with the programs that it let in. From the next call on its tokens are refused;
/// a cluster accepts the last one until it expires. The person may log in again:
/// `towpath user set NAME --disabled true` locks a local user out; lock people of an upstream out there.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true),
    after_long_help = "Examples:\n  towpath session list\n  towpath session end --subject github:583231"
)]
pub(crate) struct End {
    /// The login, as `towpath session list` names it
    #[arg(group = "which")]
    id: Option<String>,
    /// All of this person's logins, including browsers
    #[arg(long, value_name = "SUBJECT", group = "which")]
    subject: Option<String>,
}

impl Session {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List { subject } => {
                let subject = subject.as_deref();
                let all = every(async |page| client.sessions(subject, &page).await).await?;
                context.answer(&json!({ "items": all }), || list(&all))
            }
            Self::End(End {
                subject: Some(subject),
                ..
            }) => {
                let answer = client.end_sessions(&subject).await?;
                context.answer(&answer, || match answer.ended {
                    1 => format!("one login of {subject} has ended"),
                    ended => format!("{ended} logins of {subject} have ended"),
                })?;
                if answer.ended == 0 {
                    context.say(&format!(
                        "note: `{subject}` has no login here: check the subject (`towpath session list`, \
                         `towpath user list`)"
                    ));
                }
                Ok(())
            }
            Self::End(End { id, .. }) => {
                let id = id.unwrap_or_default();
                client.end_session(&id).await?;
                context.answer(&json!({ "ended": 1 }), || format!("login {id} has ended"))
            }
        }
    }
}

fn list(all: &[PersonalSession]) -> String {
    let row = |one: &PersonalSession| {
        [
            one.id.clone(),
            one.subject.clone(),
            one.client.clone(),
            local(one.began),
            local(one.renewed),
            local(one.ends),
        ]
    };
    table(
        ["id", "person", "program", "began", "renewed", "ends"],
        all.iter().map(row).collect(),
        "Nobody is logged in.",
    )
}
