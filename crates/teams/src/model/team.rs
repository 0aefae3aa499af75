//! Teams: the registry of who the platform's customers are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Condition, NamespaceSpec, Quota};

/// A team that is a customer of the platform. Scope: the platform. Who is in it is for the team's
/// source to say; that it is a customer, and what it has here, for this.
#[derive(Debug)]
pub enum Team {}

impl Kind for Team {
    const KIND: &'static str = "Team";
    type Spec = TeamSpec;
    type Status = TeamStatus;

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath team list".into())
    }
}

/// What a team should be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TeamSpec {
    /// The group at the source whose members the team's are: `payments`, `acme/payments`.
    pub group: String,
    /// The only source whose group counts: `local`, or an upstream's name. Without it, whichever
    /// source the platform knows people by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The domain that it answers for, and where that ends. Wanted of all teams but enabling ones, which work in
    /// others' domains.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boundary: String,
    /// Whom to ask: an address, a channel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    /// What sort of team it is.
    #[serde(default, rename = "type")]
    pub kind: TeamType,
    /// Subjects (`local:ada`) who may change the team, of those who are in its group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leads: Vec<String>,
    /// Environment roles of which the team has a namespace each.
    #[serde(default = "TeamSpec::default_environments")]
    pub environments: Vec<String>,
    /// What the team may take without asking anybody.
    #[serde(default)]
    pub allowance: Allowance,
    /// How it works with other teams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interactions: Vec<Interaction>,
    /// That it is a customer no longer, and what of it still goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offboarding: Option<Offboarding>,
}

impl TeamSpec {
    /// The roles of which every team has a namespace where neither it nor the roles themselves say otherwise.
    pub fn default_environments() -> Vec<String> {
        ["dev", "qa", "preview", "prod"].map(str::to_owned).to_vec()
    }

    /// Whether people of this source may be in it.
    pub fn counts(&self, source: &str) -> bool {
        self.source.as_deref().is_none_or(|only| only == source)
    }

    /// What is not said of the team that should be, and what says it.
    pub fn undeclared(&self) -> Vec<String> {
        let open = self.interactions.iter().filter_map(|one| {
            let lacks = one.lacks()?;
            Some(format!(
                "the interaction with `{}` is facilitating and {lacks}: say `expires` and `skill`",
                one.with
            ))
        });
        let bounded = self.kind == TeamType::Enabling || !self.boundary.trim().is_empty();
        let boundary = (!bounded)
            .then(|| "which domain it answers for is not said: say `boundary`".to_owned());
        open.chain(boundary).collect()
    }

    /// Whether it is a customer.
    pub fn is_registered(&self) -> bool {
        self.offboarding.is_none()
    }
}

/// The four kinds of Team Topologies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TeamType {
    /// Works along one stream of the business.
    #[default]
    StreamAligned,
    /// Offers what other teams build on.
    Platform,
    /// Helps other teams to what they cannot do yet.
    Enabling,
    /// Has what needs specialists.
    ComplicatedSubsystem,
}

/// What a team may take by itself. Those who operate the platform say how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allowance {
    /// Namespaces beside the standard ones.
    #[serde(default = "Allowance::own_namespaces")]
    pub namespaces: u32,
    /// The quotas of all its namespaces together.
    #[serde(default = "Allowance::ample")]
    pub quota: Quota,
    /// What the workloads of all its environments beside its namespaces may ask for together.
    #[serde(default = "Allowance::ample")]
    pub environments: Quota,
    /// Workloads, in its namespaces and all its other environments together.
    // Written only where it was changed: a replica of a version that does not know it goes on reading teams.
    #[serde(
        default = "Allowance::most_workloads",
        skip_serializing_if = "Allowance::is_most_workloads"
    )]
    pub workloads: u32,
}

impl Allowance {
    /// How many namespaces of its own a team may have where nothing is said.
    fn own_namespaces() -> u32 {
        Self::default().namespaces
    }

    /// What namespaces may ask for where nothing is said, and environments beside them: as much.
    fn ample() -> Quota {
        Self::default().quota
    }

    /// How many workloads there may be where nothing is said.
    fn most_workloads() -> u32 {
        Self::default().workloads
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_most_workloads(workloads: &u32) -> bool {
        *workloads == Self::most_workloads()
    }
}

impl Default for Allowance {
    /// Three more namespaces; quotas of ten namespaces' beginnings; more workloads than a team looks after.
    fn default() -> Self {
        Self {
            namespaces: 3,
            quota: Quota::of(20, 20, 100, 200),
            environments: Quota::of(20, 20, 100, 200),
            workloads: 200,
        }
    }
}

/// How two teams work together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Interaction {
    /// The other team.
    pub with: String,
    /// How.
    pub mode: InteractionMode,
    /// What for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// What the other team can do itself when it is over: of one that is facilitating.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub skill: String,
    /// When it ends; without it, when somebody takes it out. One that is facilitating ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

impl Interaction {
    /// What is not said although its mode wants it: an engagement that upskills is for a time, and for
    /// something. None: nothing.
    pub fn lacks(&self) -> Option<&'static str> {
        if self.mode != InteractionMode::Facilitating {
            return None;
        }
        match (self.expires.is_some(), self.skill.trim().is_empty()) {
            (true, false) => None,
            (true, true) => Some("says no skill"),
            (false, false) => Some("has no end"),
            (false, true) => Some("has no end and says no skill"),
        }
    }
}

/// The three ways in which teams work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InteractionMode {
    /// They plan and learn together.
    Collaboration,
    /// One uses what the other offers, by its interface alone.
    XAsAService,
    /// One helps the other to do it itself.
    Facilitating,
}

/// The end of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offboarding {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Who said so.
    pub by: String,
    /// Whether what is protected goes too.
    #[serde(default)]
    pub include_protected: bool,
}

/// What a team is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TeamStatus {
    /// `onboarding`; `ready` from when it was onboarded on, whatever is not so at the moment; or `offboarded`
    /// with something left.
    #[serde(default)]
    pub phase: String,
    /// Since when it is being onboarded, or was: from when it was taken in, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub began: Option<Timestamp>,
    /// When it was onboarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub onboarded: Option<Timestamp>,
    /// What is so, and what is waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Whether it helps another team without an end or an aim, which was told once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open_ended: bool,
    /// What of an offboarded team remains, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
    /// What of the allowance is taken.
    #[serde(default)]
    pub taken: Taken,
    /// The namespaces to which something deploys: recorded before that is drawn, and until it has ended,
    /// which is no later than the namespace. One made anew under the name begins with keys of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub credentials: BTreeMap<String, Uuid>,
    /// The last `team.sync`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<Synced>,
    /// Where the group has been found before: found nowhere any more, it was renamed or removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_seen_at: Vec<String>,
    /// Which group it is at the sources that give groups lasting ids, by source: it stays that one, whatever
    /// it is called there later.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, BoundGroup>,
}

/// A group at its source, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundGroup {
    /// Its id there.
    pub id: String,
    /// What it was called there when it was last seen.
    pub name: String,
    /// The team's group that it was found for: a team that names another is bound anew.
    pub of: String,
}

impl TeamStatus {
    /// The phase of a team that is a customer no longer.
    pub const OFFBOARDED: &str = "offboarded";

    /// What a team with this group is bound to.
    pub fn bound_to(&self, group: &str) -> BTreeMap<String, BoundGroup> {
        let bound = self.groups.iter().filter(|(_, one)| one.of == group);
        bound
            .map(|(source, one)| (source.clone(), one.clone()))
            .collect()
    }

    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|one| one.kind == kind)
    }
}

/// What of a team's allowance is taken. Written with each namespace that takes of it, so that of two
/// who take the last at once one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Namespaces beside the standard ones.
    pub namespaces: u32,
    /// The quotas of all namespaces together.
    pub quota: Quota,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            namespaces: 0,
            quota: Quota::NONE,
        }
    }
}

impl Taken {
    /// What these namespaces of a team with a namespace for each of these roles take together. One whose role
    /// is none of them any more is a standard one no longer.
    pub fn by<'a>(
        environments: &[String],
        namespaces: impl IntoIterator<Item = &'a NamespaceSpec>,
    ) -> Self {
        let is_standard = |one: &NamespaceSpec| one.standard && environments.contains(&one.role);
        let none = Self::default();
        namespaces.into_iter().fold(none, |sum, one| Self {
            namespaces: sum.namespaces + u32::from(!is_standard(one)),
            quota: sum.quota.plus(&one.quota),
        })
    }
}

/// What was last told of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Synced {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The generation of the team then.
    pub generation: i64,
    /// Digest of who was in it then: tells a change, and nobody's name.
    pub members: String,
}

/// Whether a group may be named by a team: those of a cluster's own are nobody's.
pub fn may_be_group(group: &str) -> bool {
    let system = group.trim().to_lowercase().starts_with("system:");
    !group.trim().is_empty()
        && !system
        && group.len() <= 256
        && !group.chars().any(char::is_control)
}
