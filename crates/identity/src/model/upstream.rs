//! Where people really are: an organization's own provider.

use kernel::Kind;
use serde::{Deserialize, Serialize};

/// A provider that people log in with. Scope: the platform; its name begins the subjects of its
/// people: `NAME:ID`. The client's secret is sealed beside it.
#[derive(Debug)]
pub enum Upstream {}

impl Kind for Upstream {
    const KIND: &'static str = "Upstream";
    type Spec = UpstreamSpec;
    type Status = ();

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath upstream list".into())
    }
}

/// How a provider is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamSpec {
    /// For people: what the login page offers.
    pub title: String,
    /// Our `client_id` there.
    pub client_id: String,
    /// What it speaks.
    pub provider: UpstreamKind,
}

/// What a provider speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum UpstreamKind {
    /// OpenID Connect.
    Oidc {
        /// The issuer, as its discovery document names it.
        issuer: String,
        /// The claim that lists a person's groups.
        #[serde(default = "groups_claim")]
        groups_claim: String,
        /// Scopes to ask for beside `openid`, `profile`, `email` and `offline_access`.
        #[serde(default)]
        scopes: Vec<String>,
    },
    /// GitHub: people's groups are their teams in one organization, as `ORG/TEAM`.
    Github {
        /// The organization. Who is not in it has no groups.
        org: String,
        /// Where GitHub is.
        #[serde(default = "github_url")]
        url: String,
        /// Where its API is.
        #[serde(default = "github_api_url")]
        api_url: String,
    },
}

fn groups_claim() -> String {
    "groups".into()
}

fn github_url() -> String {
    "https://github.com".into()
}

fn github_api_url() -> String {
    "https://api.github.com".into()
}
