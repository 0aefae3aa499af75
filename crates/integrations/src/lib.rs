//! Tools that are kept in step with teams, behind the port [`teams::tool::Tool`]: [`Github`], [`Jira`],
//! and [`Described`] for any other HTTP API, by data.
//!
//! Each looks at what there is and says which requests would make it what it should be; whether and when
//! they are sent is not its business. `docs/integrations.md` says how they are used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod answered;
mod api;
mod audit;
mod described;
mod github;
mod jira;

use std::sync::Arc;

use kernel::{
    Outbound, Result,
    outbound::{Limits, Reach},
};
use teams::tool::Tool;

pub use self::{described::Described, github::Github, jira::Jira};

/// All tools, which are spoken to as far as `reach` says.
pub fn tools(reach: Reach) -> Result<Vec<Arc<dyn Tool>>> {
    let outbound = Outbound::new(reach, api::PATIENCE)?;
    let limits = Limits::default();
    Ok(vec![
        Arc::new(Github::new(outbound.clone(), limits.clone())),
        Arc::new(Jira::new(outbound.clone(), limits.clone())),
        Arc::new(Described::new(outbound, limits)),
    ])
}
