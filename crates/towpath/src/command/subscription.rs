//! `towpath subscription`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::{Client, SubscriptionsOf, every};
use kernel::Resource;
use serde_json::json;
use subscriptions::{
    api::NewSubscription,
    model::{self, DeadLetter},
    pattern::Pattern,
};

use super::unreadable;
use crate::{
    context::Context,
    failure::Result,
    render::{
        quantity::{local, parse_whole},
        table,
    },
};

/// Send events to a webhook, and deal with what could not be delivered
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath subscription create ci --team payments --type 'deployment.*' --url https://hooks.example.com/towpath\n  towpath subscription dead-letters ci --team payments\n  towpath subscription replay ci --team payments --all"
)]
pub(crate) enum Subscription {
    /// List subscriptions
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Show one: how far it is, and whether deliveries succeed
    Show {
        /// The subscription
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Make one, or change it; the secret that receivers verify with is shown once, when it is drawn
    Create(Create),
    /// Draw another secret and show it once; both sign for a day
    Secret {
        /// The subscription
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Remove one, with its dead letters
    Delete {
        /// The subscription
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// List what could not be delivered
    DeadLetters {
        /// The subscription
        name: String,
        #[command(flatten)]
        of: Of,
    },
    /// Send dead letters once more, now
    Replay {
        /// The subscription
        name: String,
        /// The events' ids, as `towpath subscription dead-letters` gives them
        #[arg(required_unless_present = "all")]
        events: Vec<String>,
        /// All of them, the oldest first
        #[arg(long, conflicts_with = "events")]
        all: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Give up dead letters: they are not sent any more
    Discard {
        /// The subscription
        name: String,
        /// The events' ids, as `towpath subscription dead-letters` gives them
        #[arg(required = true)]
        events: Vec<String>,
        #[command(flatten)]
        of: Of,
    },
}

/// Whose subscriptions they are.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Of {
    /// The team
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "NAME"
    )]
    team: Option<String>,
    /// The platform's own, which see everything
    #[arg(long)]
    platform: bool,
}

impl Of {
    fn them(&self) -> SubscriptionsOf {
        match &self.team {
            Some(team) if !self.platform => SubscriptionsOf::Team(team.clone()),
            _ => SubscriptionsOf::Platform,
        }
    }
}

/// What it should be.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The subscription
    name: String,
    #[command(flatten)]
    of: Of,
    /// A type of events: deployment.succeeded, 'deployment.*', '*'. May be given again
    #[arg(long = "type", required = true, value_name = "TYPE")]
    types: Vec<String>,
    /// Where they are sent: an https address of the public internet, or one in a network that the
    /// platform allows (`towpath up --webhooks-allow CIDR`)
    #[arg(long, value_name = "URL")]
    url: String,
    /// A description, for people
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Send nothing for now; what happens meanwhile is sent once it is enabled
    #[arg(long)]
    disabled: bool,
    /// Begin after this place in the log (`seq`); 0 for everything that ever happened [default: now]
    #[arg(long, value_name = "SEQ", value_parser = parse_whole::<i64>)]
    after: Option<i64>,
    /// The file with the secret: whsec_, and 24 to 64 bytes in base64 [default: one is drawn]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl Subscription {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List { of } => {
                let of = of.them();
                let all = every(async |page| client.subscriptions(&of, &page).await).await?;
                let documents = all.iter().map(Resource::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || list(&all))
            }
            Self::Show { name, of } => {
                let found = client.subscription(&of.them(), &name).await?;
                context.answer(&found.document()?, || show(&found))
            }
            Self::Create(create) => create.run(context, &client).await,
            Self::Secret { name, of } => {
                let drawn = client.draw_subscription_secret(&of.them(), &name).await?;
                context.answer(&drawn, || drawn.secret.clone())
            }
            Self::Delete { name, of } => {
                client.delete_subscription(&of.them(), &name).await?;
                context.say(&format!("subscription {name} is removed"));
                Ok(())
            }
            Self::DeadLetters { name, of } => {
                let letters = letters(&client, &of.them(), &name).await?;
                let documents = letters.iter().map(Resource::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || dead(&letters))
            }
            Self::Replay {
                name,
                events,
                all,
                of,
            } => {
                let of = of.them();
                let events = if all {
                    let letters = letters(&client, &of, &name).await?;
                    letters.into_iter().map(|one| one.meta.name).collect()
                } else {
                    events
                };
                for event in &events {
                    client.replay_dead_letter(&of, &name, event).await?;
                    context.say(&format!("{event} is delivered"));
                }
                Ok(())
            }
            Self::Discard { name, events, of } => {
                for event in &events {
                    client.discard_dead_letter(&of.them(), &name, event).await?;
                    context.say(&format!("{event} is given up"));
                }
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self, context: &Context, client: &Client) -> Result<()> {
        let types = self.types.iter().map(|text| Pattern::new(text));
        let secret = match &self.secret_file {
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
                Some(text.trim().to_owned())
            }
            None => None,
        };
        let new = NewSubscription {
            description: self.description,
            types: types.collect::<kernel::Result<_>>()?,
            url: self.url,
            enabled: !self.disabled,
            after: self.after,
            secret,
        };
        let written = client
            .put_subscription(&self.of.them(), &self.name, &new, None)
            .await?;
        context.answer(&written, || match &written.secret {
            Some(secret) => format!(
                "subscription {} begins after {}\nsecret, shown this once: {secret}",
                self.name, written.document.spec["after"]
            ),
            None => format!("subscription {} is written", self.name),
        })
    }
}

async fn letters(
    client: &Client,
    of: &SubscriptionsOf,
    name: &str,
) -> Result<Vec<Resource<DeadLetter>>> {
    let mut all = every(async |page| client.dead_letters(of, name, &page).await).await?;
    all.sort_by_key(|letter| letter.spec.seq);
    Ok(all)
}

fn state(one: &Resource<model::Subscription>) -> &'static str {
    match (one.spec.enabled, one.status.failures) {
        (false, _) => "disabled",
        (true, 0) => "well",
        (true, _) => "failing",
    }
}

fn types(one: &Resource<model::Subscription>) -> String {
    let types: Vec<_> = one.spec.types.iter().map(Pattern::as_str).collect();
    types.join(" ")
}

fn list(all: &[Resource<model::Subscription>]) -> String {
    let row = |one: &Resource<model::Subscription>| {
        [
            one.meta.name.clone(),
            state(one).into(),
            one.status.cursor.max(one.spec.after).to_string(),
            types(one),
            one.spec.url.clone(),
            one.spec.created_by.clone(),
        ]
    };
    let head = ["name", "state", "cursor", "types", "url", "made by"];
    table::table(
        head,
        all.iter().map(row).collect(),
        "There are no subscriptions.",
    )
}

fn show(one: &Resource<model::Subscription>) -> String {
    let status = &one.status;
    let delivery = status.last_delivery.as_ref();
    let failure = status.last_failure.as_ref();
    let secret = if status.secret_unseen {
        "nobody has seen it, and its receiver verifies nothing: `towpath subscription secret` draws one"
    } else {
        ""
    };
    table::fields(&[
        ("name", one.meta.name.clone()),
        ("description", one.spec.description.clone()),
        ("state", state(one).into()),
        ("types", types(one)),
        ("url", one.spec.url.clone()),
        ("made by", one.spec.created_by.clone()),
        ("secret", secret.to_owned()),
        ("cursor", status.cursor.to_string()),
        (
            "last delivery",
            delivery.map_or_else(String::new, |one| {
                format!("{} of {}", local(one.at), one.event)
            }),
        ),
        (
            "last failure",
            failure.map_or_else(String::new, |one| {
                format!("{}: {}", local(one.at), one.reason)
            }),
        ),
        ("failures since", status.failures.to_string()),
        ("dead letters", status.dead_letters.to_string()),
    ])
}

fn dead(letters: &[Resource<DeadLetter>]) -> String {
    let row = |letter: &Resource<DeadLetter>| {
        let last = letter.status.last.as_ref();
        [
            letter.meta.name.clone(),
            letter.spec.seq.to_string(),
            letter.spec.kind.clone(),
            letter.status.attempts.to_string(),
            last.map_or_else(String::new, |last| last.reason.clone()),
        ]
    };
    let head = ["event", "seq", "type", "tries", "reason"];
    table::table(
        head,
        letters.iter().map(row).collect(),
        "There are no dead letters.",
    )
}
