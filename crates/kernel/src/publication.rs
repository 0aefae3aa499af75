//! What somebody outside says has happened: a CI, a scanner, a team's own service.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{Cause, Event, Outcome, Target};

/// An event from outside that is yet to be written. It keeps its publisher's source, id and time. Whoever
/// makes one has checked it: the store takes it as it is.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where it happened, in its publisher's words; never the platform's own source.
    pub source: String,
    /// Unique with `source`, within the team.
    pub id: String,
    /// What happened, reversed-DNS; never one of the platform's own types.
    pub kind: String,
    /// What it is about; may be empty.
    pub subject: String,
    /// The team whose event it is; empty: the platform's.
    pub team: String,
    /// Who publishes it, by which means, why, and in which piece of work.
    pub cause: Cause,
    /// When it happened, where that is said.
    pub happened: Option<Timestamp>,
    /// Passed or failed, where that can be said.
    pub outcome: Option<Outcome>,
    /// The attributes beside these, as they are sent on.
    pub attributes: BTreeMap<String, Value>,
    /// More, as the publisher says it.
    pub data: Value,
    /// What a team of this name published before then is a former team's, and no reason to take this one
    /// for published.
    pub since: Option<Timestamp>,
}

impl Publication {
    /// The attribute that says in which environment it happened.
    pub const ENVIRONMENT: &str = "environment";

    /// What an event from outside is to policy: it is in an environment where it says so, and about no
    /// resource, whatever it calls its subject.
    pub fn target<'a>(team: &'a str, environment: &'a str) -> Target<'a> {
        Target {
            kind: "Event",
            scope: environment,
            team,
            ..Target::default()
        }
    }

    /// The same of one that is in the log.
    pub(crate) fn target_of(event: &Event) -> Target<'_> {
        let place = event.attributes.get(Self::ENVIRONMENT);
        let place = place.and_then(Value::as_str).unwrap_or_default();
        Self::target(&event.team, place)
    }
}

/// An event from outside that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its place.
    pub seq: i64,
    /// The platform's own id of it.
    pub entry: Uuid,
    /// The piece of work that it is of.
    pub correlation: Uuid,
    /// Whether it was written now; false where it was there before.
    pub is_new: bool,
}
