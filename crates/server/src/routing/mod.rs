//! The gateway's routing table and the stable addresses of service ports, derived from the store by
//! every replica: read whole once, then followed by the log of events.
//!
//! An event costs the reading of what it is about, and a new table only where that changes where
//! something leads. Nothing is derived from the events themselves: they say where to look, so that
//! reading one twice, or late, does no harm.

mod forward;
#[cfg(test)]
mod tests;
mod view;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use delivery::model::{ResourceInstance, Route};
use gateway::{Callers, RoutingTable, tcp::Slots};
use kernel::{Document, EventFilter, Key, Kind, Query, Result, Store};
use provisioners::ServicePort;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{forward::Forwards, view::View};

/// Events that are read at once.
const EVENTS: usize = 500;
/// The wait before the store is asked again after it did not answer.
const STORE_AWAY: Duration = Duration::from_secs(1);
/// The wait before a service port is tried again that another program has: as a rule another replica
/// on this machine, whose end it takes over from.
const PORT_TAKEN: Duration = Duration::from_secs(5);

/// Follows the store until it is told to stop.
pub(crate) struct Routing {
    store: Store,
    view: View,
    /// The place in the log up to which the view is what the store says.
    seen: i64,
    /// What the view has taken in and the table does not say yet: kept over a reading that fails, since
    /// the log is not read again from before it.
    unpublished: bool,
    /// The same of the service ports.
    unserved: bool,
    table: watch::Sender<Arc<RoutingTable>>,
    forwards: Forwards,
}

impl Routing {
    /// With an empty table. `callers` says whose workload connects to a service port; `slots` are for the connections
    /// of all.
    pub(crate) fn new(
        store: Store,
        service_ports: Arc<ServicePort>,
        callers: Option<Arc<dyn Callers>>,
        slots: Slots,
    ) -> (Self, watch::Receiver<Arc<RoutingTable>>) {
        let (table, receiver) = watch::channel(Arc::default());
        (
            Self {
                store,
                view: View::default(),
                seen: 0,
                unpublished: false,
                unserved: false,
                table,
                forwards: Forwards::new(service_ports, callers, slots),
            },
            receiver,
        )
    }

    /// Keeps the tables as the store says, from the last [`Routing::refresh`] on.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let mut news = self.store.subscribe();
        loop {
            news.borrow_and_update();
            let wait = match self.catch_up().await {
                Ok(()) if self.forwards.all_served() => None,
                Ok(()) => Some(PORT_TAKEN),
                Err(error) => {
                    // The last table stands: "could not ask" takes no route away.
                    tracing::warn!(
                        error = error.chain(),
                        "routes cannot be read; the last ones stand"
                    );
                    Some(STORE_AWAY)
                }
            };
            let waiting = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = waiting => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Makes everything anew from what the store holds.
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        // Before the lists: what happens meanwhile is found by one or by the other.
        let head = self.store.head().await?;
        let mut view = View::default();
        for kind in View::KINDS {
            let mut query = Query {
                limit: Query::MAX_LIMIT,
                ..Query::default()
            };
            loop {
                let page = self.store.documents(kind, &query).await?;
                for document in page.items {
                    take_in(&mut view, document);
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        self.view = view;
        self.seen = head;
        (self.unpublished, self.unserved) = (true, true);
        self.publish().await;
        Ok(())
    }

    /// Takes in what has changed since.
    async fn catch_up(&mut self) -> Result<()> {
        while self.read_on().await? {}
        self.publish().await;
        Ok(())
    }

    /// Takes in the next part of the log; says whether there was any.
    async fn read_on(&mut self) -> Result<bool> {
        let filter = EventFilter::default();
        let events = self.store.events(&filter, self.seen, EVENTS).await?;
        let Some(last) = events.last() else {
            return Ok(false);
        };
        let concerned: BTreeSet<Key> = events
            .iter()
            .filter_map(kernel::Event::subject_key)
            .filter(|key| View::concerns(&key.kind))
            .collect();
        for key in concerned {
            let changed = match self.store.document(&key).await? {
                Some(document) => take_in(&mut self.view, document),
                None => self.view.remove(&key),
            };
            self.unpublished |= changed && key.kind != ResourceInstance::KIND;
            self.unserved |= changed && key.kind != Route::KIND;
        }
        self.seen = last.seq;
        Ok(true)
    }

    /// Has the gateway follow the view.
    async fn publish(&mut self) {
        if self.unpublished {
            self.table.send_replace(Arc::new(self.view.table()));
            self.unpublished = false;
        }
        if self.unserved || !self.forwards.all_served() {
            self.forwards.follow(&self.view).await;
            self.unserved = false;
        }
    }
}

/// Takes `document` into `view`; says whether anything may lead elsewhere. One that cannot be read leaves
/// what is known of it: it must not keep the others from being served.
fn take_in(view: &mut View, document: Document) -> bool {
    let key = document.key();
    view.put(document).unwrap_or_else(|error| {
        let error = error.chain();
        tracing::error!(%key, error, "a document cannot be read; what it led to before stands");
        false
    })
}
