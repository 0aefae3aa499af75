//! How often engines probe, and how long they wait before they start something again.

use std::time::Duration;

use jiff::Timestamp;

/// The times by which an engine probes and restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between the first two probes of a container that was never ready: short, since a deployment waits.
    /// Each further wait is a tenth longer.
    pub first_probe: Duration,
    /// Between two probes of a container that has been ready.
    pub probe: Duration,
    /// A probe that takes longer has failed.
    pub probe_timeout: Duration,
    /// So many failures in a row make a ready container unready, or a live one dead.
    pub failures: u32,
    /// A container that cannot be asked, for want of a readiness probe and of ports, is ready once
    /// it has run so long: many of those that cannot run end at once.
    pub settle: Duration,
    /// A container that was never ready is not held to its liveness probe before this.
    pub start_grace: Duration,
    /// Before the first restart; doubles with each.
    pub backoff_first: Duration,
    /// The longest wait before a restart.
    pub backoff_most: Duration,
    /// A container that ran so long begins again with `backoff_first`.
    pub stable: Duration,
    /// A container that ended so often in a row, in whichever way, none of its runs as long as `stable` and none of them
    /// ready by its probe, goes on to: ten times are 51 seconds with these waits.
    pub ends_in_a_row: u32,
    /// A program that has listened so long on other ports than its own, and did next to nothing meanwhile, will not
    /// come to listen on its own: long enough for one that opens a port for its operators before it is ready.
    pub misplaced: Duration,
    /// Between SIGTERM and SIGKILL for a container whose liveness probe fails.
    pub kill_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            first_probe: Duration::from_millis(3),
            probe: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(2),
            failures: 3,
            settle: Duration::from_millis(300),
            start_grace: Duration::from_secs(30),
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(30),
            stable: Duration::from_mins(1),
            ends_in_a_row: 10,
            misplaced: Duration::from_secs(30),
            kill_grace: Duration::from_secs(5),
        }
    }
}

/// The waits of one container between its ends and its restarts.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: kernel::Backoff,
    stable: Duration,
    ends: u32,
}

impl Backoff {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            waits: kernel::Backoff::new(timing.backoff_first, timing.backoff_most),
            stable: timing.stable,
            ends: 0,
        }
    }

    /// How long to wait after a container that had started at `started` has ended.
    pub(crate) fn after(&mut self, started: Option<Timestamp>) -> Duration {
        let ran =
            started.and_then(|started| Timestamp::now().duration_since(started).try_into().ok());
        if ran.is_some_and(|ran: Duration| ran >= self.stable) {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        self.waits.after(self.ends)
    }
}

/// How often a container has ended in a row. In which way does not matter: a program that cannot run may well end by
/// a signal and with an exit code in turn.
#[derive(Debug)]
pub(crate) struct Ends {
    last: String,
    times: u32,
    most: u32,
    stable: Duration,
}

impl Ends {
    pub(crate) fn new(timing: &Timing) -> Self {
        Self {
            last: String::new(),
            times: 0,
            most: timing.ends_in_a_row,
            stable: timing.stable,
        }
    }

    /// Counts an end: `how` in words, where somebody saw it, of a run since `started` that was ready or was not. In
    /// words what goes on, once that is known to last.
    pub(crate) fn again(
        &mut self,
        how: Option<String>,
        started: Timestamp,
        was_ready: bool,
    ) -> Option<String> {
        if was_ready {
            self.times = 0;
        }
        // When an end was that nobody saw, and so how long the run, is not known either.
        if let Some(how) = how {
            let ran = Timestamp::now().duration_since(started);
            if Duration::try_from(ran).unwrap_or_default() >= self.stable {
                self.times = 0;
            }
            self.times = self.times.saturating_add(1);
            self.last = how;
        }
        let (times, last) = (self.times, &self.last);
        (times >= self.most).then(|| format!("ended {times} times in a row, last {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_most_and_begins_again_after_a_stable_run() {
        let timing = Timing::default();
        let mut backoff = Backoff::new(&timing);
        let now = Some(Timestamp::now());
        let waits: Vec<u128> = (0..11).map(|_| backoff.after(now).as_millis()).collect();
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000
            ]
        );
        let long_ago = Some(Timestamp::now() - timing.stable * 2);
        assert_eq!(backoff.after(long_ago), timing.backoff_first);
    }

    #[test]
    fn only_what_ends_soon_and_often_and_was_never_ready_is_known_to_last() {
        let timing = Timing {
            ends_in_a_row: 3,
            ..Timing::default()
        };
        let (mut ends, now) = (Ends::new(&timing), Timestamp::now());
        let long_ago = now - timing.stable * 2;
        let with = |code: i32| Some(format!("with exit code {code}"));
        let told =
            |times: u32, last: &str| Some(format!("ended {times} times in a row, last {last}"));
        assert_eq!(ends.again(with(1), now, false), None);
        assert_eq!(ends.again(Some("by signal 9".into()), now, false), None);
        assert_eq!(ends.again(None, now, false), None, "nobody saw it");
        assert_eq!(ends.again(None, long_ago, false), None, "nor how long");
        assert_eq!(ends.again(with(1), now, false), told(3, "with exit code 1"));
        assert_eq!(ends.again(None, now, false), told(3, "with exit code 1"));
        assert_eq!(ends.again(with(2), now, false), told(4, "with exit code 2"));
        for (started, was_ready) in [(long_ago, false), (now, true)] {
            assert_eq!(ends.again(with(1), started, was_ready), None, "it had run");
            assert_eq!(ends.again(with(1), now, false), None);
            assert_eq!(ends.again(with(1), now, false), told(3, "with exit code 1"));
        }
        assert_eq!(ends.again(None, now, true), None, "ready, and then unseen");
    }
}
