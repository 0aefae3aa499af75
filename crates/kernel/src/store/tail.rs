//! The end of the log, read once for all who follow it.
//!
//! Whoever follows wakes with each commit and wants the same few events. They are read by the first
//! that asks and shared by the others, so that a commit costs one reading however many follow, and
//! what is kept for them is kept once.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::Store;
use crate::{Event, EventFilter, Result};

/// Events that are read at once.
const EVENTS: usize = 200;

/// The newest part of the log that was asked for.
#[derive(Default)]
pub(super) struct Tail(Mutex<Part>);

#[derive(Default)]
struct Part {
    /// Before its first event.
    after: i64,
    events: Arc<[Event]>,
}

impl Part {
    /// Whether it has something after place `after`, and misses nothing in between.
    fn leads_on_from(&self, after: i64) -> bool {
        self.after <= after && self.events.last().is_some_and(|last| last.seq > after)
    }
}

impl Store {
    /// Events after place `after` that `filter` lets through, for one who follows the log; `head` is
    /// its end as far as the caller knows. Shared with others, they may begin before `after`, and hold
    /// what the filter does not let through: the caller passes over both.
    pub(crate) async fn follow(
        &self,
        filter: &EventFilter,
        after: i64,
        head: i64,
    ) -> Result<Arc<[Event]>> {
        let far = head - after > EVENTS as i64;
        if far {
            // Much of that may not be for it: the database sorts it out.
            return Ok(self.events(filter, after, EVENTS).await?.into());
        }
        let mut part = self.inner.tail.0.lock().await;
        if part.leads_on_from(after) {
            return Ok(part.events.clone());
        }
        let events: Arc<[Event]> = self
            .events(&EventFilter::default(), after, EVENTS)
            .await?
            .into();
        // One that lags a little does not take from the others what they share.
        if after >= part.after && !events.is_empty() {
            *part = Part {
                after,
                events: events.clone(),
            };
        }
        Ok(events)
    }
}
