//! Short-lived state that replicas share, and that nobody watches: a login under way, a counter of
//! failed attempts, a session.
//!
//! A record is no resource: it has no history and no event, and goes by itself when its time is
//! over. It is sealed, so that who reads the database learns nothing that opens a door. It is
//! written in a [`crate::Change`], together with whatever must be true with it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

/// A sort of record: declared by the domain that owns it.
pub trait Transient: Serialize + DeserializeOwned + Send + Sync {
    /// The sort's name, unique in the store: `device-grant`.
    const KIND: &'static str;

    /// What people call the record `name`: "the device grant". Many have names that tell people nothing, or that are
    /// nobody's to see.
    fn called(_name: &str) -> String {
        format!("the {}", Self::KIND.replace('-', " "))
    }
}

/// A record as it was read, or one that is yet to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T> {
    /// The name within its sort. What must stay secret is named by its digest.
    pub name: String,
    /// Another after each write; 0 before the first. A write fails where it is no longer the same.
    pub version: i64,
    /// When it is over. The store removes it some time after; until then who reads it checks.
    pub expires: Timestamp,
    /// What it says.
    pub value: T,
}

impl<T: Transient> Record<T> {
    /// A record that is yet to be written.
    pub fn new(name: impl Into<String>, expires: Timestamp, value: T) -> Self {
        Self {
            name: name.into(),
            version: 0,
            expires,
            value,
        }
    }
}

/// Where a line of decisions is, of those that are about one thing and each of which takes many resources for
/// what they are together: how many there are, that none names this one, that no other is the default.
///
/// It is read ([`crate::Store::serial`]) before what is decided by, and committed with the decision
/// ([`Change::after`](crate::Change::after)): of two who decide beside each other, on whichever replicas, one is
/// refused as overtaken, and decides anew ([`crate::anew`]).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "it holds nobody up until it is committed"]
pub struct Serial {
    pub(crate) line: &'static str,
    pub(crate) name: String,
    /// What people call it.
    pub(crate) called: String,
    /// The last decision's; 0 where none is known.
    pub(crate) version: i64,
}

impl Serial {
    /// How long a decision is known: longer than any takes from the reading to its commit.
    pub(crate) const KNOWN: Duration = Duration::from_mins(10);
}
