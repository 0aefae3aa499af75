//! `towpath describe`

use clap::Args;
use client::{Client, EventQuery};
use delivery::api::PolicyDecision;
use kernel::{Document, Event, Query};
use serde::Serialize;

use super::{
    kind::{Kind, KindParser},
    policy, revision,
};
use crate::{
    cli::EnvironmentArg,
    context::{Context, Format},
    failure::{Failure, Result},
    render::{self, events::is_bookkeeping, quantity::parse_whole},
};

/// Events that are shown with a resource.
const LAST_EVENTS: usize = 20;

/// Show a resource in full: what it should be, what it is, what happened
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath describe deployment d-3\n  towpath describe workload notes --env pr-42\n  towpath describe workload notes --rendered\n  towpath describe definition postgres-default --revision 3\n  towpath describe policy built-in/images.rego"
)]
pub(crate) struct Describe {
    /// The kind
    #[arg(value_parser = KindParser)]
    kind: Kind,
    /// The name
    name: String,
    #[command(flatten)]
    environment: EnvironmentArg,
    /// What the engine gets for a workload: every variable, file and mount, with everything resolved except secrets,
    /// which are shown by where they come from
    #[arg(long, conflicts_with = "revision")]
    rendered: bool,
    /// This revision of a resource definition, instead of the newest
    #[arg(long, value_name = "NUMBER", value_parser = parse_whole::<u64>)]
    revision: Option<u64>,
}

#[derive(Serialize)]
struct Description {
    #[serde(flatten)]
    document: Document,
    /// Of a deployment: what policy was asked, and what it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyDecision>,
    events: Vec<Event>,
}

impl Describe {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        match (self.kind, self.revision, self.rendered) {
            (Kind::Policies, None, false) => return policy::show(context, &self.name).await,
            (Kind::ResourceDefinitions, Some(number), _) => {
                return revision::show(context, &self.name, number).await;
            }
            (Kind::Workloads, None, true) => return self.rendered(context).await,
            (_, None, false) => {}
            (_, Some(_), _) => {
                return Err(Failure::usage(
                    "--revision is of resource definitions alone",
                ));
            }
            (_, _, true) => return Err(Failure::usage("--rendered is of workloads alone")),
        }
        let client = context.client()?;
        let document = self
            .kind
            .get(&client, &self.environment.environment, &self.name)
            .await?;
        let events = last_events(&client, document.key().to_string()).await?;
        let policy = match self.kind {
            Kind::Deployments => {
                let environment = &self.environment.environment;
                Some(client.deployment_decision(environment, &self.name).await?)
            }
            _ => None,
        };
        let text = match self.kind {
            Kind::Deployments => render::describe::deployment(&document.clone().typed()?, &events),
            _ => render::describe::text(&document, &events),
        };
        let description = Description {
            document,
            policy,
            events,
        };
        context.answer(&description, || text)
    }

    /// What the engine is handed of a workload.
    async fn rendered(&self, context: &Context) -> Result<()> {
        let environment = &self.environment.environment;
        let client = context.client()?;
        let release = client.workload_release(environment, &self.name).await?;
        context.answer(&release, || render::document::text(Format::Yaml, &release))
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
