//! Integrations: other tools that are kept in step with teams.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::{Kind, Resource};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Team, TeamType};

/// A tool that is kept in step with the teams. Scope: the platform. Its credential is sealed beside it.
#[derive(Debug)]
pub enum Integration {}

impl Kind for Integration {
    const KIND: &'static str = "Integration";
    type Spec = IntegrationSpec;
    type Status = ();

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath integration list".into())
    }
}

impl Integration {
    /// The name of its sealed credential.
    pub const CREDENTIAL: &str = "credential";
}

/// What an integration should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrationSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What speaks to the tool: `github`, `jira`, `http`.
    #[serde(rename = "type")]
    pub tool: String,
    /// What that needs to know, in its own shape.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Which teams.
    #[serde(default)]
    pub teams: TeamSelector,
    /// Whether the tool is kept in step. Somebody else may do it: `team.sync` tells them when.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// Which teams: those that are named, of those of these types. All where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamSelector {
    /// These; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Of these types; none: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<TeamType>,
}

impl TeamSelector {
    /// Whether `team` is one of them.
    pub fn selects(&self, team: &Resource<Team>) -> bool {
        let named = self.names.is_empty() || self.names.contains(&team.meta.name);
        named && (self.types.is_empty() || self.types.contains(&team.spec.kind))
    }
}

/// How far one tool is with one team. Scope: the team; name: the integration's.
#[derive(Debug)]
pub enum IntegrationState {}

impl Kind for IntegrationState {
    const KIND: &'static str = "IntegrationState";
    type Spec = ();
    type Status = IntegrationStatus;
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nobody has looked yet.
    #[default]
    New,
    /// The tool is as it should be.
    InStep,
    /// It is not, and could not be brought there.
    OutOfStep,
    /// It could not be asked: nothing is done on its silence.
    Unknown,
    /// It is not kept in step at present. What is ours there is known, for when it is taken up again.
    Resting,
}

/// What the log says of a difference that is not gone yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Digest of what differed.
    pub differences: String,
    /// Whether the log says, too, that all of it was mended.
    pub mended: bool,
}

/// What at a tool stands for the team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// Its address there.
    pub at: String,
    /// Why it is ours.
    pub origin: Origin,
}

/// Why something at a tool is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was not there, and was about to be made: if it is there now, it was.
    Making,
    /// It was made from here.
    Made,
    /// It was there, and the configuration said to take it over.
    Adopted,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationStatus {
    /// What was found.
    #[serde(default)]
    pub step: Step,
    /// Why, where it is not in step.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Digest of what was wanted when it was last in step: what differs from then on is drift.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wanted: String,
    /// What differed when that was told last; none since it is in step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// What at the tool is ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<Holding>,
    /// The generation of the team then.
    #[serde(default)]
    pub generation: i64,
    /// When somebody looked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub looked: Option<Timestamp>,
    /// What the team keeps there against the platform's rules, for people to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
    /// The accounts that the team's people have there, by subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accounts: BTreeMap<String, String>,
    /// How often drift was found.
    #[serde(default)]
    pub drifts: u32,
}

impl IntegrationStatus {
    /// The same once the tool is not kept in step any more; none where nothing there is ours. Of what was
    /// about to be made nobody knows whether it was: by the time of the next look somebody else may have
    /// made it.
    pub(crate) fn rested(&self) -> Option<Self> {
        let holds = self.holds.clone();
        let holds = holds.filter(|held| held.origin != Origin::Making)?;
        Some(Self {
            step: Step::Resting,
            holds: Some(holds),
            looked: self.looked,
            drifts: self.drifts,
            accounts: self.accounts.clone(),
            ..Self::default()
        })
    }
}

impl IntegrationState {
    /// The label that says which integration it is of.
    pub const INTEGRATION: &str = "integration";
    /// The label of those that are not in step, so that they are found without reading those that are.
    pub const FAILING: &str = "failing";
    /// The label of those that say what is there against the rules.
    pub const VIOLATING: &str = "violating";
    /// What such a label says.
    pub const YES: &str = "yes";

    /// Has the labels say what the status does; says whether they did not. Whoever writes a status marks it, and
    /// where that is so writes the labels with it.
    pub fn mark(state: &mut Resource<Self>) -> bool {
        let is_failing = matches!(state.status.step, Step::OutOfStep | Step::Unknown);
        let is_violating =
            state.status.step != Step::Resting && !state.status.violations.is_empty();
        let before = state.meta.labels.clone();
        for (label, is_so) in [(Self::FAILING, is_failing), (Self::VIOLATING, is_violating)] {
            if is_so {
                state.meta.labels.insert(label.into(), Self::YES.into());
            } else {
                state.meta.labels.remove(label);
            }
        }
        state.meta.labels != before
    }
}
