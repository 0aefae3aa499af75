//! Whether the tools that a team is kept in step with are so.

use kernel::{Result, Store};

use crate::model::{Condition, Truth};

/// The kind whose events concern its team.
pub(super) const KIND: &str = "Integration";

/// The condition of a team's integrations.
pub(super) async fn condition(store: &Store, team: &str) -> Result<Condition> {
    let configured = store.keys(KIND, Some(team)).await?;
    let message = match configured.len() {
        0 => "none configured".to_owned(),
        some => format!("{some} configured"),
    };
    Ok(Condition::new(
        Condition::INTEGRATIONS,
        Truth::True,
        message,
    ))
}
