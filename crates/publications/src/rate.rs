//! How much each may publish: a bucket for each team, that fills again as time goes by.
//!
//! What is in the log is there for ever, and everybody who follows it is told: one publisher that runs wild
//! must not be everybody's flood. Each replica counts by itself.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a team may publish in the long run: plain events in a second. Far above what pipelines and scanners
/// of one team tell of.
pub(crate) const STEADY: f64 = 10.0;
/// What it may publish at once: the largest batch of the largest events, and some more.
pub(crate) const AT_ONCE: f64 = 2000.0;
/// A large event is as many as it has parts of this many bytes.
const PART: usize = 4 * 1024;

/// What is left to each, by team.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// What an event of so many bytes counts.
pub(crate) fn weight(size: usize) -> f64 {
    u32::try_from(1 + size / PART).map_or(AT_ONCE, f64::from)
}

impl Rates {
    /// Takes `weight` from what is left to `team`; else says when there is so much.
    pub(crate) fn take(&self, team: &str, weight: f64) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Who is full again is as if they were not there.
        all.retain(|_, bucket| bucket.left_at(now) < AT_ONCE);
        let bucket = all.entry(team.to_owned()).or_insert(Bucket {
            left: AT_ONCE,
            at: now,
        });
        bucket.left = bucket.left_at(now);
        bucket.at = now;
        if bucket.left < weight {
            return Err(Duration::from_secs_f64((weight - bucket.left) / STEADY));
        }
        bucket.left -= weight;
        Ok(())
    }
}

impl Bucket {
    fn left_at(&self, now: Instant) -> f64 {
        let filled = (now - self.at).as_secs_f64() * STEADY;
        (self.left + filled).min(AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_comes_back_with_time() {
        let rates = Rates::default();
        assert_eq!(rates.take("payments", AT_ONCE), Ok(()));
        assert_eq!(rates.take("payments", 5.0), Err(Duration::from_millis(500)));
        assert_eq!(rates.take("shop", 5.0), Ok(()));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(rates.take("payments", 5.0), Ok(()));
        assert!(rates.take("payments", 1.0).is_err());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(rates.take("payments", AT_ONCE), Ok(()));
        assert_eq!(rates.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_largest_batch_of_the_largest_events_is_taken() {
        use crate::model::{LARGEST, MOST};
        let most = u32::try_from(MOST).unwrap();
        assert!(weight(LARGEST) * f64::from(most) <= AT_ONCE);
    }
}
