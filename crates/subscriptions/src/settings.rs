//! What the platform's configuration says about subscriptions.

use std::time::Duration;

use kernel::{Backoff, Clock, outbound::Reach};

/// How events are passed on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where webhooks may lead.
    pub reach: Reach,
    /// How long a receiver may take to answer.
    pub patience: Duration,
    /// How often an event is tried before it is a dead letter.
    pub attempts: u32,
    /// The waits between the tries.
    pub backoff: Backoff,
    /// Requests under way at once to receivers that are well; those in trouble have a quarter of that
    /// beside them.
    pub concurrency: usize,
    /// How often cursors and statuses are noted.
    pub note_every: Duration,
    /// Subscriptions that a team may have.
    pub per_team: usize,
    /// Dead letters that a subscription may have: full, it waits for somebody to look at them.
    pub dead_letters: usize,
    /// The words by which the platform's own types of events begin; none: any may.
    pub words: &'static [&'static str],
    /// By what time former secrets end, and what is said is dated.
    pub clock: Clock,
}

impl Settings {
    /// Subscriptions that a team may have where nothing else is said: far more than it has services that
    /// want to know.
    pub const PER_TEAM: usize = 100;
}

impl Default for Settings {
    /// Ten tries over some six minutes. In that time a receiver is deployed anew, or somebody is woken.
    fn default() -> Self {
        Self {
            reach: Reach::public(),
            patience: Duration::from_secs(10),
            attempts: 10,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(2)),
            concurrency: 128,
            note_every: Duration::from_secs(1),
            per_team: Self::PER_TEAM,
            dead_letters: 1000,
            words: &[],
            clock: Clock::system(),
        }
    }
}
