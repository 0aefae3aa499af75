//! `towpath identity`

mod admin_binding;
mod authentication;
mod keys;

use clap::Subcommand;
use client::{Departure, PersonalCredential, PersonalSession};
use serde_json::Value;

use crate::{
    context::{Context, Format},
    failure::Result,
    render::{document, quantity, table::table},
};

/// Manage the identity provider: its keys, who trusts it, and which automation depends on a person
#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// List automation that calls with a person's login, or what depends on one person
    ///
    /// Automation that runs on somebody's login ends when they leave; automation that calls other tools with a
    /// credential of theirs may end too, as far as `towpath tool list` knows about it. With a subject, lists their
    /// logins and such credentials; valid keys and secrets that they have seen, which should be rotated; and what
    /// they made, which goes on, webhooks included. For operators.
    #[command(
        after_long_help = "Examples:\n  towpath identity automation\n  towpath identity automation local:ada"
    )]
    Automation {
        /// The person, as `towpath whoami` names them: local:ada, github:583231
        subject: Option<String>,
    },
    /// See the keys that sign tokens, and rotate them
    #[command(subcommand)]
    Keys(keys::Keys),
    AuthenticationConfiguration(authentication::AuthenticationConfiguration),
    AdminBinding(admin_binding::AdminBinding),
}

impl Identity {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let subject = match self {
            Self::Keys(keys) => return keys.run(context).await,
            Self::AuthenticationConfiguration(wanted) => return wanted.run(context).await,
            Self::AdminBinding(wanted) => return wanted.run(context),
            Self::Automation { subject } => subject,
        };
        let client = context.client()?;
        let Some(subject) = subject else {
            let report = client.automation().await?;
            return context.answer(&report, || {
                let nothing = "No automation is known to call with a person's login.";
                format!(
                    "{}\n\nAutomation reaches tools with a person's credential:\n{}\n\n{}",
                    sessions(&report.items, nothing),
                    credentials(&report.tools),
                    unknown(&report.unknown)
                )
            });
        };
        let departure = client.departure(&subject).await?;
        context.answer(&departure, || text(&departure))
    }
}

/// Prints a document that another program reads: as YAML, where JSON is not wanted.
fn print(context: &Context, written: &Value) -> Result<()> {
    match context.global.output {
        Format::Json => context.answer(written, String::new),
        Format::Text | Format::Yaml => {
            context.print(document::text(Format::Yaml, written).trim_end())
        }
    }
}

fn text(departure: &Departure) -> String {
    format!(
        "Ends with {}:\n{}\n\n{}",
        departure.subject,
        sessions(&departure.ends, "No login."),
        left_behind(departure)
    )
}

/// What goes on when somebody leaves.
pub(crate) fn left_behind(departure: &Departure) -> String {
    let keys = departure
        .seen
        .iter()
        .map(|key| {
            [
                key.account.clone(),
                key.key.clone(),
                quantity::local(key.drawn),
            ]
        })
        .collect();
    let told = departure
        .told
        .iter()
        .map(|one| {
            [
                one.kind.clone(),
                match one.scope.as_str() {
                    "" => one.name.clone(),
                    scope => format!("{scope}/{}", one.name),
                },
                quantity::local(one.at),
            ]
        })
        .collect();
    let made = departure
        .stays
        .iter()
        .map(|made| {
            [
                made.kind.clone(),
                made.name.clone(),
                made.team.clone(),
                quantity::local(made.at),
            ]
        })
        .collect();
    let webhooks = departure
        .webhooks
        .iter()
        .map(|one| {
            let team = if one.team.is_empty() {
                "(the platform)"
            } else {
                one.team.as_str()
            };
            [
                one.name.clone(),
                team.to_owned(),
                one.url.clone(),
                quantity::local(one.at),
            ]
        })
        .collect();
    format!(
        "May end with them at other tools (register a service account there):\n{}\n\n\
         Goes on, and they have seen it (rotate twice):\n{}\n\nGoes on, and they \
         were told its value or wrote it (rotate):\n{}\n\nGoes on, as their team's:\n{}\n\n\
         Goes on sending events, by a secret that they have seen (remove it, or draw another secret):\n{}\n\n{}",
        credentials(&departure.tools),
        table(["account", "key", "drawn"], keys, "No key."),
        table(["kind", "name", "told"], told, "No secret."),
        table(["kind", "name", "team", "made"], made, "Nothing."),
        table(["webhook", "team", "to", "made"], webhooks, "No webhook."),
        unknown(&departure.unknown),
    )
}

fn credentials(all: &[PersonalCredential]) -> String {
    let row = |one: &PersonalCredential| {
        [
            one.tool.clone(),
            one.credential.clone(),
            one.person.clone(),
            one.team.clone(),
        ]
    };
    let head = ["tool", "credential", "person", "team"];
    table(head, all.iter().map(row).collect(), "No credential.")
}

fn sessions(sessions: &[PersonalSession], nothing: &str) -> String {
    let rows = sessions
        .iter()
        .map(|session| {
            [
                session.subject.clone(),
                session.client.clone(),
                quantity::local(session.began),
                quantity::local(session.ends),
                session.automation.map(quantity::local).unwrap_or_default(),
            ]
        })
        .collect();
    table(
        ["person", "program", "began", "ends", "automation"],
        rows,
        nothing,
    )
}

fn unknown(unknown: &[String]) -> String {
    let lines: Vec<_> = unknown.iter().map(|line| format!("  - {line}")).collect();
    format!("Not known:\n{}", lines.join("\n"))
}
