//! `towpath trust`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use client::every;
use kernel::Document;
use serde_json::{Value, json};

use crate::{
    cli::{Confirm, TeamArg},
    context::Context,
    failure::{Failure, Result},
    render::table::table,
    retry_on_conflict::{found, retry_on_conflict},
};

/// Define which jobs of a CI system stand for a service account, without a key
///
/// A CI system gives each job a token of its own. A team that trusts such tokens, by their issuer and claims, needs
/// no key there: `towpath login --workload-token-file`.
#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// List what a team trusts
    List {
        #[command(flatten)]
        team: TeamArg,
    },
    Set(Set),
    /// End a trust: its jobs get no more tokens, and those that they have end at once
    Delete {
        /// The trust
        name: String,
        #[command(flatten)]
        team: TeamArg,
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Make a trust, or change what you name
///
/// The claims that you name replace all previous ones. `*` stands for text without `/` and `:`, `**` for any text. At
/// least one claim has to say whose job it is: everybody's jobs have tokens of the same issuer.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath trust set github --team payments --service-account ci --issuer https://token.actions.githubusercontent.com --claim repository=acme/payments --claim 'ref=refs/heads/*'\n  towpath trust set gitlab --team payments --service-account ci --issuer https://gitlab.com --claim project_path=acme/payments"
)]
pub(crate) struct Set {
    /// The trust
    name: String,
    #[command(flatten)]
    team: TeamArg,
    /// The service account of the team that the job stands for
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// Who issues the tokens, exactly as they say
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// What a claim of the token must be. May be given again
    #[arg(long = "claim", value_name = "CLAIM=PATTERN", value_parser = claim)]
    claims: Vec<(String, String)>,
    /// Whom the token must be for [default: the platform's issuer]
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
}

fn claim(text: &str) -> std::result::Result<(String, String), String> {
    let (name, pattern) = text
        .split_once('=')
        .ok_or("write CLAIM=PATTERN, such as repository=acme/payments")?;
    Ok((name.to_owned(), pattern.to_owned()))
}

impl Set {
    async fn run(self, context: &Context) -> Result<()> {
        let (client, team) = (context.client()?, &self.team.team);
        let read = async || found(client.workload_trust(team, &self.name).await);
        let write = async |before: Option<Document>, revision: Option<i64>| -> Result<Document> {
            let mut spec = before.map_or_else(|| json!({}), |trust| trust.spec);
            self.fill(&mut spec)?;
            let written = client.put_workload_trust(team, &self.name, &spec, revision);
            Ok(written.await?)
        };
        let trust = retry_on_conflict(read, write).await?;
        context.answer(&trust, || {
            format!(
                "jobs of {} with {} are {team}/{}",
                text(&trust.spec["issuer"]),
                claims(&trust),
                text(&trust.spec["serviceAccount"])
            )
        })
    }

    /// Writes what is named into `spec`.
    fn fill(&self, spec: &mut Value) -> Result<()> {
        let named = [
            ("issuer", &self.issuer),
            ("serviceAccount", &self.service_account),
            ("audience", &self.audience),
        ];
        for (field, value) in named {
            if let Some(value) = value {
                spec[field] = json!(value);
            }
        }
        if !self.claims.is_empty() {
            let claims: BTreeMap<_, _> = self.claims.iter().cloned().collect();
            spec["claims"] = json!(claims);
        }
        let needed = [
            ("issuer", "--issuer"),
            ("serviceAccount", "--service-account"),
            ("claims", "--claim"),
        ];
        let missing: Vec<_> = needed
            .iter()
            .filter(|(field, _)| spec[*field].is_null())
            .map(|(_, option)| *option)
            .collect();
        if !missing.is_empty() {
            return Err(Failure::usage(format!(
                "a new trust needs {}",
                missing.join(", ")
            )));
        }
        Ok(())
    }
}

impl Trust {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { team } => {
                let (client, team) = (context.client()?, &team.team);
                let all = every(async |page| client.workload_trusts(team, &page).await).await?;
                context.answer(&json!({ "items": all }), || list(&all))
            }
            Self::Set(set) => set.run(context).await,
            Self::Delete {
                name,
                team,
                confirm,
            } => {
                confirm.check(&name, &format!("trust {name} of team {}", team.team))?;
                let client = context.client()?;
                client.delete_workload_trust(&team.team, &name).await?;
                context.answer(&json!({ "deleted": name }), || {
                    format!("trust {name} is gone")
                })
            }
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn claims(trust: &Document) -> String {
    let claims = trust.spec["claims"].as_object().into_iter().flatten();
    let each = claims.map(|(name, pattern)| format!("{name}={}", text(pattern)));
    each.collect::<Vec<_>>().join(" ")
}

fn list(all: &[Document]) -> String {
    let row = |trust: &Document| {
        [
            trust.meta.name.clone(),
            text(&trust.spec["serviceAccount"]).to_owned(),
            text(&trust.spec["issuer"]).to_owned(),
            claims(trust),
            text(&trust.spec["audience"]).to_owned(),
        ]
    };
    let head = ["name", "service account", "issuer", "claims", "audience"];
    table(head, all.iter().map(row).collect(), "There are no trusts.")
}
