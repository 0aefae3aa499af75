//! Those who are behind read what they missed together.
//!
//! After an outage that may be all, and all from the same place. They wait in one queue, and one task
//! reads for them: from where the first of them is, for everybody who is not far from there, so that a
//! part of the log is read once however many missed it, and the API's own readings find the store free.
//! Who was served waits behind the others.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use kernel::{EventFilter, Result};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use super::{
    EVENTS, STORE_AWAY,
    hub::Hub,
    lane::{Lane, Pending},
    locked,
    wanting::Wanting,
};
use crate::service::send::Message;

/// So much of the log is looked through at once: what concerns few in it is found by the store alone.
const FAR: i64 = 5000;
/// Events of so many teams are sorted out by the store; of more, it reads all.
const TEAMS: usize = 16;

#[derive(Default)]
pub(super) struct Behind {
    queue: Mutex<VecDeque<Waiting>>,
    came: Notify,
}

struct Waiting {
    lane: Arc<Lane>,
    /// Dropped when it was read for.
    _served: oneshot::Sender<()>,
}

impl Behind {
    /// Waits until it was read for `lane`.
    pub(super) async fn read_for(&self, lane: &Arc<Lane>) {
        let (serve, served) = oneshot::channel();
        locked(&self.queue).push_back(Waiting {
            lane: lane.clone(),
            _served: serve,
        });
        self.came.notify_one();
        let _ = served.await;
    }

    /// The first that waits, and those who are near it; with the place to read from.
    async fn next(&self) -> (i64, Vec<Waiting>) {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.came.notified().await;
        }
    }

    fn take(&self) -> Option<(i64, Vec<Waiting>)> {
        let mut queue = locked(&self.queue);
        queue.retain(|waiting| !waiting.lane.has_ended());
        let from = queue.front()?.lane.scanned();
        let near = |waiting: &Waiting| (from..from + FAR).contains(&waiting.lane.scanned());
        let (near, rest) = std::mem::take(&mut *queue).into_iter().partition(near);
        *queue = rest;
        Some((from, Vec::from(near)))
    }

    /// Those of `waiting` who are beyond `upto`, up to where it was read, go on waiting; first of all.
    /// The others wake, with time for everybody else in between.
    async fn keep(&self, waiting: Vec<Waiting>, upto: i64) {
        for waiting in waiting.into_iter().rev() {
            tokio::task::consume_budget().await;
            if waiting.lane.is_beyond(upto) {
                locked(&self.queue).push_front(waiting);
            }
        }
    }
}

/// Reads for those who are behind, one part of the log after the other, for ever.
pub(super) async fn read(hub: &Hub) {
    loop {
        let (from, waiting) = hub.behind.next().await;
        match read_once(hub, from, &waiting).await {
            Ok(upto) => {
                hub.behind.keep(waiting, upto).await;
            }
            Err(error) => {
                // They are where they were, and ask again.
                tracing::warn!(error = error.chain(), "subscriptions wait for the log");
                sleep(STORE_AWAY).await;
            }
        }
    }
}

/// Reads what comes after `from`, once; says up to where.
async fn read_once(hub: &Hub, from: i64, waiting: &[Waiting]) -> Result<i64> {
    let mut wanting = Wanting::default();
    for waiting in waiting {
        tokio::task::consume_budget().await;
        wanting.add(&waiting.lane);
    }
    // Before the reading: all up to here is found by it.
    let handed_out = hub.reads();
    let filter = EventFilter {
        teams: teams(&wanting),
        upto: Some(from + FAR),
        ..EventFilter::default()
    };
    let events = hub.service.store().events(&filter, from, EVENTS).await?;
    hub.service.customers().current().await?;
    let upto = match events.last() {
        Some(last) if events.len() == EVENTS => last.seq,
        last => {
            let seen = last.map_or(from, |last| last.seq);
            seen.max(handed_out.min(from + FAR))
        }
    };
    for event in &events {
        let mut has_room = false;
        for wants in wanting.lanes(hub, event) {
            tokio::task::consume_budget().await;
            has_room |= wants.lane.find(Pending::of(event, wants.is_undecided));
        }
        if has_room {
            hub.missed.put(Message::new(event)?);
        }
        tokio::task::consume_budget().await;
    }
    for waiting in waiting {
        tokio::task::consume_budget().await;
        waiting.lane.looked_through(hub, upto);
    }
    Ok(upto)
}

/// The teams whose events alone are wanted, where they are few.
fn teams(wanting: &Wanting) -> Option<Vec<String>> {
    let teams: BTreeSet<&String> = wanting.teams().take(TEAMS + 1).collect();
    let few = teams.len() <= TEAMS && !teams.iter().any(|team| team.is_empty());
    few.then(|| teams.into_iter().cloned().collect())
}
