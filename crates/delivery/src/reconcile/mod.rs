//! The level-triggered work of delivery. Each reconciler takes no input but the store, is
//! idempotent, and may be killed at any point: what it makes has names and credentials that follow
//! from what is stored, so that making it again makes nothing twice.
//!
//! - [`Instances`] makes, heals, rotates and removes resource instances;
//! - [`Workloads`] hands workloads to their engine, lets new releases take over, and removes;
//! - [`Deployments`] watches over both until a deployment has succeeded, or returns to the last good;
//! - [`Namespaces`] backs each namespace of a team by an environment, and counts what is asked of its
//!   quota;
//! - [`Environments`] ends environments when their time is over or somebody asks, and keeps their
//!   history to a length.

mod deployments;
mod drain;
mod environments;
mod instances;
mod last_lines;
mod namespaces;
mod workloads;

use std::time::Duration;

use kernel::Backoff;

pub use deployments::Deployments;
pub use environments::Environments;
pub use instances::Instances;
pub use namespaces::Namespaces;
pub use workloads::Workloads;

/// The waits of what is tried again: never more than half a minute, so that what waits for a server
/// heals within that of its return.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
