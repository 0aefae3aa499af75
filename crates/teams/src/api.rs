//! What requests and answers hold.

use jiff::Timestamp;
use kernel::{Document, Error, Name, Resource, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    model::{
        Allowance, ContainerDefaults, Finding, Interaction, JoinedBy, NetworkPolicies, QuotaFields,
        TeamSelector, TeamType, Tool,
    },
    port::Member,
};

/// A tool with what is found about it: found anew whenever somebody asks, and kept nowhere. So it is no part of the
/// resource, which is written as it was read, and stands beside what is kept only where it is told.
#[derive(Debug, Clone)]
pub struct ToolView {
    /// What is kept of it.
    pub tool: Resource<Tool>,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

impl ToolView {
    /// The field of the status in which findings are told.
    const FINDINGS: &str = "findings";

    /// The document that is answered: the findings are in its `status`, where there are some.
    pub fn document(&self) -> Result<Document> {
        let mut document = self.tool.document()?;
        if !self.findings.is_empty() {
            let findings = serde_json::to_value(&self.findings)
                .map_err(|error| Error::internal("findings could not be serialized", error))?;
            document.status[Self::FINDINGS] = findings;
        }
        Ok(document)
    }

    /// What such a document tells.
    pub fn read(mut document: Document) -> Result<Self> {
        let status = document.status.as_object_mut();
        let findings = match status.and_then(|status| status.remove(Self::FINDINGS)) {
            Some(findings) => serde_json::from_value(findings)
                .map_err(|error| Error::internal("findings have an unknown shape", error))?,
            None => vec![],
        };
        Ok(Self {
            tool: document.typed()?,
            findings,
        })
    }
}

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
    pub quota: Option<QuotaFields>,
    /// What counts for containers that do not say what they need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_defaults: Option<ContainerDefaults>,
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
    /// The role of what backs it; `dev` where nothing is said. Fixed once it is made.
    #[serde(default)]
    pub role: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// What its workloads may ask for together.
    #[serde(default)]
    pub quota: Option<QuotaFields>,
    /// What counts for containers that do not say what they need.
    #[serde(default)]
    pub container_defaults: Option<ContainerDefaults>,
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

/// How long a team took until it could work, and its people. Seconds are from when it was asked for, or they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Onboarding {
    /// The team.
    pub team: String,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub asked: Option<Timestamp>,
    /// When all of its conditions were met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Reached>,
    /// When a deployment of its, whoever's, first succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_deployment: Option<Reached>,
    /// The same in the role `prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_production: Option<Reached>,
    /// Its people; none: whoever asks is not of the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
    /// What cannot be told, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// That something was reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reached {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// After how long; none: from when on is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// How long people took, together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct People {
    /// How many they are.
    pub count: usize,
    /// Until they had the team's rights: what they waited for access.
    pub access: Spread,
    /// Until they next logged in.
    pub login: Spread,
    /// Until a deployment of theirs in the team succeeded.
    pub deployment: Spread,
    /// Each of them: for those who lead the team, and those who operate the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<MemberOnboarding>>,
}

/// How long one of a team's people took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberOnboarding {
    /// Who: `local:ada`.
    pub subject: String,
    /// When they came, as the platform first saw it; none: before that was kept, or while their source could not say
    /// who is in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub joined: Option<Timestamp>,
    /// How that is known.
    pub joined_by: JoinedBy,
    /// When they had the team's rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Reached>,
    /// When they next logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Reached>,
    /// When a deployment of theirs in the team first succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Reached>,
}

/// How long many took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Of how many it is known.
    pub count: usize,
    /// How many are not there yet.
    pub waiting: usize,
    /// Of how many it is not known, and will not be.
    pub unknown: usize,
    /// Seconds that half of them took at the most. Of fewer than five people, or teams, it is told to those alone
    /// who see each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// Seconds that nine of ten took at the most. Of fewer than ten it is told as the median of fewer than
    /// five is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
}

/// How long all teams and their people took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnboardingOverview {
    /// Of teams that were asked for, and people who came, from then on; none: of all. To whoever may not see each
    /// team's own numbers, the beginning of the day (UTC) that they asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Teams.
    pub teams: TeamsOnboarding,
    /// People, each counted in each of their teams.
    pub people: People,
}

/// How long teams took, together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamsOnboarding {
    /// How many they are.
    pub count: usize,
    /// Until all of their conditions were met.
    pub ready: Spread,
    /// Until a deployment of theirs first succeeded; none: fewer than five did, and who asks may not see each
    /// team's own numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_deployment: Option<Spread>,
    /// The same in the role `prod`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_production: Option<Spread>,
    /// Those whose conditions took longest, or are waited for so long: that is the platform's to mend. How soon
    /// a team deploys is for itself to judge, and nobody is ranked by it.
    pub slowest: Vec<SlowTeam>,
}

/// A team whose onboarding took long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlowTeam {
    /// The team.
    pub team: String,
    /// How long it took, or has taken so far.
    pub seconds: f64,
    /// What it waits for; none: it is onboarded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
}

/// From when on teams and people are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Since {
    /// Of teams that were asked for, and people who came, from then on. To whoever may not see each team's own
    /// numbers, from the beginning of that day (UTC).
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_found_about_a_tool_is_told_and_is_no_part_of_what_is_kept() {
        let spec = json!({
            "owner": { "team": "security" }, "authentication": "oidc", "authorization": "claims", "api": true,
        });
        let tool = Resource::<Tool>::new("", "ci", serde_json::from_value(spec).unwrap());
        let finding = json!({ "rule": "own-login", "message": "it is", "remedy": "do" });
        let view = ToolView {
            tool,
            findings: vec![serde_json::from_value(finding.clone()).unwrap()],
        };
        let document = view.document().unwrap();
        assert_eq!(document.status, json!({ "findings": [finding] }));
        let read = ToolView::read(document).unwrap();
        assert_eq!(read.findings, view.findings);
        assert_eq!(read.tool.document().unwrap().status, json!({}));
        let nothing = ToolView {
            findings: vec![],
            ..read
        };
        let document = nothing.document().unwrap();
        assert_eq!(document.status, json!({}));
        assert_eq!(ToolView::read(document).unwrap().findings, []);
    }
}
