//! How much each may publish: a bucket for each team, that fills again as time goes by.
//!
//! What is in the log is there for ever, and everybody who follows it is told: one publisher that runs wild
//! must not be everybody's flood, and one that never rests must not fill the store. Each replica counts by
//! itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a team may publish in the long run: plain events in a second. Far above what pipelines and scanners
/// of one team tell of.
pub(crate) const STEADY: f64 = 10.0;
/// What it may publish at once: the largest batch of the largest events, and some more.
pub(crate) const AT_ONCE: f64 = 2000.0;
/// The bytes that it may publish in a day: what the store grows by at the most.
pub(crate) const DAILY: usize = 64 * 1024 * 1024;
/// How long a day is. It begins with the first event after the one before has ended.
const DAY: Duration = Duration::from_hours(24);
/// A large event is as many as it has parts of this many bytes.
const PART: usize = 4 * 1024;

/// What is left to each, by team.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    /// Bytes of its day.
    kept: usize,
    /// When that day began.
    day: Instant,
}

/// What somebody asks to publish.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Load {
    weight: f64,
    bytes: usize,
}

impl Load {
    /// An event of so many bytes beside all else.
    pub(crate) fn add(&mut self, size: usize) {
        self.weight += weight(size);
        self.bytes += size;
    }
}

/// What was taken for a request. All of it is given back where this is dropped: nothing has come of the request
/// then, and whoever sends it again, through an outage of the store, say, is not held up for that.
#[derive(Debug)]
pub(crate) struct Taken {
    rates: Arc<Rates>,
    loads: Vec<(String, Load)>,
}

impl Taken {
    /// Nothing yet.
    pub(crate) fn nothing(rates: Arc<Rates>) -> Self {
        let loads = Vec::new();
        Self { rates, loads }
    }

    /// Takes `load` of `team` beside all else; fails as [`Rates::take`] does.
    pub(crate) fn add(&mut self, team: String, load: Load) -> Result<(), Wait> {
        self.rates.take(&team, load)?;
        self.loads.push((team, load));
        Ok(())
    }

    /// It stays taken, but for the bytes of the day of those events that are not kept, by team and size: they
    /// were there before, or are refused, and to ask for them counts all the same.
    pub(crate) fn settle<'e>(mut self, not_kept: impl Iterator<Item = (&'e str, usize)>) {
        self.loads.clear();
        for (team, bytes) in not_kept {
            let weight = 0.0;
            self.rates.give_back(team, Load { weight, bytes });
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (team, load) in &self.loads {
            self.rates.give_back(team, *load);
        }
    }
}

/// Why a team has to wait, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It is too fast.
    Rate(Duration),
    /// It has had its bytes of the day.
    Day(Duration),
}

/// What an event of so many bytes counts.
fn weight(size: usize) -> f64 {
    u32::try_from(1 + size / PART).map_or(AT_ONCE, f64::from)
}

impl Rates {
    /// Takes `load` from what is left to `team`; else says when there is so much.
    pub(crate) fn take(&self, team: &str, load: Load) -> Result<(), Wait> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Who is full again is as if they were not there.
        all.retain(|_, bucket| bucket.left_at(now) < AT_ONCE || !bucket.is_over(now));
        let bucket = all.entry(team.to_owned()).or_insert(Bucket {
            left: AT_ONCE,
            at: now,
            kept: 0,
            day: now,
        });
        if bucket.is_over(now) {
            (bucket.kept, bucket.day) = (0, now);
        }
        bucket.left = bucket.left_at(now);
        bucket.at = now;
        if DAILY - bucket.kept < load.bytes {
            return Err(Wait::Day(DAY.saturating_sub(now - bucket.day)));
        }
        if bucket.left < load.weight {
            let wait = (load.weight - bucket.left) / STEADY;
            return Err(Wait::Rate(Duration::from_secs_f64(wait)));
        }
        bucket.left -= load.weight;
        bucket.kept += load.bytes;
        Ok(())
    }

    /// Gives back what was taken.
    fn give_back(&self, team: &str, load: Load) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = all.get_mut(team) {
            bucket.left = (bucket.left + load.weight).min(AT_ONCE);
            bucket.kept = bucket.kept.saturating_sub(load.bytes);
        }
    }
}

impl Bucket {
    fn left_at(&self, now: Instant) -> f64 {
        let filled = (now - self.at).as_secs_f64() * STEADY;
        (self.left + filled).min(AT_ONCE)
    }

    fn is_over(&self, now: Instant) -> bool {
        now - self.day >= DAY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(weight: f64) -> Load {
        Load { weight, bytes: 0 }
    }

    fn large(bytes: usize) -> Load {
        Load { weight: 1.0, bytes }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_comes_back_with_time() {
        let rates = Rates::default();
        let half = Wait::Rate(Duration::from_millis(500));
        assert_eq!(rates.take("payments", plain(AT_ONCE)), Ok(()));
        assert_eq!(rates.take("payments", plain(5.0)), Err(half));
        assert_eq!(rates.take("shop", plain(5.0)), Ok(()));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(rates.take("payments", plain(5.0)), Ok(()));
        assert!(rates.take("payments", plain(1.0)).is_err());
        tokio::time::advance(DAY).await;
        assert_eq!(rates.take("payments", plain(AT_ONCE)), Ok(()));
        assert_eq!(rates.0.lock().unwrap().len(), 1);
        rates.give_back("payments", plain(5.0));
        assert_eq!(rates.take("payments", plain(5.0)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_has_so_many_bytes_and_then_another_begins() {
        let rates = Rates::default();
        assert_eq!(rates.take("payments", large(DAILY - 10)), Ok(()));
        // Rested or not, the day goes on.
        tokio::time::advance(Duration::from_hours(23)).await;
        assert_eq!(rates.take("shop", large(DAILY)), Ok(()));
        let hour = || Err(Wait::Day(Duration::from_hours(1)));
        assert_eq!(rates.take("payments", large(11)), hour());
        assert_eq!(rates.take("payments", large(10)), Ok(()));
        assert_eq!(rates.take("payments", large(1)), hour());
        rates.give_back("payments", large(1));
        assert_eq!(rates.take("payments", large(1)), Ok(()));
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(rates.take("payments", large(DAILY)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nothing_has_come_of_is_given_back() {
        let rates = Arc::new(Rates::default());
        let all = || Load {
            weight: AT_ONCE,
            bytes: DAILY,
        };
        let taken = |team: &str| {
            let mut taken = Taken::nothing(rates.clone());
            taken.add(team.to_owned(), all()).map(|()| taken)
        };
        drop(taken("payments").unwrap());
        let again = taken("payments").unwrap();
        // Who is not alone held up leaves to the others what is theirs.
        let mut both = taken("shop").unwrap();
        assert!(both.add("payments".into(), plain(1.0)).is_err());
        drop(both);
        drop(taken("shop").unwrap());
        // What was there before counts as asked for, and not as kept.
        again.settle([("payments", DAILY)].into_iter());
        assert!(matches!(taken("payments"), Err(Wait::Rate(_))));
        tokio::time::advance(Duration::from_hours(1)).await;
        taken("payments").unwrap().settle(std::iter::empty());
        assert!(matches!(taken("payments"), Err(Wait::Day(_))));
    }

    #[test]
    fn the_largest_batch_of_the_largest_events_is_taken() {
        use crate::model::{LARGEST, MOST};
        let most = u32::try_from(MOST).unwrap();
        assert!(weight(LARGEST) * f64::from(most) <= AT_ONCE);
        const { assert!(LARGEST * MOST <= DAILY) };
    }
}
