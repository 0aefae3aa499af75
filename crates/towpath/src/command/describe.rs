//! `towpath describe`

use clap::Args;
use client::{Client, EventQuery};
use kernel::{Document, Event, Query};
use serde::Serialize;

use super::kind::Kind;
use crate::{
    cli::EnvironmentArg,
    context::Context,
    failure::Result,
    render::{self, events::is_bookkeeping},
};

/// Events that are shown with a resource.
const LAST_EVENTS: usize = 20;

/// Show a resource whole: what it should be, what it is, what happened
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath describe deployment d-3\n  towpath describe workload notes --env pr-42"
)]
pub(crate) struct Describe {
    /// The kind
    #[arg(value_enum)]
    kind: Kind,
    /// The name
    name: String,
    #[command(flatten)]
    environment: EnvironmentArg,
}

#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    document: Document,
    events: Vec<Event>,
}

impl Describe {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        let document = self
            .kind
            .get(&client, &self.environment.environment, &self.name)
            .await?;
        let events = last_events(&client, document.key().to_string()).await?;
        let text = match self.kind {
            Kind::Deployments => render::describe::deployment(&document.clone().typed()?, &events),
            _ => render::describe::text(&document, &events),
        };
        context.answer(&Description { document, events }, || text)
    }
}

/// The last events of a subject, oldest first.
async fn last_events(client: &Client, subject: String) -> Result<Vec<Event>> {
    let mut query = EventQuery {
        subject: Some(subject),
        limit: Some(Query::MAX_LIMIT),
        ..EventQuery::default()
    };
    let mut last = Vec::new();
    loop {
        let page = client.event_page(&query).await?;
        if page.items.is_empty() {
            return Ok(last);
        }
        query.after = Some(page.next);
        last.extend(
            page.items
                .into_iter()
                .filter(|event| !is_bookkeeping(event)),
        );
        last.drain(..last.len().saturating_sub(LAST_EVENTS));
    }
}
