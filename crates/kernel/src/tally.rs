//! What happens again and again, told a few times: the first of a kind at once, the same again counted and
//! told together. A flood of it is no flood of events.
//!
//! ```text
//! first ──► told, count 1      again ... again ──► counted      quiet time over ──► told, count n
//! ```

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::Result;

/// How often it is looked whether a count is to be told.
const LOOK: Duration = Duration::from_mins(1);

/// How often each kind `K` happened since it was told last, with what is known of the last time. There are
/// as many tallies as kinds have happened within the quiet time, and no more: whoever counts bounds these.
#[derive(Debug)]
pub struct Tallies<K, L> {
    quiet: Duration,
    counted: Mutex<HashMap<K, Tally<L>>>,
    due: Notify,
}

#[derive(Debug)]
struct Tally<L> {
    /// Not told yet.
    count: u64,
    told: Option<Instant>,
    /// Of the last time; none since it was told.
    last: Option<L>,
}

impl<L> Tally<L> {
    fn is_quiet(&self, quiet: Duration) -> bool {
        self.told.is_some_and(|told| told.elapsed() < quiet)
    }

    /// What is not told yet, which is so from here on.
    fn take(&mut self) -> Option<(u64, L)> {
        let last = self.last.take()?;
        self.told = Some(Instant::now());
        Some((std::mem::take(&mut self.count), last))
    }
}

impl<K: Eq + Hash + Clone, L: Clone> Tallies<K, L> {
    /// What is told is not told again within `quiet`, and counted.
    pub fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            counted: Mutex::default(),
            due: Notify::new(),
        }
    }

    /// Counts one more. Gives what is to be told of it now, where it is not quiet: whoever cannot tell it
    /// gives it back by [`Tallies::untold`].
    #[must_use = "what is not told must be given back"]
    pub fn count(&self, kind: K, last: L) -> Option<(u64, L)> {
        let mut counted = self.counted();
        let tally = Self::add(&mut counted, kind, 1, last);
        (!tally.is_quiet(self.quiet)).then(|| tally.take())?
    }

    /// Counts one more, which [`Tallies::keep`] tells.
    pub fn leave(&self, kind: K, last: L) {
        let mut counted = self.counted();
        let tally = Self::add(&mut counted, kind, 1, last);
        if !tally.is_quiet(self.quiet) {
            self.due.notify_one();
        }
    }

    /// Takes back what could not be told: the next one of the kind is told at once, with it.
    pub fn untold(&self, kind: K, count: u64, last: L) {
        let mut counted = self.counted();
        let tally = counted.entry(kind).or_insert_with(Tally::none);
        tally.count += count;
        tally.told = None;
        // What has happened since is newer.
        tally.last.get_or_insert(last);
    }

    /// How many kinds are counted at present.
    pub fn kinds(&self, of: impl Fn(&K) -> bool) -> usize {
        let quiet = self.quiet;
        let mut counted = self.counted();
        counted.retain(|_, tally| tally.count > 0 || tally.is_quiet(quiet));
        counted.keys().filter(|kind| of(kind)).count()
    }

    /// Has `tell` told what is counted when its time comes, until `stop`; then the rest.
    pub async fn keep<F>(&self, stop: CancellationToken, tell: impl Fn(K, u64, L) -> F)
    where
        F: Future<Output = Result<()>>,
    {
        loop {
            let stopped = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = self.due.notified() => false,
                () = tokio::time::sleep(LOOK) => false,
            };
            for (kind, count, last) in self.take(stopped) {
                if let Err(error) = tell(kind.clone(), count, last.clone()).await {
                    let error = error.chain();
                    tracing::warn!(count, error, "what was counted is not kept yet");
                    self.untold(kind, count, last);
                }
            }
            if stopped {
                return;
            }
        }
    }

    /// What is to be told now; `all` that is not told yet, where nobody counts on.
    fn take(&self, all: bool) -> Vec<(K, u64, L)> {
        let quiet = self.quiet;
        let mut counted = self.counted();
        counted.retain(|_, tally| tally.count > 0 || tally.is_quiet(quiet));
        let due = counted
            .iter_mut()
            .filter(|(_, tally)| all || !tally.is_quiet(quiet));
        due.filter_map(|(kind, tally)| {
            let (count, last) = tally.take()?;
            Some((kind.clone(), count, last))
        })
        .collect()
    }

    fn add(counted: &mut HashMap<K, Tally<L>>, kind: K, count: u64, last: L) -> &mut Tally<L> {
        let tally = counted.entry(kind).or_insert_with(Tally::none);
        tally.count += count;
        tally.last = Some(last);
        tally
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<K, Tally<L>>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> Tally<L> {
    fn none() -> Self {
        Self {
            count: 0,
            told: None,
            last: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Error;

    const QUIET: Duration = Duration::from_mins(10);

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_same_again_together() {
        let counted = Tallies::new(QUIET);
        assert_eq!(counted.count("a", 0), Some((1, 0)));
        for last in 1..=1000 {
            assert_eq!(counted.count("a", last), None);
        }
        assert_eq!(counted.count("b", 0), Some((1, 0)));
        assert!(counted.take(false).is_empty());
        tokio::time::advance(QUIET).await;
        assert_eq!(counted.take(false), [("a", 1000, 1000)]);
        assert_eq!(counted.count("a", 7), None);
        tokio::time::advance(QUIET).await;
        assert_eq!(counted.count("a", 8), Some((2, 8)));
        tokio::time::advance(QUIET).await;
        assert!(counted.take(false).is_empty());
        assert_eq!(counted.kinds(|_| true), 0);
    }

    #[test]
    fn what_could_not_be_told_is_told_with_the_next() {
        let counted = Tallies::new(QUIET);
        let (count, last) = counted.count("a", 1).unwrap();
        // Meanwhile another.
        assert_eq!(counted.count("a", 2), None);
        counted.untold("a", count, last);
        assert_eq!(counted.count("a", 3), Some((3, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_it_is_told_when_it_is_time_when_it_fails_again_and_at_the_end() {
        let counted = Arc::new(Tallies::new(QUIET));
        let told = Arc::new(Mutex::new(vec![]));
        let fails = Arc::new(Mutex::new(true));
        let stop = CancellationToken::new();
        let keeping = tokio::spawn({
            let (counted, told, fails) = (counted.clone(), told.clone(), fails.clone());
            let stop = stop.clone();
            async move {
                let tell = |kind: &'static str, count: u64, last: u32| {
                    let fails = std::mem::take(&mut *fails.lock().unwrap());
                    if !fails {
                        told.lock().unwrap().push((kind.to_owned(), count, last));
                    }
                    let away = Error::unavailable("the store is away");
                    std::future::ready(if fails { Err(away) } else { Ok(()) })
                };
                counted.keep(stop, tell).await;
            }
        });
        let told = || std::mem::take(&mut *told.lock().unwrap());
        counted.leave("a", 1);
        // In vain at once, then at the next look.
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!(told(), [("a".to_owned(), 1, 1)]);
        for last in 2..5 {
            counted.leave("a", last);
        }
        tokio::time::sleep(LOOK).await;
        assert!(told().is_empty());
        stop.cancel();
        keeping.await.unwrap();
        assert_eq!(told(), [("a".to_owned(), 3, 4)]);
    }
}
