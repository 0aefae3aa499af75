//! What runs workloads: supervised processes and Docker containers.
//!
//! Both engines implement [`delivery::engine::Engine`]. What they share is here: [`supervisor`]
//! decides when a container starts, restarts and is ready; [`probe`] asks it. An engine brings the
//! [`supervisor::Runtime`], which knows how a container is started and how it ended.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

pub mod docker;
pub mod process;

mod blocking;
mod connection;
mod logs;
mod ports;
mod probe;
mod supervisor;
mod targets;
mod timing;
mod told;
mod turns;

pub use timing::Timing;
