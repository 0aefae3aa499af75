//! What one reconciler has to look at, and when.
//!
//! Pure bookkeeping over the time that it is given: no task, no clock, no store.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::lanes::Lanes;
use crate::{Backoff, Error, Key, Next, Result};

/// The waits after errors.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_mins(1));
/// Times in a row that work which was overtaken is tried again at once: each means that the resource was
/// changed while it was looked at, so that a new look is likely to succeed.
const CONFLICTS: u32 = 5;

/// One key's place. A key that there is nothing to do for has none.
#[derive(Default)]
struct State {
    /// Ready to run, since then.
    ready: Option<Instant>,
    /// It runs, in this lane.
    running: Option<String>,
    /// To be looked at again when the run that goes on has ended.
    again: Again,
    /// To be looked at no later than then.
    timer: Option<Instant>,
    errors: u32,
    conflicts: u32,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    #[default]
    No,
    /// The platform changed something: at once after success, with back-off after an error.
    System,
    /// A person changed something: at once.
    Person,
}

/// Whose lane a key is in.
type LaneOf = Box<dyn Fn(&Key) -> String + Send + Sync>;

/// Keys to look at: each once, however often it is asked for, and never while it runs.
pub(super) struct Queue {
    states: HashMap<Key, State>,
    lanes: Lanes,
    lane_of: LaneOf,
    timers: BTreeSet<(Instant, Key)>,
    /// A random factor between 0.5 and 1, so that what failed together is not tried together.
    jitter: fn() -> f64,
}

impl Queue {
    pub(super) fn new(concurrency: usize, lane_of: LaneOf, jitter: fn() -> f64) -> Self {
        Self {
            states: HashMap::new(),
            lanes: Lanes::new(concurrency),
            lane_of,
            timers: BTreeSet::new(),
            jitter,
        }
    }

    /// Something that concerns `key` happened, by a person's doing or by the platform's own.
    pub(super) fn nudge(&mut self, key: Key, person: bool, now: Instant) {
        let state = self.states.entry(key.clone()).or_default();
        if state.running.is_some() {
            state.again = state
                .again
                .max(if person { Again::Person } else { Again::System });
        } else if state.errors == 0 || person {
            self.make_ready(key, now);
        }
        // Else it waits for its next try.
    }

    /// `key` is to be looked at at `at`, or before.
    pub(super) fn schedule(&mut self, key: Key, at: Instant) {
        let state = self.states.entry(key.clone()).or_default();
        if state.ready.is_some() || state.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        if let Some(later) = state.timer.replace(at) {
            self.timers.remove(&(later, key.clone()));
        }
        self.timers.insert((at, key));
    }

    /// The next key to run, if one may run now, and how long it has waited for its turn.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Key, Duration)> {
        while let Some((at, key)) = self.timers.first().cloned()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(state) = self.states.get_mut(&key) {
                state.timer = None;
                if state.running.is_some() {
                    state.again = state.again.max(Again::System);
                } else {
                    self.make_ready(key, now);
                }
            }
        }
        let (key, lane) = self.lanes.take()?;
        let state = self.states.get_mut(&key)?;
        let since = state.ready.take().unwrap_or(now);
        state.running = Some(lane);
        Some((key, now.saturating_duration_since(since)))
    }

    /// The run of `key` has ended; gives the wait before the next try after an error.
    pub(super) fn done(
        &mut self,
        key: &Key,
        outcome: &Result<Next>,
        now: Instant,
    ) -> Option<Duration> {
        let state = self.states.get_mut(key)?;
        if let Some(lane) = state.running.take() {
            self.lanes.ended(&lane);
        }
        let again = std::mem::take(&mut state.again);
        let wait = match outcome {
            Ok(next) => {
                state.errors = 0;
                state.conflicts = 0;
                if again != Again::No {
                    self.make_ready(key.clone(), now);
                } else if let Next::After(wait) = next {
                    self.schedule(key.clone(), now + *wait);
                } else if state.timer.is_none() {
                    self.states.remove(key);
                }
                return None;
            }
            Err(error) => state.after(error, self.jitter),
        };
        if again == Again::Person || wait.is_zero() {
            self.make_ready(key.clone(), now);
            return Some(Duration::ZERO);
        }
        self.schedule(key.clone(), now + wait);
        Some(wait)
    }

    /// When [`Queue::take`] may give more without anything else happening.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn waiting(&self) -> usize {
        self.lanes.waiting()
    }

    pub(super) fn running(&self) -> usize {
        self.lanes.running()
    }

    fn make_ready(&mut self, key: Key, now: Instant) {
        let Some(state) = self.states.get_mut(&key) else {
            return;
        };
        if let Some(at) = state.timer.take() {
            self.timers.remove(&(at, key.clone()));
        }
        if state.ready.is_none() {
            state.ready = Some(now);
            self.lanes.push(&(self.lane_of)(&key), key);
        }
    }
}

impl State {
    /// Counts the error; says how long to wait.
    fn after(&mut self, error: &Error, jitter: fn() -> f64) -> Duration {
        if error.is_overtaken() && self.conflicts < CONFLICTS {
            self.conflicts += 1;
            return Duration::ZERO;
        }
        self.errors = self.errors.saturating_add(1);
        BACKOFF.after(self.errors).mul_f64(jitter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key {
            kind: "Thing".into(),
            scope: String::new(),
            name: name.into(),
        }
    }

    fn queue(concurrency: usize) -> Queue {
        Queue::new(concurrency, Box::new(|key| key.scope.clone()), || 1.0)
    }

    fn taken(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.take(now).map(|(key, _)| key.name)
    }

    fn failure() -> Result<Next> {
        Err(Error::unavailable("away"))
    }

    #[test]
    fn a_key_asked_for_often_runs_once() {
        let (mut queue, now) = (queue(8), Instant::now());
        for _ in 0..3 {
            queue.nudge(key("a"), false, now);
        }
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        assert_eq!(taken(&mut queue, now), None);
    }

    #[test]
    fn a_running_key_never_runs_beside_itself_but_once_more_after() {
        let (mut queue, now) = (queue(8), Instant::now());
        queue.nudge(key("a"), false, now);
        taken(&mut queue, now);
        queue.nudge(key("a"), false, now);
        queue.nudge(key("a"), true, now);
        assert_eq!(taken(&mut queue, now), None);
        queue.done(&key("a"), &Ok(Next::Idle), now);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        queue.done(&key("a"), &Ok(Next::Idle), now);
        assert_eq!(taken(&mut queue, now), None);
        assert!(
            queue.states.is_empty(),
            "nothing is remembered of idle keys"
        );
    }

    #[test]
    fn no_more_run_than_may() {
        let (mut queue, now) = (queue(2), Instant::now());
        for name in ["a", "b", "c"] {
            queue.nudge(key(name), false, now);
        }
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        assert_eq!(taken(&mut queue, now).as_deref(), Some("b"));
        assert_eq!(taken(&mut queue, now), None);
        assert_eq!((queue.waiting(), queue.running()), (1, 2));
        let later = now + Duration::from_secs(3);
        queue.done(&key("b"), &Ok(Next::Idle), later);
        let (third, waited) = queue.take(later).unwrap();
        assert_eq!((third, waited), (key("c"), Duration::from_secs(3)));
    }

    #[test]
    fn errors_back_off_up_to_a_minute_and_success_forgets_them() {
        let (mut queue, mut now) = (queue(1), Instant::now());
        queue.nudge(key("a"), false, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
            let wait = queue.done(&key("a"), &failure(), now).unwrap();
            let early = now + wait - Duration::from_millis(1);
            assert_eq!(taken(&mut queue, early), None);
            now += wait;
            assert_eq!(queue.next_timer(), Some(now));
            waits.push(wait.as_millis());
        }
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        taken(&mut queue, now);
        queue.done(&key("a"), &Ok(Next::Idle), now);
        queue.nudge(key("a"), false, now);
        taken(&mut queue, now);
        let wait = queue.done(&key("a"), &failure(), now);
        assert_eq!(wait, Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_person_cuts_the_back_off_short_and_the_platform_does_not() {
        let (mut queue, now) = (queue(1), Instant::now());
        queue.nudge(key("a"), false, now);
        taken(&mut queue, now);
        queue.nudge(key("a"), false, now);
        queue.done(&key("a"), &failure(), now);
        queue.nudge(key("a"), false, now);
        assert_eq!(taken(&mut queue, now), None);
        queue.nudge(key("a"), true, now);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        assert_eq!(queue.next_timer(), None, "the try that was due is this one");
        queue.nudge(key("a"), true, now);
        queue.done(&key("a"), &failure(), now);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn what_was_overtaken_is_tried_at_once_a_few_times_and_a_refusal_is_not() {
        let (mut queue, now) = (queue(1), Instant::now());
        let moved_on = || Err(Error::conflict("moved on").overtaken());
        queue.nudge(key("a"), false, now);
        for _ in 0..CONFLICTS {
            taken(&mut queue, now);
            let wait = queue.done(&key("a"), &moved_on(), now);
            assert_eq!(wait, Some(Duration::ZERO));
        }
        taken(&mut queue, now);
        let wait = queue.done(&key("a"), &moved_on(), now);
        assert_eq!(wait, Some(BACKOFF.after(1)));
        queue.nudge(key("b"), false, now);
        taken(&mut queue, now);
        let wait = queue.done(&key("b"), &Err(Error::conflict("it is used")), now);
        assert_eq!(wait, Some(BACKOFF.after(1)));
    }

    #[test]
    fn a_timer_runs_its_key_unless_something_did_before() {
        let (mut queue, now) = (queue(1), Instant::now());
        let soon = Duration::from_secs(5);
        queue.nudge(key("a"), false, now);
        taken(&mut queue, now);
        queue.done(&key("a"), &Ok(Next::After(soon)), now);
        queue.schedule(key("a"), now + soon * 2);
        assert_eq!(
            queue.next_timer(),
            Some(now + soon),
            "the earlier one counts"
        );
        queue.nudge(key("a"), false, now);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a"));
        queue.done(&key("a"), &Ok(Next::Idle), now);
        assert_eq!(taken(&mut queue, now + soon * 3), None);
    }

    /// The longest wait of keys of `late`, which comes once the work of `flood` goes on: each piece takes a second.
    fn waited_behind(flood: &[&str], late: &str) -> Duration {
        let (mut queue, mut now) = (queue(4), Instant::now());
        let in_lane = |lane: &str, n: u32| Key {
            scope: lane.into(),
            ..key(&n.to_string())
        };
        for n in 0..300 {
            for lane in flood {
                queue.nudge(in_lane(lane, n), false, now);
            }
        }
        let (mut longest, mut running) = (None, Vec::new());
        while longest.is_none() {
            while let Some((key, waited)) = queue.take(now) {
                if key.scope == late {
                    longest = longest.max(Some(waited));
                }
                running.push(key);
            }
            queue.nudge(in_lane(late, 0), true, now);
            now += Duration::from_secs(1);
            for key in running.drain(..) {
                queue.done(&key, &Ok(Next::Idle), now);
            }
        }
        longest.unwrap_or_default()
    }

    #[test]
    fn a_single_key_is_behind_a_piece_of_work_of_each_other_and_never_behind_a_flood() {
        let second = Duration::from_secs(1);
        assert!(waited_behind(&["crowd"], "lone") <= second);
        assert!(waited_behind(&["crowd", "mob"], "lone") <= second);
        assert!(waited_behind(&["a", "b", "c", "d", "e", "f", "g", "h"], "lone") <= 3 * second);
    }
}
