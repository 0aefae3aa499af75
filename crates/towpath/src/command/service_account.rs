//! `towpath service-account`

mod key;

use clap::{Args, Subcommand, ValueEnum};
use client::every;
use jiff::Timestamp;
use kernel::Document;
use serde_json::{Value, json};

use self::key::Key;
use crate::{
    cli::{Confirm, TeamArg},
    context::Context,
    failure::Result,
    render::{quantity, table},
    retry_on_conflict::{found, retry_on_conflict},
};

/// Make, list and end a team's own identities for pipelines, programs and agents, and their keys
///
/// A service account belongs to the team, not to a person: it goes on when somebody leaves. It logs in with a key
/// (`towpath service-account key create`), or without one if the team trusts its CI system (`towpath trust set`).
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath service-account create ci --team payments\n  towpath service-account key create ci --team payments --out ci.key\n  towpath login --server https://towpath.example.com --service-account payments/ci --key-file ci.key"
)]
pub(crate) enum ServiceAccount {
    /// List a team's service accounts
    List {
        #[command(flatten)]
        team: TeamArg,
    },
    Create(Create),
    /// Show one with its keys' names, and no key
    Show(One),
    /// Lock one out: its tokens stop working at once, and no key gives another
    Disable(One),
    /// Let one in again: the keys that it had work again
    Enable(One),
    /// Remove one: its keys and its tokens end at once
    Delete {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        confirm: Confirm,
    },
    #[command(subcommand)]
    Key(Key),
}

/// One service account.
#[derive(Debug, Clone, Args)]
pub(crate) struct One {
    /// The service account
    pub(super) name: String,
    #[command(flatten)]
    pub(super) team: TeamArg,
}

impl One {
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.team.team, self.name)
    }
}

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A pipeline, or any other program of the team
    Service,
    /// Deploys to one environment, and may do nothing else
    Deploy,
    /// Acts on its own judgement
    Agent,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Deploy => "deploy",
            Self::Agent => "agent",
        }
    }
}

/// Make a service account, or change what you name
///
/// Its kind cannot change later. Members of the team and operators may do this; credentials cannot make other
/// credentials.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath service-account create ci --team payments --description 'Builds and deploys'\n  towpath service-account create deploy-prod --team payments --env payments-prod"
)]
pub(crate) struct Create {
    #[command(flatten)]
    one: One,
    /// What it is for [default: service; deploy if an environment is named]
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// The one environment that it deploys to
    #[arg(long = "env", short = 'e', value_name = "NAME")]
    environment: Option<String>,
    /// A description, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

impl Create {
    async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let One { name, team } = &self.one;
        let implied = self.environment.as_ref().map(|_| Kind::Deploy);
        let kind = self.kind.or(implied);
        let read = async || found(client.service_account(&team.team, name).await);
        let write = async |before: Option<Document>, revision: Option<i64>| -> Result<Document> {
            let mut spec = before.map_or_else(|| json!({}), |account| account.spec);
            if let Some(kind) = kind {
                spec["kind"] = json!(kind.word());
            }
            if let Some(environment) = &self.environment {
                spec["environment"] = json!(environment);
            }
            if let Some(description) = &self.description {
                spec["description"] = json!(description);
            }
            let written = client.put_service_account(&team.team, name, &spec, revision);
            Ok(written.await?)
        };
        let account = retry_on_conflict(read, write).await?;
        context.answer(&account, || {
            let id = self.one.id();
            if keys(&account).is_empty() {
                format!(
                    "service account {id} has no key yet: `towpath service-account key create {name} \
                     --team {}`",
                    team.team
                )
            } else {
                format!("service account {id} is written")
            }
        })
    }
}

impl ServiceAccount {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::List { team } => {
                let (client, team) = (context.client()?, &team.team);
                let all = every(async |page| client.service_accounts(team, &page).await).await?;
                context.answer(&json!({ "items": all }), || list(&all))
            }
            Self::Create(create) => create.run(context).await,
            Self::Show(one) => {
                let client = context.client()?;
                let found = client.service_account(&one.team.team, &one.name).await?;
                context.answer(&found, || show(&found))
            }
            Self::Disable(one) => set_disabled(context, &one, true).await,
            Self::Enable(one) => set_disabled(context, &one, false).await,
            Self::Delete { one, confirm } => {
                let what = format!("service account {}, its keys and its tokens", one.id());
                confirm.check(&one.name, &what)?;
                let client = context.client()?;
                client
                    .delete_service_account(&one.team.team, &one.name)
                    .await?;
                context.answer(&json!({ "deleted": one.id() }), || {
                    format!("{what} are gone")
                })
            }
            Self::Key(key) => key.run(context).await,
        }
    }
}

async fn set_disabled(context: &Context, one: &One, is_disabled: bool) -> Result<()> {
    let client = context.client()?;
    let (team, name) = (&one.team.team, &one.name);
    let read = async || -> Result<Document> { Ok(client.service_account(team, name).await?) };
    let write = async |before: Document, revision: Option<i64>| -> Result<Document> {
        let mut spec = before.spec;
        spec["disabled"] = json!(is_disabled);
        let written = client.put_service_account(team, name, &spec, revision);
        Ok(written.await?)
    };
    let written = retry_on_conflict(read, write).await?;
    context.answer(&written, || {
        let id = one.id();
        if is_disabled {
            format!("service account {id} is kept out: its tokens have stopped working")
        } else {
            format!("service account {id} may log in again")
        }
    })
}

/// The keys that are valid, the newest first: what each is called, and when it was drawn.
fn keys(account: &Document) -> Vec<(&str, &str)> {
    let keys = account.status["keys"].as_array().into_iter().flatten();
    keys.map(|key| (text(&key["id"]), text(&key["created"])))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn state(account: &Document) -> &'static str {
    match (account.spec["disabled"] == true, keys(account).is_empty()) {
        (true, _) => "kept out",
        (false, true) => "has no key",
        (false, false) => "can log in",
    }
}

fn list(all: &[Document]) -> String {
    let now = Timestamp::now();
    let row = |account: &Document| {
        let newest = keys(account)
            .first()
            .and_then(|(_, drawn)| drawn.parse().ok())
            .map(|drawn| quantity::age(drawn, now));
        [
            account.meta.name.clone(),
            text(&account.spec["kind"]).to_owned(),
            text(&account.spec["environment"]).to_owned(),
            state(account).to_owned(),
            newest.unwrap_or_default(),
            text(&account.spec["description"]).to_owned(),
        ]
    };
    let head = [
        "name",
        "kind",
        "environment",
        "state",
        "newest key",
        "description",
    ];
    let rows = all.iter().map(row).collect();
    table::table(head, rows, "There are no service accounts.")
}

fn show(account: &Document) -> String {
    table::fields(&[
        ("name", account.meta.name.clone()),
        ("team", account.meta.scope.clone()),
        ("kind", text(&account.spec["kind"]).to_owned()),
        ("environment", text(&account.spec["environment"]).to_owned()),
        ("description", text(&account.spec["description"]).to_owned()),
        ("state", state(account).to_owned()),
        ("keys", key::list(account)),
    ])
}
