//! What happened: CloudEvents 1.0, append-only.
//!
//! The envelope says *where* it happened (`source`, `subject`), *what* happened (`type`) and,
//! optionally, whether it passed or failed (`outcome`). A trigger and its result are two events.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Caller, Cause, Key};

/// Whether what the event reports passed or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what it should.
    Pass,
    /// It did not.
    Fail,
}

/// An event that is yet to be written; the store gives it its `seq`.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What happened, reversed-DNS: `dev.towpath.deployment.requested`.
    pub kind: String,
    /// The resource that it is about.
    pub subject: Key,
    /// The team that it concerns; empty for the platform.
    pub team: String,
    /// Who caused it, by which means, why, and in which piece of work.
    pub cause: Cause,
    /// Passed or failed, where that can be said.
    pub outcome: Option<Outcome>,
    /// More, in the shape that the type documents. Never a secret.
    pub data: Value,
}

impl NewEvent {
    /// What the types of all our events begin with.
    pub const PREFIX: &str = "dev.towpath.";

    /// That `caller` did `what` (`deployment.requested`, without the prefix) to `subject`, which is
    /// `team`'s; empty: the platform's.
    pub fn caused(
        what: &str,
        subject: Key,
        team: &str,
        caller: &Caller,
        outcome: Option<Outcome>,
        data: Value,
    ) -> Self {
        Self {
            kind: format!("{}{what}", Self::PREFIX),
            subject,
            team: team.into(),
            cause: caller.cause(),
            outcome,
            data,
        }
    }
}

/// An event as it is kept and sent: the JSON format of CloudEvents 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// `1.0`.
    pub specversion: String,
    /// Unique with `source`, within a team. Of the platform's own events a UUID.
    pub id: String,
    /// Where it happened: `/towpath/<platform id>`, or what an event from outside says.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: `Kind/scope/name`; of an event from outside what its publisher says, where it says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// When it was committed; of an event from outside when it happened, where its publisher says.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// `application/json`.
    pub datacontenttype: String,
    /// Extension: place in the log; the cursor to resume from. Grows by commit order.
    pub seq: i64,
    /// Extension: the team that it concerns.
    pub team: String,
    /// Extension: joins the events of one piece of work.
    #[schema(value_type = String, format = Uuid)]
    pub correlation: Uuid,
    /// Extension: who caused it.
    pub actor: String,
    /// Extension: by which means they came: `login:ID` (a person's session), `browser`, `key:ID` (of a
    /// service account), `trust:NAME` (a workload trust), `admin-token`, `platform`, or `nothing` that
    /// was good. Absent of what happened before the platform kept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// Extension: why, in the words of whoever caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Extension: passed or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Extension, of an event from outside alone: the platform's own id of it, which no other event has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub entry: Option<Uuid>,
    /// Extension, of an event from outside alone: when it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub received: Option<Timestamp>,
    /// More, in the shape that the type documents.
    #[schema(value_type = Object)]
    pub data: Value,
    /// What else an event from outside says of itself: where and what (`environment`, `cluster`, `region`,
    /// `role`, `component`, `kind`, `version`), `links`, and its publisher's own.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, Value>,
}

impl Event {
    /// What the types of the events begin with that the store makes of every write of a resource:
    /// see [`crate::Change`].
    pub const RESOURCE: &str = "dev.towpath.resource.";

    /// Whether somebody published it: it tells nothing of the platform's own resources.
    pub fn is_from_outside(&self) -> bool {
        self.received.is_some()
    }

    /// The platform's own id of it, which no other event has.
    pub fn entry(&self) -> Uuid {
        let own = || self.id.parse().unwrap_or_default();
        self.entry.unwrap_or_else(own)
    }

    /// When it was committed, whenever it happened.
    pub fn committed(&self) -> Timestamp {
        self.received.unwrap_or(self.time)
    }

    /// The resource that it is about: the subject, taken apart. None of what came from outside: whatever
    /// that calls its subject, nothing here has changed.
    pub fn subject_key(&self) -> Option<Key> {
        if self.is_from_outside() {
            return None;
        }
        let (kind, rest) = self.subject.split_once('/')?;
        let (scope, name) = rest.split_once('/').unwrap_or(("", rest));
        Some(Key {
            kind: kind.into(),
            scope: scope.into(),
            name: name.into(),
        })
    }
}

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Types that begin with this.
    pub type_prefix: Option<String>,
    /// Types that begin with this, as they are or without [`NewEvent::PREFIX`]: as people write them.
    pub type_beginning: Option<String>,
    /// Subjects that are this, or begin with this and a `/`.
    pub subject: Option<String>,
    /// Of one piece of work.
    pub correlation: Option<Uuid>,
    /// Of one team.
    pub team: Option<String>,
    /// Caused by this one.
    pub actor: Option<String>,
    /// Of one of these teams.
    pub teams: Option<Vec<String>>,
    /// No further than this place in the log.
    pub upto: Option<i64>,
}

impl EventFilter {
    /// Whether it lets `event` through.
    pub fn matches(&self, event: &Event) -> bool {
        let about = |subject: &String| {
            event
                .subject
                .strip_prefix(subject.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let prefix = |prefix: &String| event.kind.starts_with(prefix.as_str());
        let beginning = |text: &String| {
            let short = event.kind.strip_prefix(NewEvent::PREFIX);
            [Some(event.kind.as_str()), short]
                .into_iter()
                .flatten()
                .any(|kind| kind.starts_with(text.as_str()))
        };
        self.type_prefix.as_ref().is_none_or(prefix)
            && self.type_beginning.as_ref().is_none_or(beginning)
            && self.subject.as_ref().is_none_or(about)
            && self.correlation.is_none_or(|id| event.correlation == id)
            && self.team.as_ref().is_none_or(|team| event.team == *team)
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| event.actor == *actor)
            && self
                .teams
                .as_ref()
                .is_none_or(|teams| teams.contains(&event.team))
            && self.upto.is_none_or(|upto| event.seq <= upto)
    }
}
