//! One subscription's events, one after the other.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use kernel::{Error, Event, Kind, Resource};
use tokio::{
    sync::{OnceCell, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{STORE_AWAY, bury::bury, hub::Hub, locked, undecided::may_see};
use crate::{
    model::{Delivery, Failure, Subscription},
    pattern::Pattern,
    service::{
        access,
        send::{Keys, Message, Refusal, post},
    },
};

/// Places in the log that wait for one receiver at the most.
const PENDING: usize = 64;
/// A receiver that takes longer than this is served among those in trouble.
const SLOW: Duration = Duration::from_secs(2);
/// How far a cursor may lag where nothing waits: it is moved on only so that a new term need not read
/// far.
const LAG: i64 = 1000;

/// What is wanted, and where it goes.
pub(super) struct Config {
    pub(super) patterns: Vec<Pattern>,
    url: String,
    secret_since: Option<Timestamp>,
    /// Read with the first event.
    keys: OnceCell<Keys>,
}

impl Config {
    pub(super) fn new(subscription: &Resource<Subscription>) -> Self {
        Self {
            patterns: subscription.spec.types.clone(),
            url: subscription.spec.url.clone(),
            secret_since: subscription.status.secret_since,
            keys: OnceCell::new(),
        }
    }

    /// Whether what was tried in vain is worth trying again at once.
    fn differs(&self, other: &Self) -> bool {
        self.url != other.url || self.secret_since != other.secret_since
    }
}

/// A place in the log that waits.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    seq: i64,
    /// Whether policy could not say yet if it may be sent.
    is_undecided: bool,
}

impl Pending {
    pub(super) fn of(event: &Event, is_undecided: bool) -> Self {
        Self {
            seq: event.seq,
            is_undecided,
        }
    }
}

pub(super) struct Lane {
    pub(super) team: String,
    pub(super) name: String,
    pub(super) uid: Uuid,
    owner: Option<Uuid>,
    config: watch::Sender<Arc<Config>>,
    stop: CancellationToken,
    state: Mutex<State>,
}

struct State {
    /// Places in the log that are yet to be delivered.
    pending: VecDeque<Pending>,
    /// Up to here nothing of the log is missed: it is delivered, or pending, or not wanted.
    scanned: i64,
    /// Whether it is handed what comes; else it is behind.
    follows: bool,
    /// Whether a task is at it.
    runs: bool,
    /// Up to here everything wanted is delivered, or is a dead letter.
    done: i64,
    /// The cursor as it was noted.
    noted: i64,
    health: Health,
    /// The health as it was noted.
    told: Health,
}

/// How it goes, for the status.
#[derive(Debug, Clone, Default)]
pub(super) struct Health {
    /// Of the receiver alone.
    failures: u32,
    pub(super) last_delivery: Option<Delivery>,
    last_failure: Option<Failure>,
    /// How often policy could not decide on the event whose turn it is, and when last: the receiver may be well.
    doubts: Option<(u32, Failure)>,
    slow: bool,
    /// Counts up with each change that people should see soon.
    pub(super) version: u64,
}

impl Health {
    fn new(subscription: &Resource<Subscription>) -> Self {
        let status = &subscription.status;
        let mut health = Self {
            failures: status.failures,
            last_delivery: status.last_delivery.clone(),
            last_failure: status.last_failure.clone(),
            ..Self::default()
        };
        let undecided = Refusal::undecided().reason;
        let last = health.last_failure.as_ref();
        if health.failures > 0 && last.is_some_and(|last| last.reason == undecided) {
            // Of a term that did not see the end of its doubts. Policy is asked anew, and so is the receiver.
            health.failures = 0;
            health.last_failure = None;
            health.version += 1;
        }
        health
    }

    /// Tries in vain since the last that was not.
    pub(super) fn failures(&self) -> u32 {
        let doubts = self.doubts.as_ref().map_or(0, |(tries, _)| *tries);
        self.failures.saturating_add(doubts)
    }

    /// The last of them.
    pub(super) fn last_failure(&self) -> Option<&Failure> {
        let doubt = self.doubts.as_ref().map(|(_, last)| last);
        doubt.or(self.last_failure.as_ref())
    }
}

enum Step {
    Deliver(Pending),
    CatchUp,
    Rest,
}

impl Lane {
    pub(super) fn new(
        hub: &Hub,
        subscription: &Resource<Subscription>,
        cursor: i64,
        noted: i64,
        follows: bool,
    ) -> Self {
        let health = Health::new(subscription);
        Self {
            team: subscription.meta.scope.clone(),
            name: subscription.meta.name.clone(),
            uid: subscription.meta.uid,
            owner: subscription.spec.owner,
            config: watch::Sender::new(Arc::new(Config::new(subscription))),
            stop: hub.stop.child_token(),
            state: Mutex::new(State {
                pending: VecDeque::new(),
                scanned: cursor,
                follows,
                runs: !follows,
                done: cursor,
                noted,
                told: Health {
                    version: 0,
                    ..health.clone()
                },
                health,
            }),
        }
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    pub(super) fn configure(&self, config: Config) {
        self.config.send_if_modified(|present| {
            let differs = present.differs(&config);
            *present = Arc::new(config);
            differs
        });
    }

    /// Stops what is under way.
    pub(super) fn end(&self) {
        self.stop.cancel();
    }

    pub(super) fn begins_behind(&self) -> bool {
        let state = locked(&self.state);
        !state.follows && state.runs
    }

    /// Takes in the next event; says whether a task must begin.
    pub(super) fn push(&self, place: Pending) -> bool {
        let mut state = locked(&self.state);
        if !state.follows || place.seq <= state.scanned {
            return false;
        }
        if state.pending.len() == PENDING {
            state.follows = false;
            return false;
        }
        state.pending.push_back(place);
        state.scanned = place.seq;
        !std::mem::replace(&mut state.runs, true)
    }

    fn step(&self) -> Step {
        let mut state = locked(&self.state);
        match state.pending.front() {
            Some(place) => Step::Deliver(*place),
            None if !state.follows => Step::CatchUp,
            None => {
                state.runs = false;
                Step::Rest
            }
        }
    }

    /// Whether an event tells of this very subscription.
    pub(super) fn is_about_itself(&self, event: &Event) -> bool {
        event.subject_key().is_some_and(|key| {
            key.kind == Subscription::KIND && key.scope == self.team && key.name == self.name
        })
    }

    /// Whether it is still somebody's whose events these are.
    pub(super) fn is_owned(&self, hub: &Hub) -> bool {
        access::is_owned(hub.service.customers(), &self.team, self.owner)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Up to where nothing of the log is missed.
    pub(super) fn scanned(&self) -> i64 {
        locked(&self.state).scanned
    }

    /// Whether what it missed begins after `upto`.
    pub(super) fn is_beyond(&self, upto: i64) -> bool {
        let state = locked(&self.state);
        !state.follows && state.scanned > upto
    }

    /// Takes in an event that it missed; false where it has no room for it, nor for what follows, or
    /// has it already.
    pub(super) fn find(&self, place: Pending) -> bool {
        let mut state = locked(&self.state);
        let takes = place.seq > state.scanned && state.pending.len() < PENDING;
        if takes {
            state.pending.push_back(place);
            state.scanned = place.seq;
        }
        takes
    }

    /// Says that it was given all that it wants of the log up to `upto`, as far as it had room.
    pub(super) fn looked_through(&self, hub: &Hub, upto: i64) {
        let mut state = locked(&self.state);
        if state.pending.len() < PENDING {
            state.scanned = state.scanned.max(upto);
        }
        // Asked under the lock: an event that is handed out from now on finds this lane following.
        state.follows = state.scanned >= hub.reads();
    }

    /// That `message` need not be thought of any more.
    fn done(&self, seq: i64) {
        let mut state = locked(&self.state);
        if state.pending.front().is_some_and(|place| place.seq == seq) {
            state.pending.pop_front();
        }
        state.done = state.done.max(seq);
    }

    fn taken(&self, message: &Message, time: Duration, at: Timestamp) {
        let mut state = locked(&self.state);
        let health = &mut state.health;
        if health.failures > 0 {
            health.version += 1;
        }
        health.failures = 0;
        health.slow = time > SLOW;
        health.last_delivery = Some(Delivery {
            at,
            event: message.id,
        });
    }

    fn refused(&self, message: &Message, refusal: &Refusal, at: Timestamp) {
        let mut state = locked(&self.state);
        let health = &mut state.health;
        health.failures = health.failures.saturating_add(1);
        health.version += 1;
        health.last_failure = Some(failure(message, refusal, at));
    }

    /// That policy was asked in vain, so many times by now.
    pub(super) fn doubts(&self, tries: u32, message: &Message, refusal: &Refusal, at: Timestamp) {
        let mut state = locked(&self.state);
        let health = &mut state.health;
        health.doubts = Some((tries, failure(message, refusal, at)));
        health.version += 1;
    }

    /// That there is no doubt any more, whatever has become of it.
    fn doubts_no_more(&self) {
        let mut state = locked(&self.state);
        let health = &mut state.health;
        if health.doubts.take().is_some() {
            health.version += 1;
        }
    }

    fn is_troubled(&self) -> bool {
        let state = locked(&self.state);
        state.health.failures > 0 || state.health.slow
    }

    pub(super) fn health(&self) -> Health {
        locked(&self.state).health.clone()
    }

    pub(super) fn last_told(&self) -> Health {
        locked(&self.state).told.clone()
    }

    pub(super) fn told(&self, health: &Health) {
        locked(&self.state).told = health.clone();
    }

    /// Up to where everything is done, with the log handed out up to `read_to`.
    pub(super) fn cursor(&self, read_to: i64) -> i64 {
        let state = locked(&self.state);
        if state.follows && state.pending.is_empty() {
            state.done.max(read_to)
        } else {
            state.done
        }
    }

    /// The cursor, where it is worth noting.
    pub(super) fn cursor_to_note(&self, read_to: i64) -> Option<i64> {
        let cursor = self.cursor(read_to);
        let state = locked(&self.state);
        let moved = state.done > state.noted || cursor - state.noted > LAG;
        moved.then_some(cursor)
    }

    pub(super) fn noted(&self, cursor: i64) {
        let mut state = locked(&self.state);
        state.noted = state.noted.max(cursor);
    }
}

/// Delivers what is pending, until nothing is.
pub(super) async fn run(hub: Arc<Hub>, lane: Arc<Lane>) {
    let delivering = async {
        loop {
            match lane.step() {
                Step::Deliver(place) => deliver(&hub, &lane, place).await,
                Step::CatchUp => hub.behind.read_for(&lane).await,
                Step::Rest => return,
            }
        }
    };
    tokio::select! {
        () = lane.stop.cancelled() => {}
        () = delivering => {}
    }
}

/// Delivers one event, or makes a dead letter of it.
async fn deliver(hub: &Hub, lane: &Lane, Pending { seq, is_undecided }: Pending) {
    if is_undecided {
        let may = may_see(hub, lane, seq).await;
        lane.doubts_no_more();
        if !may {
            return lane.done(seq);
        }
    }
    let settings = hub.service.settings();
    let mut changes = lane.config.subscribe();
    let mut tries = 0;
    loop {
        if !lane.is_owned(hub) {
            return lane.done(seq);
        }
        let config = changes.borrow_and_update().clone();
        let places = if lane.is_troubled() {
            &hub.troubled
        } else {
            &hub.well
        };
        // Before anything is read for it: ten thousand that wake at once read a few at a time.
        let place = places.place(&lane.team).await;
        let ready = async {
            let message = hub.message(seq).await?;
            let keys = hub.keys(lane.uid, config.secret_since);
            let keys = config.keys.get_or_try_init(|| keys).await?;
            Ok::<_, Error>((message, keys))
        };
        let (message, keys) = match ready.await {
            Ok(ready) => ready,
            Err(error) => {
                drop(place);
                tracing::warn!(error = error.chain(), "an event could not be made ready");
                sleep(STORE_AWAY).await;
                continue;
            }
        };
        let began = Instant::now();
        let (outbound, now) = (hub.service.outbound(), hub.service.now());
        let sent = post(outbound, &config.url, keys, &message, now).await;
        drop(place);
        let Err(refusal) = sent else {
            lane.taken(&message, began.elapsed(), hub.service.now());
            return lane.done(seq);
        };
        tries += 1;
        lane.refused(&message, &refusal, hub.service.now());
        if refusal.is_final || tries >= settings.attempts {
            match bury(hub, lane, &message, tries, &refusal).await {
                Ok(true) => return lane.done(seq),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = error.chain(), "a dead letter was not written");
                }
            }
        }
        let wait = settings.backoff.after(tries);
        let asked = refusal.retry_after.unwrap_or_default();
        let wait = wait.max(asked.min(settings.backoff.longest()));
        tokio::select! {
            () = pause(wait) => {}
            _ = changes.changed() => tries = 0,
        }
    }
}

fn failure(message: &Message, refusal: &Refusal, at: Timestamp) -> Failure {
    Failure {
        at,
        event: message.id,
        reason: refusal.reason.clone(),
    }
}

/// Waits for some of `longest`: those who fail together do not come back together.
pub(super) async fn pause(longest: Duration) {
    sleep(longest.mul_f64(rand::random_range(0.75..=1.0))).await;
}
