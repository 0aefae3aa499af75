//! People's credentials at other tools, as far as the register of tools names them: automation that calls with
//! one hangs on that person (E-012).

use std::sync::Arc;

use async_trait::async_trait;
use kernel::Result;
use serde::Serialize;

use super::Identity;

/// A person's credential by which automation reaches a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonalCredential {
    /// The tool.
    pub tool: String,
    /// The credential's name there.
    pub credential: String,
    /// Whose it is.
    pub person: String,
    /// The team that answers for it.
    pub team: String,
}

/// The port to the register of tools.
#[async_trait]
pub trait Tools: Send + Sync + 'static {
    /// The personal credentials of `subject`; none: of everybody.
    async fn personal_credentials(&self, subject: Option<&str>) -> Result<Vec<PersonalCredential>>;
}

impl Identity {
    /// Has what is told of a person include their credentials at other tools. Once: what is said first counts.
    pub fn know_tools(&self, tools: Arc<dyn Tools>) {
        // Somebody has said so already.
        let _ = self.tools.set(tools);
    }

    /// The credentials of `subject` at other tools; none: those of everybody.
    pub(super) async fn tools_of(&self, subject: Option<&str>) -> Result<Vec<PersonalCredential>> {
        match self.tools.get() {
            Some(tools) => tools.personal_credentials(subject).await,
            None => Ok(vec![]),
        }
    }
}
