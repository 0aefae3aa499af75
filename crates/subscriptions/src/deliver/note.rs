//! Noting how far the lanes are, and how it goes: many at once, and not more often than is of use.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Result};

use super::{
    hub::Hub,
    lane::{Health, Lane},
    roster::Roster,
};
use crate::model::Subscription;

/// Statuses that are written at once, at the most: the rest has its turn the next time.
const STATUSES: usize = 100;
/// How often it is noted that all is well.
const WELL: Duration = Duration::from_mins(1);

/// Notes cursors, then statuses.
pub(super) async fn all(hub: &Hub) {
    cursors(hub).await;
    let mut written = 0;
    for lane in lanes(hub) {
        tokio::task::consume_budget().await;
        if written == STATUSES {
            return;
        }
        let health = lane.health();
        if !lane.is_news(&health) {
            continue;
        }
        written += 1;
        match status(hub, &lane, &health).await {
            Ok(()) => lane.told(&health),
            // Changed meanwhile, most often: the next time.
            Err(error) => tracing::debug!(error = error.chain(), "a status was not noted"),
        }
    }
}

/// Notes the cursors that have moved.
pub(super) async fn cursors(hub: &Hub) {
    // Before the lanes are looked at: what was handed out up to here is pending, or done.
    let read_to = hub.read_to();
    let moved: Vec<(Arc<Lane>, i64)> = lanes(hub)
        .into_iter()
        .filter_map(|lane| lane.cursor_to_note(read_to).map(|cursor| (lane, cursor)))
        .collect();
    if moved.is_empty() {
        return;
    }
    let cursors: HashMap<String, i64> = moved
        .iter()
        .map(|(lane, cursor)| (Subscription::consumer(lane.uid), *cursor))
        .collect();
    let cursors: Vec<(String, i64)> = cursors.into_iter().collect();
    match hub.service.store().set_cursors(&cursors).await {
        Ok(()) => moved.iter().for_each(|(lane, cursor)| lane.noted(*cursor)),
        Err(error) => tracing::warn!(error = error.chain(), "cursors were not noted"),
    }
}

fn lanes(hub: &Hub) -> Vec<Arc<Lane>> {
    let roster = hub.roster();
    roster.as_ref().map_or_else(Vec::new, Roster::lanes)
}

async fn status(hub: &Hub, lane: &Lane, health: &Health) -> Result<()> {
    let store = hub.service.store();
    let found = store.get::<Subscription>(&lane.team, &lane.name).await?;
    let Some(mut subscription) = found.filter(|found| found.meta.uid == lane.uid) else {
        return Ok(());
    };
    let status = &mut subscription.status;
    status.cursor = lane.cursor(hub.read_to());
    status.failures = health.failures;
    status.last_delivery.clone_from(&health.last_delivery);
    status.last_failure.clone_from(&health.last_failure);
    let mut change = Change::new().fenced(hub.fence.clone());
    change.note(&subscription)?;
    store.commit(change).await.map(drop)
}

impl Lane {
    /// Whether people should be told of `health`: at once of trouble and its end, and now and then that
    /// all is well.
    fn is_news(&self, health: &Health) -> bool {
        let told = self.last_told();
        if told.version != health.version {
            return true;
        }
        let at = |health: &Health| health.last_delivery.as_ref().map(|one| one.at);
        match (at(&told), at(health)) {
            (Some(told), Some(now)) => {
                now > told && Timestamp::now().duration_since(told).unsigned_abs() > WELL
            }
            (told, now) => told != now,
        }
    }
}
