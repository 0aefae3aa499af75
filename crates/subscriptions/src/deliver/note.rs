//! Noting how far the lanes are, and how it goes: many at once, and not more often than is of use.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Result};

use super::{
    hub::Hub,
    lane::{Health, Lane},
    roster::Roster,
};
use crate::model::Subscription;

/// Cursors that are written at once.
const TOGETHER: usize = 200;
/// Statuses that are written in a row, at the most: the rest has its turn the next time.
const STATUSES: usize = 100;
/// Those of them that are written in one commit.
const IN_ONE: usize = 20;
/// How often it is noted that all is well.
const WELL: Duration = Duration::from_mins(1);

/// Notes cursors, then statuses: of those that follow the last that had its turn, around and around. Many
/// that have something new each time keep nobody else from being noted.
pub(super) async fn all(hub: &Hub) {
    cursors(hub).await;
    let mut news = Vec::new();
    let mut last = hub.noted_last();
    for lane in in_turn(hub, last.as_ref()) {
        tokio::task::consume_budget().await;
        let health = lane.health();
        if !lane.is_news(&health, hub.service.now()) {
            continue;
        }
        last = Some((lane.team.clone(), lane.name.clone()));
        news.push((lane, health));
        if news.len() == STATUSES {
            break;
        }
    }
    hub.note_from(last);
    for part in news.chunks(IN_ONE) {
        if statuses(hub, part).await.is_ok() {
            continue;
        }
        // One of them was changed meanwhile, most often: it has its turn the next time.
        for one in part.chunks(1) {
            if let Err(error) = statuses(hub, one).await {
                tracing::debug!(error = error.chain(), "a status was not noted");
            }
        }
    }
}

/// Notes the cursors that have moved.
pub(super) async fn cursors(hub: &Hub) {
    // Before the lanes are looked at: what was handed out up to here is pending, or done.
    let read_to = hub.read_to();
    let mut moved = Vec::new();
    for lane in lanes(hub) {
        tokio::task::consume_budget().await;
        if let Some(cursor) = lane.cursor_to_note(read_to) {
            moved.push((lane, cursor));
        }
    }
    for part in moved.chunks(TOGETHER) {
        let cursor =
            |(lane, cursor): &(Arc<Lane>, i64)| (Subscription::consumer(lane.uid), *cursor);
        let cursors: Vec<_> = part.iter().map(cursor).collect();
        match hub.service.store().set_cursors(&cursors).await {
            Ok(()) => part.iter().for_each(|(lane, cursor)| lane.noted(*cursor)),
            Err(error) => {
                tracing::warn!(error = error.chain(), "cursors were not noted");
                return;
            }
        }
    }
}

/// All lanes, those after `last` first.
fn in_turn(hub: &Hub, last: Option<&(String, String)>) -> Vec<Arc<Lane>> {
    let mut lanes = lanes(hub);
    if let Some((team, name)) = last {
        let begins = lanes.partition_point(|one| (&one.team, &one.name) <= (team, name));
        lanes.rotate_left(begins);
    }
    lanes
}

fn lanes(hub: &Hub) -> Vec<Arc<Lane>> {
    let roster = hub.roster();
    roster.as_ref().map_or_else(Vec::new, Roster::lanes)
}

/// Notes how it goes with some, in one commit.
async fn statuses(hub: &Hub, news: &[(Arc<Lane>, Health)]) -> Result<()> {
    let store = hub.service.store();
    let mut change = Change::new().fenced(hub.fence.clone());
    for (lane, health) in news {
        let found = store.get::<Subscription>(&lane.team, &lane.name).await?;
        let Some(mut subscription) = found.filter(|found| found.meta.uid == lane.uid) else {
            continue;
        };
        let status = &mut subscription.status;
        status.cursor = lane.cursor(hub.read_to());
        status.failures = health.failures();
        status.last_delivery.clone_from(&health.last_delivery);
        status.last_failure = health.last_failure().cloned();
        change.note(&subscription)?;
    }
    if !change.is_empty() {
        store.commit(change).await?;
    }
    for (lane, health) in news {
        lane.told(health);
    }
    Ok(())
}

impl Lane {
    /// Whether people should be told `now` of `health`: at once of trouble and its end, and now and then that
    /// all is well.
    fn is_news(&self, health: &Health, now: Timestamp) -> bool {
        let told = self.last_told();
        if told.version != health.version {
            return true;
        }
        let at = |health: &Health| health.last_delivery.as_ref().map(|one| one.at);
        match (at(&told), at(health)) {
            (Some(told), Some(last)) => {
                last > told && now.duration_since(told).unsigned_abs() > WELL
            }
            (told, last) => told != last,
        }
    }
}
