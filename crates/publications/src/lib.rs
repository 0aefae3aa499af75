//! Events from outside: what a CI, a scanner or a team's own service says has happened, as CloudEvents 1.0.
//!
//! The rooms are the house's own: [`model`] (what an event from outside may say), [`service`] (who may
//! publish, and how much), [`http`] (the route). There is nothing to reconcile: what is published is in the
//! log, and goes out as all else does. `docs/events.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod http;
pub mod model;
mod rate;
pub mod service;

pub use service::{Counts, Publications};
