//! What may be left on servers of resources that somebody gave up.

use std::fmt;

use jiff::Timestamp;
use kernel::{Kind, Name};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::NodeId;

/// What a provisioner could not remove, and an operator gave up: it may still be there. Kept until
/// somebody has seen to it. Scope: the platform; name: [`remnant_name`].
#[derive(Debug)]
pub enum Remnant {}

impl Kind for Remnant {
    const KIND: &'static str = "Remnant";
    type Spec = RemnantSpec;
    type Status = RemnantStatus;

    fn noun() -> String {
        "remnant".into()
    }

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath get remnants".into())
    }
}

/// What may be left, and where to look for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemnantSpec {
    /// The environment that it was in.
    pub environment: String,
    /// The team that it belonged to.
    pub team: String,
    /// What it was in the graph.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// Whether it held data.
    pub holds_data: bool,
    /// The uid that it had: names on servers are made of it.
    pub instance: Uuid,
    /// Who may have made something of it, each with the name on its server.
    pub left_by: Vec<LeftBy>,
    /// What it was, for people: `database tp_dev_notes_db on 127.0.0.1:5432`. Empty: it was never made
    /// whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Why it could not be removed, in the server's own words.
    pub message: String,
    /// Who gave it up.
    pub given_up_by: String,
    /// When.
    #[schema(value_type = String)]
    pub given_up: Timestamp,
}

/// A provisioner, and what its server may still have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeftBy {
    /// The provisioner.
    pub provisioner: String,
    /// The name by which its server lists the thing; none where it has none, or where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_as: Option<String>,
}

impl fmt::Display for LeftBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.provisioner)?;
        match &self.listed_as {
            Some(listed_as) => write!(f, " {listed_as}"),
            None => Ok(()),
        }
    }
}

/// Nothing observes a remnant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RemnantStatus {}

/// The name of what is left of the instance `name` with this uid: two of one name are told apart.
pub fn remnant_name(name: &str, uid: Uuid) -> String {
    let uid = uid.simple().to_string();
    let tail = &uid[uid.len() - 8..];
    let mut short = name.to_owned();
    // Names are ASCII.
    short.truncate(Name::MAX - 1 - tail.len());
    format!("{}-{tail}", short.trim_end_matches('-'))
}
