//! What is sent to the routes, and what they answer beside resources.

use kernel::Document;
use serde::{Deserialize, Serialize};

use crate::{model::yes, pattern::Pattern};

/// What a subscription should be. It has no `Debug`: there may be a secret in it.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSubscription {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Types of events, with `dev.towpath.` before them or without: `deployment.succeeded`,
    /// `deployment.*`, `*`.
    #[schema(value_type = Vec<String>)]
    pub types: Vec<Pattern>,
    /// Where they are sent: an https address of the public internet, unless others are allowed.
    pub url: String,
    /// Whether they are sent. What happens meanwhile is sent afterwards.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The place in the log after which it begins: the newest event's where nothing is said. It stays
    /// as it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
    /// What its receiver verifies signatures with: `whsec_`, and 24 to 64 bytes in base64. Drawn where
    /// none is given, and answered once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A subscription that was written.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct WrittenSubscription {
    /// The subscription.
    #[serde(flatten)]
    pub document: Document,
    /// What its receiver verifies signatures with, where it was drawn now: it is not shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A secret that was drawn: it is not shown again.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
pub struct DrawnSecret {
    /// What the receiver verifies signatures with.
    pub secret: String,
}
