//! `towpath events publish`

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use kernel::Outcome;
use publications::api::CloudEvent;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    input::File,
    render::quantity::{parse_correlation, parse_time},
};

/// Who publishes where nothing is said: whoever uses the command line. Ids are drawn then.
const SOURCE: &str = "/cli";

/// Publish what has happened outside
///
/// A pipeline, a scanner or a team's own service publishes what it has done. The event goes to everybody who follows
/// the team's events: `towpath events -f`, webhooks, NATS. The same --source and --id again are the same event.
///
/// The event belongs to the team that --team names; without it, to the one team that you are in, or, for an operator,
/// to the platform. This needs the right `event.publish`, which a team's people and service accounts have for their
/// team, a deploy credential for its own --env, and operators for all: see `towpath can`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath events publish --type com.example.scan.finished --subject notes:1.4 --outcome pass\n  towpath events publish --type com.example.scan.finished --outcome fail --payload @report.json --link https://ci.example.com/7\n  towpath events publish --type com.example.tests.finished --env pay-dev --source https://ci.example.com/pay --id run-7"
)]
pub(crate) struct Publish {
    /// What happened, under a domain of yours, reversed: com.example.scan.finished
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Passed or failed, if that can be said
    #[arg(long, value_parser = ["pass", "fail"])]
    outcome: Option<String>,
    /// The event's data: JSON, `@FILE` that holds it, or `-` for standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,
    /// The piece of work that it belongs to: a trigger and its result have the same
    #[arg(long, value_name = "ID", value_parser = parse_correlation)]
    correlation: Option<Uuid>,
    /// The team that the event belongs to [default: the one that you are in, if there is just one]
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "NAME"
    )]
    team: Option<String>,
    /// The environment in which it happened
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
    /// Who publishes it: a URI, or a reference to one
    #[arg(long, value_name = "URI", default_value = SOURCE)]
    source: String,
    /// Its id at its source: sent again, it is the same event [default: one is drawn]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// When it happened [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    time: Option<Timestamp>,
    /// The address of a page that says more. May be given again
    #[arg(long = "link", value_name = "URL")]
    links: Vec<String>,
    /// A further attribute: cluster=eu-1. May be given again
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

fn attribute(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

impl Publish {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        if self.id.is_some() && self.source == SOURCE {
            return Err(Failure::usage("an --id is one of a --source".to_owned())
                .remedy("say with --source who gives it: https://ci.example.com/pipelines"));
        }
        let mut attributes: std::collections::BTreeMap<String, Value> = self
            .attributes
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let named = [
            ("environment", self.environment),
            (
                "links",
                Some(self.links.join(" ")).filter(|all| !all.is_empty()),
            ),
        ];
        for (name, value) in named {
            attributes.extend(value.map(|value| (name.into(), value.into())));
        }
        let event = CloudEvent {
            specversion: "1.0".into(),
            id: self.id.unwrap_or_else(|| Uuid::now_v7().to_string()),
            source: self.source,
            kind: self.kind,
            subject: self.subject,
            time: self.time,
            team: self.team,
            outcome: self.outcome.map(|outcome| match outcome.as_str() {
                "pass" => Outcome::Pass,
                _ => Outcome::Fail,
            }),
            correlation: self.correlation,
            data: self
                .payload
                .as_deref()
                .map(data)
                .transpose()?
                .unwrap_or_default(),
            attributes,
        };
        let kind = event.kind.clone();
        let published = context.client()?.publish(&[event]).await?;
        let Some(one) = published.items.into_iter().next() else {
            return Err(Failure::new(
                Exit::Failed,
                "the platform did not say what became of the event",
            ));
        };
        context.answer(&one, || {
            let before = if one.duplicate {
                " was there already:"
            } else {
                " is"
            };
            format!(
                "{kind}{before} event {} of correlation {}",
                one.seq, one.correlation
            )
        })
    }
}

/// What `--payload` says.
fn data(text: &str) -> Result<Value> {
    let (name, bytes) = match text.strip_prefix('@') {
        Some(path) => {
            let file = File::read(Path::new(path))?;
            (file.name, file.bytes)
        }
        None if text == "-" => ("standard input".into(), File::read(Path::new("-"))?.bytes),
        None => ("--payload".into(), text.as_bytes().to_vec()),
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{name} is not JSON: {error}");
        Failure::new(Exit::Invalid, message)
            .remedy("write JSON ('{\"critical\": 0}', '\"text\"'), @FILE for a file of it, or - for standard input")
    })
}
