//! What the HTTP API of the catalog takes and gives, beside the kits themselves.

use serde::{Deserialize, Serialize};

/// `POST starter-kits/{kit}/repositories`: what the repository is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRepository {
    /// The workload's name: a DNS label.
    pub name: String,
    /// The options that are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// The team whose workload it will be. Where it is not given: the caller's only one, else `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

/// What a kit makes of that. The platform keeps none of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// The workload's name.
    pub name: String,
    /// The team.
    pub team: String,
    /// The files.
    pub files: Vec<RepositoryFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryFile {
    /// Where it goes, below the repository.
    pub path: String,
    /// What is in it.
    pub content: String,
    /// Whether it can be run.
    #[serde(default)]
    pub executable: bool,
}
