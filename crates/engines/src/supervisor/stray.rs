//! Whether a program that listens elsewhere will go on to.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::Advice;

/// A program that takes more of a processor than one part in so many is at work: on its start, it may be.
const IDLE: u32 = 20;

/// Since when it listens on the same other ports, and does next to nothing.
#[derive(Debug)]
pub(super) struct Stray {
    most: Duration,
    since: Option<(Instant, BTreeSet<u16>, Duration)>,
}

impl Stray {
    /// Of one that is known to go on after `most`.
    pub(super) fn new(most: Duration) -> Self {
        Self { most, since: None }
    }

    /// Takes in what is seen `now`. Whether it is known to last.
    pub(super) fn lasts(&mut self, seen: &Advice, now: Instant) -> bool {
        let Some(taken) = seen.worked else {
            // Nobody sees whether it is at work: it may be.
            self.since = None;
            return false;
        };
        if let Some((since, ports, worked)) = &self.since
            && *ports == seen.elsewhere
        {
            let time = now.saturating_duration_since(*since);
            // The system counts in hundredths of a second.
            let idle = time / IDLE + Duration::from_millis(20);
            // Less than before is no rest: something has ended whose work nobody counts further.
            if taken.abs_diff(*worked) <= idle {
                return time >= self.most;
            }
        }
        let begins = || (now, seen.elsewhere.clone(), taken);
        self.since = (!seen.elsewhere.is_empty()).then(begins);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seen(elsewhere: &[u16], worked: Duration) -> Advice {
        Advice {
            text: String::new(),
            elsewhere: elsewhere.iter().copied().collect(),
            worked: Some(worked),
        }
    }

    #[test]
    fn who_listens_elsewhere_and_rests_there_goes_on_to() {
        let (mut stray, now) = (Stray::new(SECOND * 10), Instant::now());
        for second in 0..10 {
            assert!(!stray.lasts(&seen(&[81], SECOND), now + SECOND * second));
        }
        assert!(stray.lasts(&seen(&[81], SECOND), now + SECOND * 10));
    }

    #[test]
    fn who_listens_nowhere_may_be_slow() {
        let (mut stray, now) = (Stray::new(SECOND * 10), Instant::now());
        for second in 0..100 {
            assert!(!stray.lasts(&seen(&[], Duration::ZERO), now + SECOND * second));
        }
    }

    #[test]
    fn who_has_a_child_that_ends_or_cannot_be_looked_at_is_not_at_rest() {
        let (mut stray, now) = (Stray::new(SECOND * 10), Instant::now());
        for second in 0..30 {
            // Each child works for two seconds, and takes its time along as it ends.
            let advice = seen(&[81], SECOND * (second % 3));
            assert!(!stray.lasts(&advice, now + SECOND * second));
        }
        for second in 30..60 {
            let advice = Advice {
                worked: None,
                ..seen(&[81], SECOND)
            };
            assert!(!stray.lasts(&advice, now + SECOND * second));
        }
    }

    #[test]
    fn who_opens_another_port_or_works_begins_anew() {
        let (mut stray, now) = (Stray::new(SECOND * 10), Instant::now());
        // At work on its start for half a minute, its port for operators open.
        for second in 0..30 {
            let advice = seen(&[81], SECOND * second);
            assert!(!stray.lasts(&advice, now + SECOND * second));
        }
        let worked = SECOND * 29;
        assert!(!stray.lasts(&seen(&[81, 82], worked), now + SECOND * 35));
        assert!(!stray.lasts(&seen(&[81, 82], worked), now + SECOND * 44));
        assert!(stray.lasts(&seen(&[81, 82], worked), now + SECOND * 45));
    }
}
