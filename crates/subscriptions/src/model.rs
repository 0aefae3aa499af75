//! The kinds: who wants to be told of what, and what could not be told.

use jiff::Timestamp;
use kernel::{Kind, Resource};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::pattern::Pattern;

/// Somebody who wants to be told of events. Scope: the team whose events these are; empty for the whole
/// platform's.
#[derive(Debug)]
pub enum Subscription {}

impl Kind for Subscription {
    const KIND: &'static str = "Subscription";
    type Spec = SubscriptionSpec;
    type Status = SubscriptionStatus;

    fn listed_by(team: &str) -> Option<String> {
        Some(match team {
            "" => "towpath subscription list --platform".into(),
            team => format!("towpath subscription list --team {team}"),
        })
    }
}

/// What is wanted, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Types of events.
    pub types: Vec<Pattern>,
    /// Where they are sent.
    pub url: String,
    /// Whether they are sent. What happens meanwhile is sent afterwards.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The place in the log after which it begins; the newest event's when it was made, where nothing
    /// else was said.
    pub after: i64,
    /// Who made it. It is the team's, and goes on when they leave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// The uid of the team that it was made for: one of the same name that comes later is told nothing by
    /// it, and it tells nothing of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub owner: Option<Uuid>,
}

pub(crate) fn yes() -> bool {
    true
}

/// How it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionStatus {
    /// The place in the log up to which everything is delivered, or is a dead letter.
    #[serde(default)]
    pub cursor: i64,
    /// What was delivered last, within a minute or so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<Delivery>,
    /// Tries that failed since the last that did not.
    #[serde(default)]
    pub failures: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Dead letters that there are.
    #[serde(default)]
    pub dead_letters: usize,
    /// When the secret was drawn or given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub secret_since: Option<Timestamp>,
    /// The secret was drawn for a document and shown to nobody: its receiver cannot verify what it is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret_unseen: bool,
}

/// That an event was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The event's id.
    #[schema(value_type = String, format = Uuid)]
    pub event: Uuid,
}

/// That an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The event's id.
    #[schema(value_type = String, format = Uuid)]
    pub event: Uuid,
    /// Why.
    pub reason: String,
}

impl Subscription {
    /// The names of the sealed secrets: the one that is used, and the one before it.
    pub const SECRET: &str = "signing-secret";
    /// See [`Self::SECRET`].
    pub const FORMER_SECRET: &str = "former-signing-secret";

    /// The name of its cursor.
    pub fn consumer(uid: Uuid) -> String {
        format!("{CURSORS}{uid}")
    }
}

/// What the names of subscriptions' cursors begin with.
pub const CURSORS: &str = "subscription/";

/// An event that was not delivered, and is not tried any more until somebody says so. Scope: the
/// subscription's uid; name: the event's id.
#[derive(Debug)]
pub enum DeadLetter {}

impl Kind for DeadLetter {
    const KIND: &'static str = "DeadLetter";
    type Spec = DeadLetterSpec;
    type Status = DeadLetterStatus;
}

/// Which event. It is in the log, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterSpec {
    /// Its place in the log.
    pub seq: i64,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub subject: String,
}

/// How it was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterStatus {
    /// How often.
    pub attempts: u32,
    /// The last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Failure>,
}

/// A dead letter of `subscription`.
pub fn dead_letter(
    subscription: &Resource<Subscription>,
    event: Uuid,
    spec: DeadLetterSpec,
) -> Resource<DeadLetter> {
    let mut letter = Resource::new(subscription.meta.uid.to_string(), event.to_string(), spec);
    // The events of its writes are the team's, too.
    letter.meta.labels.clone_from(&subscription.meta.labels);
    letter
}
