//! Who of several replicas may reconcile.
//!
//! A lease belongs to one holder until it expires, by the clock of the database, and each time it is
//! taken its epoch counts up, also where the same holder takes it again: one epoch is one time of holding
//! it without a break. A [`Fence`] names the epoch; a commit that carries it is refused once the epoch has
//! moved on, however late the former holder notices.

use std::time::Duration;

/// Proof of a lease that a [`crate::Change`] can carry: the commit fails once the lease was taken
/// again, by whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub lease: String,
    /// Counts up each time that the lease is taken, and each time that it is given up.
    pub epoch: i64,
}

/// How long a lease lasts without renewal: what a killed replica costs at the most.
pub const LEASE_TTL: Duration = Duration::from_secs(10);
