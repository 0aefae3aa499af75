//! What changes an environment, and what it says of its pins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `PATCH environments/{env}`: what is given changes; all else stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentChange {
    /// The role: for what is protected at once, for definitions with the next deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// When everything in it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Labels that it has from now on; `null` removes one. The others stay, as in a JSON Merge Patch (RFC 7396).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
}

/// When an environment ends: everything in it is removed then, data too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// In so many seconds from now.
    InSeconds(u64),
    /// Not by itself.
    Never,
}

/// The query of `DELETE environments/{env}/pins`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PinQuery {
    /// Only the pins of these resource types, separated by commas; all where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
}

impl PinQuery {
    /// The types, taken apart.
    pub fn types(&self) -> Vec<&str> {
        let all = self.types.iter().flat_map(|types| types.split(','));
        all.map(str::trim).filter(|one| !one.is_empty()).collect()
    }
}

/// A definition that holds in a clone at the revision that its source had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinSummary {
    /// The definition.
    pub definition: String,
    /// The resource type that it meets.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The revision that holds.
    pub revision: u64,
    /// The newest one elsewhere; none where the definition has been deleted since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<u64>,
}
