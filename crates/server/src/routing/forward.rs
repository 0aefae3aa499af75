//! The stable addresses of service ports, each served by this replica where it can.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use gateway::{
    Callers,
    tcp::{Backends, Forwarder, Slots},
};
use provisioners::ServicePort;
use tokio::sync::watch;
use uuid::Uuid;

use super::view::View;

pub(super) struct Forwards {
    service_ports: Arc<ServicePort>,
    callers: Option<Arc<dyn Callers>>,
    slots: Slots,
    /// The instances whose ports are kept from being given to others.
    kept: HashSet<Uuid>,
    served: HashMap<Uuid, Forward>,
    /// Those that another program has.
    taken: HashSet<Uuid>,
}

/// A stable address, and where it leads now.
struct Forward {
    listen: SocketAddr,
    backends: watch::Sender<Backends>,
    /// Ends with this value.
    _forwarder: Forwarder,
}

impl Forwards {
    pub(super) fn new(
        service_ports: Arc<ServicePort>,
        callers: Option<Arc<dyn Callers>>,
        slots: Slots,
    ) -> Self {
        Self {
            service_ports,
            callers,
            slots,
            kept: HashSet::new(),
            served: HashMap::new(),
            taken: HashSet::new(),
        }
    }

    /// Whether every port that should be served is.
    pub(super) fn all_served(&self) -> bool {
        self.taken.is_empty()
    }

    /// Serves what `view` says, and no other.
    pub(super) async fn follow(&mut self, view: &View) {
        let mut wanted = HashMap::new();
        let mut kept = HashSet::new();
        for (port, backends) in view.ports() {
            // Also while it is not served: whoever reconciles next must not give it to another.
            self.service_ports.keep(port.instance, &port.state);
            kept.insert(port.instance);
            if port.ready {
                let team = port.team.as_str();
                wanted.insert(port.instance, (port.state.listen, team, backends));
            }
        }
        for gone in self.kept.difference(&kept) {
            self.service_ports.release(*gone);
        }
        self.kept = kept;
        self.taken.retain(|uid| wanted.contains_key(uid));
        self.served.retain(|uid, forward| {
            wanted
                .get(uid)
                .is_some_and(|(listen, ..)| *listen == forward.listen)
        });
        for (uid, (listen, team, backends)) in wanted {
            self.serve(uid, listen, team, backends).await;
        }
    }

    async fn serve(&mut self, uid: Uuid, listen: SocketAddr, team: &str, backends: Backends) {
        if let Some(forward) = self.served.get(&uid) {
            forward.backends.send_if_modified(|current| {
                let changed = *current != backends;
                *current = backends;
                changed
            });
            return;
        }
        let (send, receive) = watch::channel(backends);
        let share = self.slots.of(team);
        match Forwarder::bind(listen, receive, self.callers.clone(), share).await {
            Ok(forwarder) => {
                let forward = Forward {
                    listen,
                    backends: send,
                    _forwarder: forwarder,
                };
                self.served.insert(uid, forward);
                self.taken.remove(&uid);
            }
            // Another replica on this machine has it, or a stranger: said once, and tried again.
            Err(error) => {
                if self.taken.insert(uid) {
                    tracing::warn!(%listen, %error, "a service port is not served here");
                }
            }
        }
    }
}
