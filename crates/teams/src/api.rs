//! What requests and answers hold.

use kernel::Name;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    model::{Allowance, Interaction, NetworkPolicies, Quota, TeamSelector, TeamType},
    port::Member,
};

/// A team to onboard.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTeam {
    /// A DNS label.
    pub name: String,
    /// The rest.
    #[serde(flatten)]
    pub fields: TeamFields,
}

/// What a team is told, as far as it is told: at onboarding, at a change, in a document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamFields {
    /// The group at the source; the team's name where nothing is said.
    #[serde(
        default,
        alias = "idp_group",
        alias = "idpGroup",
        skip_serializing_if = "Option::is_none"
    )]
    pub group: Option<String>,
    /// The only source whose group counts; empty: whichever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The domain that it answers for, and where that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Whom to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// What sort of team it is.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<TeamType>,
    /// Subjects (`local:ada`) who may change the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads: Option<Vec<String>>,
    /// Environment roles of which the team has a namespace each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
    /// What the team may take by itself: for those who operate the platform to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<Allowance>,
    /// How it works with other teams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactions: Option<Vec<Interaction>>,
}

/// Who is in a team, by each source that was asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// The team.
    pub team: String,
    /// The group whose members they are.
    pub group: String,
    /// Who may change the team, as it says itself. Of these, who is in no source's answer leads nothing.
    pub leads: Vec<String>,
    /// What each source says.
    pub sources: Vec<SourceAnswer>,
}

/// What one source says of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceAnswer {
    /// Its name.
    pub source: String,
    /// How sure it is.
    pub state: SourceState,
    /// Who is in the group.
    pub members: Vec<Member>,
    /// Who was in it, and is told to be out of it: for tools, where `members` are not all. Shown to nobody.
    #[serde(skip)]
    pub left: Vec<Member>,
    /// Whether there may be others, of whom the source is silent. Shown to nobody.
    #[serde(skip)]
    pub some: bool,
    /// Why it said nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Present, absent, unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceState {
    /// These are its members.
    Complete,
    /// These are the members whom it has told of so far.
    Seen,
    /// It has no such group.
    Missing,
    /// It could not be asked.
    Unavailable,
}

/// The end of a team.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Offboard {
    /// The team's name, once more: so that nobody ends another by a slip.
    pub confirm: Option<String>,
    /// `prod`: what is protected goes too, which only those who operate the platform may say.
    pub include: Option<String>,
}

/// The removal of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Confirm {
    /// The namespace's name, once more: with it goes everything that is in it, data too.
    pub confirm: Option<String>,
}

/// A namespace that a team asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewNamespace {
    /// `TEAM-SUFFIX`.
    pub name: String,
    /// The rest.
    #[serde(flatten)]
    pub fields: NamespaceFields,
}

/// What a namespace is told, as far as it is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceFields {
    /// The role of what backs it; `dev` where nothing is said. Fixed once it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its workloads may ask for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Who may reach what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policies: Option<NetworkPolicies>,
}

/// The API version of requests for namespaces.
pub const REQUEST_API_VERSION: &str = "platform.example.com/v1";

/// What every document has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope<S> {
    /// Whose kind it is.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Its name.
    pub metadata: EnvelopeMeta,
    /// What should be.
    pub spec: S,
}

/// A document's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvelopeMeta {
    /// A DNS label.
    pub name: Name,
}

/// What a document of kind `NamespaceRequest` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceRequest {
    /// The team that asks.
    pub team: String,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// What its workloads may ask for together.
    #[serde(default)]
    pub quota: Option<Quota>,
    /// Who may reach what is in it.
    #[serde(default)]
    pub network_policies: Option<NetworkPolicies>,
}

/// What an integration should be. It has no `Debug`: there may be a credential in it.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewIntegration {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What speaks to the tool: `github`, `jira`, `http`.
    #[serde(rename = "type")]
    pub tool: String,
    /// What that needs to know, in its own shape. No secret: that is the credential.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Which teams; all where nothing is said.
    #[serde(default)]
    pub teams: TeamSelector,
    /// Whether the tool is kept in step.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What it is spoken to with; the one that there is where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

fn yes() -> bool {
    true
}
