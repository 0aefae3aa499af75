//! Teams: which teams are the platform's customers, who is in them, and the rooms that they have.
//!
//! The registry of customer teams is ours; membership is for each team's source to say. The rooms are
//! the house's own: [`model`] (kinds), [`service`] (use cases), [`http`] (routes), [`reconcile`]
//! (onboarding, sync, offboarding); beside them [`Registry`], which says at each call which teams a
//! caller has, and [`port`], what others do for teams. `docs/teams.md` says how it is used.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod api;
pub mod http;
pub mod model;
pub mod port;
pub mod reconcile;
pub mod registry;
pub mod service;
pub mod tool;

pub use registry::{Registered, Registry};
pub use service::{Settings, Teams};
