//! The port to policy: a decision over a whole plan and its caller.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A decision and how it came about: shown to whoever asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whether the deployment may go on.
    pub allowed: bool,
    /// Why not, each with a remedy; empty where it is allowed.
    #[serde(default)]
    pub denials: Vec<Finding>,
    /// What should be mended, without being refused.
    #[serde(default)]
    pub warnings: Vec<Finding>,
    /// The policies that were asked, as `name@digest`.
    #[serde(default)]
    pub policies: Vec<String>,
}

/// What a policy has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// The rule, as a stable word.
    pub rule: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What decides. Fails closed: an error is a refusal.
#[async_trait]
pub trait Verifier: Send + Sync + 'static {
    /// Decides over `input`: `{caller, environment, workloads, plan}`.
    async fn verify(&self, input: &Value) -> kernel::Result<Decision>;

    /// The source of the policies, by name: no shields.
    fn sources(&self) -> Vec<(String, String)>;
}
