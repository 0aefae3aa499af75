//! `towpath events`

mod publish;

use clap::{Args, Subcommand};
use client::EventQuery;
use jiff::Timestamp;
use kernel::{Event, Query};
use uuid::Uuid;

use crate::{context::Context, failure::Result, render};

/// Show what happened
///
/// Each event is one line: when, whether it passed (+) or failed (!), what happened, to what, by whom, and a
/// description; with `-o json` one CloudEvents 1.0 object per line.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = "Examples:\n  towpath events\n  towpath events -f --type deployment\n  towpath events --actor local:ada --since 2d\n  towpath events --team payments --type authorization.refused\n  towpath events --subject Workload/dev/notes -o json"
)]
pub(crate) struct Events {
    #[command(subcommand)]
    command: Option<Change>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Change {
    Publish(publish::Publish),
}

#[derive(Debug, Args)]
struct Which {
    /// Keep showing new events
    #[arg(long, short)]
    follow: bool,
    /// Only types that begin with this: `deployment`, or `dev.towpath.deployment` in full; `com.example` for events
    /// from outside
    #[arg(long = "type", value_name = "PREFIX")]
    type_prefix: Option<String>,
    /// Only about this, or what lies below it: KIND, KIND/ENV or KIND/ENV/NAME
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only events of this piece of work
    #[arg(long, value_name = "ID", value_parser = render::quantity::parse_correlation)]
    correlation: Option<Uuid>,
    /// Only of this team
    #[arg(
        long,
        env = "TOWPATH_TEAM",
        hide_env_values = true,
        value_name = "NAME"
    )]
    team: Option<String>,
    /// Only what this subject caused, as `towpath whoami` shows it: local:ada
    #[arg(long, value_name = "SUBJECT")]
    actor: Option<String>,
    /// Only since then: 90m, 8h or 2d ago, or a time such as 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = render::quantity::parse_since)]
    since: Option<Timestamp>,
    /// Only after this place in the log (`seq`); 0 for all. With --follow the default is now
    #[arg(long, value_name = "SEQ", value_parser = render::quantity::parse_whole::<i64>)]
    after: Option<i64>,
}

impl Events {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match self.command {
            Some(Change::Publish(publish)) => publish.run(context).await,
            None => self.which.run(context).await,
        }
    }
}

impl Which {
    async fn run(self, context: &Context) -> Result<()> {
        let mut query = EventQuery {
            type_prefix: self.type_prefix,
            subject: self.subject,
            correlation: self.correlation,
            team: self.team,
            actor: self.actor,
            since: self.since,
            after: self.after,
            limit: Some(Query::MAX_LIMIT),
        };
        let show = |event: &Event| context.item(event, || render::events::line(event));
        if self.follow {
            let mut events = context.patient_client()?.events(&query);
            while let Some(event) = events.next().await? {
                show(&event)?;
            }
            return Ok(());
        }
        let client = context.client()?;
        loop {
            let page = client.event_page(&query).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            query.after = Some(page.next);
            query.since = None;
            for event in &page.items {
                show(event)?;
            }
        }
    }
}
