//! How long teams and people take until they can work: what was seen of it, and when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::Kind;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What was seen of a team's way to its first deployments, and of its people's (C-68, G-77). Scope: the
/// platform; name: the team's. It is a record and not an index: who came when is known only as it is seen,
/// since sources tell who is in a group and not since when. It goes with the team.
#[derive(Debug)]
pub enum TeamOnboarding {}

impl Kind for TeamOnboarding {
    const KIND: &'static str = "TeamOnboarding";
    type Spec = ();
    type Status = Milestones;
}

/// What was seen, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Milestones {
    /// The team's uid: one that is made anew under the name begins anew.
    pub of: Uuid,
    /// The group whose members its people are.
    #[serde(default)]
    pub group: String,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// When all of its conditions were met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<Timestamp>,
    /// When a deployment of its, whoever's, succeeded for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
    /// The same in production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<Timestamp>,
    /// Whether a deployment succeeded of which nobody kept where: whether that was in production is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub role_unknown: bool,
    /// Who is in it, by subject. Whoever leaves is taken out.
    #[serde(default)]
    pub people: BTreeMap<String, Newcomer>,
    /// Up to where in the log the team's deployments were counted.
    #[serde(default)]
    pub read_to: i64,
    /// The end of the log when who is in it was last asked of its sources.
    #[serde(default)]
    pub people_to: i64,
    /// How far each of them that was asked has been heard, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heard: BTreeMap<String, Heard>,
}

/// How far a source has been heard of who is in a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// The end of the log when it last said who is in it; of one that has not yet, as far as nothing is missed.
    pub to: i64,
    /// Whether it has said that ever. Of one that has not, whoever it names first may have been there for long.
    pub answered: bool,
}

/// One of a team's people, from when they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Newcomer {
    /// When they came; none: before it was kept, or while their source could not say who is in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Timestamp>,
    /// How that is known.
    pub by: JoinedBy,
    /// The place in the log after which what they do is counted.
    pub after: i64,
    /// When they had the team's rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Timestamp>,
    /// When they next logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Timestamp>,
    /// When a deployment of theirs in this team succeeded for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Timestamp>,
}

impl Newcomer {
    /// Whether a login of theirs may tell something: that they have logged in, or have access.
    pub fn waits(&self) -> bool {
        self.login.is_none() || (self.access.is_none() && self.joined.is_some())
    }
}

/// How it is known when somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JoinedBy {
    /// They were there before that was kept, or before their source could say who is in the group: when they came is
    /// not known.
    Before,
    /// They were in its group when the team was onboarded: they came with it.
    Team,
    /// Somebody took them in by the platform.
    Member,
    /// They were found in its group at a source that lists it.
    Group,
    /// They logged in with it, from a source that lists nobody: that they had waited before is not known.
    Login,
}
