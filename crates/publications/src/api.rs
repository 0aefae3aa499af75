//! What is sent to the route, and what it answers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::{Outcome, Published};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An event as its publisher sends it: CloudEvents 1.0 in its JSON format. Where it happened, what, and
/// whether it passed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: String,
    /// Unique with `source`, within the team: sent again, it is the same event.
    pub id: String,
    /// Who publishes it: a URI, or a reference to one. Never the platform's own, `/towpath/...`.
    pub source: String,
    /// What happened: a name under a domain of the publisher's, turned around, `com.example.scan.finished`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened; when the platform receives it, where that is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Timestamp>,
    /// The team whose event it is. Absent: the one team that the caller is in; of who operates the
    /// platform, the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Passed or failed, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Joins the events of one piece of work: a trigger and its result. Absent: the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub correlation: Option<Uuid>,
    /// More: any JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schema(value_type = Object)]
    pub data: Value,
    /// Where and what, more exactly (`environment`, `namespace`, `cluster`, `region`, `role`, `component`,
    /// `kind`, `version`), `links`, and the publisher's own: text, numbers and booleans.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, Value>,
}

/// What became of the events that were published, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublishedEvents {
    /// One for each.
    pub items: Vec<PublishedEvent>,
}

/// An event that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PublishedEvent {
    /// As it was published.
    pub source: String,
    /// As it was published.
    pub id: String,
    /// Whose it is; empty: the platform's.
    pub team: String,
    /// Its place in the log.
    pub seq: i64,
    /// The platform's own id of it, which no other event has.
    #[schema(value_type = String, format = Uuid)]
    pub entry: Uuid,
    /// The piece of work that it is of.
    #[schema(value_type = String, format = Uuid)]
    pub correlation: Uuid,
    /// Whether it was there already.
    pub duplicate: bool,
}

impl PublishedEvent {
    pub(crate) fn new(source: String, id: String, team: String, published: &Published) -> Self {
        Self {
            source,
            id,
            team,
            seq: published.seq,
            entry: published.entry,
            correlation: published.correlation,
            duplicate: !published.is_new,
        }
    }
}
