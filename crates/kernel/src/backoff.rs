//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Waits that double from the first to the longest, and stay there: what failed for a moment is made
/// good at once, and what stays away is not hammered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// From `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The longest wait.
    pub const fn longest(self) -> Duration {
        self.longest
    }

    /// The wait after so many failures in a row, counted from 1.
    pub fn after(self, failures: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// Between half of that wait and all of it, at random: who failed together do not try together.
    pub fn jittered(self, failures: u32) -> Duration {
        self.after(failures).mul_f64(jitter())
    }
}

/// A random factor between a half and one.
pub(crate) fn jitter() -> f64 {
    rand::random_range(0.5..=1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let waits: Vec<u128> = (0..=9).map(|n| backoff.after(n).as_millis()).collect();
        assert_eq!(
            waits,
            [200, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000]
        );
        assert_eq!(backoff.after(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn jittered_waits_differ_and_are_at_least_half_of_the_wait() {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        let waits: Vec<Duration> = (0..100).map(|_| backoff.jittered(3)).collect();
        let all = Duration::from_millis(400)..=Duration::from_millis(800);
        assert!(waits.iter().all(|wait| all.contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
