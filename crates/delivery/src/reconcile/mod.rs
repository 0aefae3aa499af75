//! The level-triggered work of delivery. Each reconciler takes no input but the store, is
//! idempotent, and may be killed at any point: what it makes has names and credentials that follow
//! from what is stored, so that making it again makes nothing twice.
//!
//! - [`Instances`] makes, heals, rotates and removes resource instances;
//! - [`Workloads`] hands workloads to their engine, lets new releases take over, and removes;
//! - [`Deployments`] watches over both until a deployment has succeeded, or returns to the last good;
//! - [`Environments`] ends environments when their time is over or somebody asks.

mod deployments;
mod drain;
mod environments;
mod instances;
mod workloads;

use std::time::Duration;

pub use deployments::Deployments;
pub use environments::Environments;
pub use instances::Instances;
pub use workloads::Workloads;

/// How long to wait before try `attempts` + 1: 200 ms doubling to 30 s, and never more, so that what
/// waits for a server heals within half a minute of its return.
fn back_off(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(30);
    FIRST
        .saturating_mul(2u32.saturating_pow(attempts.min(10)))
        .min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_half_a_minute() {
        assert_eq!(back_off(0), Duration::from_millis(200));
        assert_eq!(back_off(1), Duration::from_millis(400));
        assert_eq!(back_off(9), Duration::from_secs(30));
        assert_eq!(back_off(u32::MAX), Duration::from_secs(30));
    }
}
