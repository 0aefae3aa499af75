//! Who wants what: all subscriptions that are enabled, by team and type.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{Key, Kind, Query, Resource, Result, Store};
use uuid::Uuid;

use super::{
    hub::Hub,
    lane::{Config, Lane},
    wanting::Wanting,
};
use crate::model::{CURSORS, Subscription};

/// A new term reads so much of the log again for all at once; who is further behind reads for itself.
const TOGETHER: i64 = 5000;

#[derive(Default)]
pub(super) struct Roster {
    /// By team and name.
    lanes: BTreeMap<(String, String), Arc<Lane>>,
    pub(super) wanting: Wanting,
    /// Where the log is read from.
    pub(super) begin: i64,
}

impl Roster {
    /// All there are.
    pub(super) async fn load(hub: &Hub, store: &Store) -> Result<Self> {
        // Before the listing: what changes meanwhile is read afterwards.
        let head = store.head().await?;
        let mut cursors = store.cursors(CURSORS).await?;
        let all = store.list_all::<Subscription>(&Query::default()).await?;
        let mut roster = Self {
            begin: head,
            ..Self::default()
        };
        let mut placed = Vec::new();
        for subscription in all {
            let consumer = Subscription::consumer(subscription.meta.uid);
            let noted = cursors.remove(&consumer).unwrap_or_default();
            if !subscription.spec.enabled {
                continue;
            }
            let cursor = noted.max(subscription.spec.after);
            if head - cursor <= TOGETHER {
                roster.begin = roster.begin.min(cursor);
            }
            placed.push((subscription, cursor, noted));
        }
        for (subscription, cursor, noted) in placed {
            tokio::task::consume_budget().await;
            let follows = cursor >= roster.begin;
            let lane = Lane::new(hub, &subscription, cursor, noted, follows);
            roster.add(Arc::new(lane));
        }
        for gone in cursors.keys() {
            store.drop_cursor(gone).await?;
        }
        Ok(roster)
    }

    /// Those who read the log for themselves before they follow.
    pub(super) fn behind(&self) -> Vec<Arc<Lane>> {
        let behind = |lane: &&Arc<Lane>| lane.begins_behind();
        self.lanes.values().filter(behind).cloned().collect()
    }

    /// All, by team and name.
    pub(super) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.values().cloned().collect()
    }

    /// Takes in a subscription as it is now. Gives its lane where that is new.
    pub(super) async fn take_in(
        hub: &Hub,
        store: &Store,
        subscription: Resource<Subscription>,
    ) -> Result<Option<Arc<Lane>>> {
        let key = subscription.key();
        let (lane, stale) = {
            let mut roster = hub.roster();
            let Some(roster) = roster.as_mut() else {
                return Ok(None);
            };
            let lane = roster.remove(&key);
            let keeps =
                |lane: &Arc<Lane>| lane.uid == subscription.meta.uid && subscription.spec.enabled;
            match lane {
                Some(lane) if keeps(&lane) => {
                    lane.configure(Config::new(&subscription));
                    roster.add(lane);
                    return Ok(None);
                }
                lane => (lane.as_ref().map(|lane| lane.uid), lane),
            }
        };
        let uid = subscription.meta.uid;
        if let Some(former) = stale {
            // Where it ended is where it goes on.
            former.end();
            store
                .set_cursor(
                    &Subscription::consumer(former.uid),
                    former.cursor(hub.read_to()),
                )
                .await?;
        }
        if let Some(other) = lane.filter(|other| *other != uid) {
            forget(store, other).await?;
        }
        if !subscription.spec.enabled {
            return Ok(None);
        }
        let noted = store.cursor(&Subscription::consumer(uid)).await?;
        let cursor = noted.max(subscription.spec.after);
        let lane = Arc::new(Lane::new(hub, &subscription, cursor, noted, false));
        if let Some(roster) = hub.roster().as_mut() {
            roster.add(lane.clone());
        }
        Ok(Some(lane))
    }

    /// Takes out a subscription that is no more.
    pub(super) async fn take_out(hub: &Hub, store: &Store, key: &Key) -> Result<()> {
        let gone = hub.roster().as_mut().and_then(|roster| roster.remove(key));
        match gone {
            Some(lane) => {
                lane.end();
                forget(store, lane.uid).await
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, lane: Arc<Lane>) {
        self.wanting.add(&lane);
        let key = (lane.team.clone(), lane.name.clone());
        self.lanes.insert(key, lane);
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Lane>> {
        debug_assert_eq!(key.kind, Subscription::KIND);
        let lane = self.lanes.remove(&(key.scope.clone(), key.name.clone()))?;
        self.wanting.remove(&lane);
        Some(lane)
    }
}

async fn forget(store: &Store, uid: Uuid) -> Result<()> {
    store.drop_cursor(&Subscription::consumer(uid)).await
}
