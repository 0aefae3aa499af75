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
}
