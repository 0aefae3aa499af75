//! What every Towpath domain builds on.
//!
//! A **resource** is what should be (`spec`) and what is (`status`). An **event** is what happened.
//! A **reconciler** closes the gap between the two. A change of a resource and its events are one
//! [`Change`], committed by the [`Store`] in one transaction, on SQLite and on Postgres alike.
//!
//! The kernel knows no domain: kinds are declared by the crates that own them, by [`Kind`].

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

mod applied;
pub mod authorization;
mod backoff;
pub mod bytes;
pub mod caller;
pub mod cause;
pub mod change;
pub mod clock;
mod contention;
pub mod document;
pub mod driver;
pub mod error;
pub mod event;
pub mod follower;
pub mod http;
pub mod labels;
pub mod lease;
pub mod name;
pub mod outbound;
mod private_file;
pub mod publication;
pub mod reconciler;
pub mod record;
pub mod resource;
pub mod sealer;
pub mod secret;
pub mod store;
pub mod suggest;
mod tally;
pub mod term;
mod turns;

pub use applied::{Applied, ApplyOutcome};
pub use authorization::{Action, Authorizer, Beginnings, Guard, Ruling, Surroundings, Target};
pub use backoff::Backoff;
pub use caller::{Caller, CallerKind};
pub use cause::{Cause, Means, Reason};
pub use change::Change;
pub use clock::Clock;
pub use contention::{Contended, anew, anew_counted};
pub use driver::{Driver, DriverHandle, QueueStats, Queues};
pub use error::{Error, ErrorKind, Location, Problem, Result};
pub use event::{Event, EventFilter, NewEvent, Outcome};
pub use follower::Follower;
pub use name::Name;
pub use outbound::Outbound;
pub use publication::{Publication, Published};
pub use reconciler::{Next, Reconciler};
pub use record::{Record, Serial, Transient};
pub use resource::{Document, Key, Kind, Meta, Page, Query, Resource};
pub use sealer::Sealer;
pub use secret::{Secret, SecretText};
pub use store::{Committed, SealedBy, Store};
pub use tally::Tallies;
pub use turns::{Line, Turn, Turns};
