//! `towpath plan`

use clap::Args;
use jiff::Timestamp;

use super::deploy::{Source, Target, advised, unready};
use crate::{
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    input::Request,
    render,
};

/// Show what a deployment would change; nothing is made
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath plan score.yaml\n  towpath plan -f score.yaml --env qa --image ./target/release/notes"
)]
pub(crate) struct Plan {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    target: Target,
}

impl Plan {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        show(context, &self.source, &self.target).await
    }
}

/// Shows the plan. A plan that policy refuses is shown whole, and ends with that exit code.
pub(crate) async fn show(context: &Context, source: &Source, target: &Target) -> Result<()> {
    let mut request = match source.request() {
        Ok(request) => request,
        Err(why) => return Err(unready(context, target, why).await),
    };
    target.fill(&mut request.body);
    of(context, target.environment(), &request).await
}

/// The same for what was read already.
pub(crate) async fn of(context: &Context, environment: &str, request: &Request) -> Result<()> {
    let client = context.client()?;
    let mut answer = match client.plan(environment, &request.body).await {
        Ok(answer) => answer,
        Err(error) => return Err(advised(&client, request.failure(error)).await),
    };
    request.place(&mut answer.plan);
    context.answer(&answer, || render::plan::text(&answer, Timestamp::now()))?;
    if answer.decision.allowed {
        Ok(())
    } else {
        Err(Failure::told(Exit::Refused))
    }
}
