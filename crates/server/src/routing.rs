//! The gateway's routing table and the stable addresses of service ports, derived from the store by
//! every replica: from scratch at the start, and anew on each change that concerns them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use delivery::model::{InstancePhase, ResourceInstance, Route, RouteSpec, Workload};
use gateway::{Absence, RoutingTable, Target, tcp::Forwarder};
use kernel::{EventFilter, Kind, Query, Resource, Result, Store};
use provisioners::{ServicePort, ServicePortState};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Follows the store until it is told to stop.
pub(crate) struct Routing {
    store: Store,
    table: watch::Sender<Arc<RoutingTable>>,
    /// What the table was last made of: an equal one is not sent again.
    made_of: Vec<(RouteSpec, Target)>,
    forwards: HashMap<Uuid, Forward>,
    service_ports: Arc<ServicePort>,
    /// The service ports that were there at the last look.
    kept: HashSet<Uuid>,
}

/// A stable address, and where it leads now.
struct Forward {
    listen: SocketAddr,
    backends: watch::Sender<Vec<SocketAddr>>,
    /// Ends with this value.
    _forwarder: Forwarder,
}

impl Routing {
    /// With an empty table.
    pub(crate) fn new(
        store: Store,
        service_ports: Arc<ServicePort>,
    ) -> (Self, watch::Receiver<Arc<RoutingTable>>) {
        let (table, receiver) = watch::channel(Arc::default());
        (
            Self {
                store,
                table,
                made_of: Vec::new(),
                forwards: HashMap::new(),
                service_ports,
                kept: HashSet::new(),
            },
            receiver,
        )
    }

    /// Makes the tables anew whenever something that they are derived from has changed.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let mut news = self.store.subscribe();
        let mut seen = 0;
        let mut failed = false;
        loop {
            let head = *news.borrow_and_update();
            match self.refresh_if_concerned(seen, head, failed).await {
                Ok(()) => (seen, failed) = (head, false),
                Err(error) => {
                    // The last table stands: "could not ask" takes no route away.
                    failed = true;
                    tracing::warn!(
                        error = error.chain(),
                        "routes cannot be read; the last ones stand"
                    );
                }
            }
            let wait = if failed {
                Duration::from_secs(1)
            } else {
                Duration::from_mins(5)
            };
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => failed = true,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn refresh_if_concerned(&mut self, seen: i64, head: i64, always: bool) -> Result<()> {
        /// Above this many events, looking is no cheaper than making the table anew.
        const LOOK: usize = 200;
        if !always && seen > 0 {
            let events = self
                .store
                .events(&EventFilter::default(), seen, LOOK)
                .await?;
            let concerned = events.len() == LOOK
                || events.iter().filter(|e| e.seq <= head).any(|event| {
                    [Route::KIND, Workload::KIND, ResourceInstance::KIND]
                        .iter()
                        .any(|kind| event.subject.starts_with(&format!("{kind}/")))
                });
            if !concerned {
                return Ok(());
            }
        }
        self.refresh().await
    }

    /// Makes both tables from what the store holds.
    pub(crate) async fn refresh(&mut self) -> Result<()> {
        let workloads: BTreeMap<_, _> = self
            .store
            .list_all::<Workload>(&Query::default())
            .await?
            .into_iter()
            .map(|w| ((w.meta.scope.clone(), w.meta.name.clone()), w))
            .collect();
        let mut routes = Vec::new();
        for route in self.store.list_all::<Route>(&Query::default()).await? {
            let spec = route.spec;
            // A name that is claimed without a path leads nowhere.
            if spec.path.is_empty() {
                continue;
            }
            let workload = workloads.get(&(spec.environment.clone(), spec.workload.clone()));
            let target = Target {
                owner: format!("{}/{}", spec.environment, spec.workload),
                backends: workload
                    .map(|w| backends(w, &spec.port))
                    .unwrap_or_default(),
                absence: match workload {
                    Some(workload) if workload.is_deleting() => Absence::Stopped,
                    Some(_) => Absence::Starting,
                    None => Absence::Stopped,
                },
            };
            routes.push((spec, target));
        }
        if routes != self.made_of {
            let mut table = RoutingTable::new();
            for (spec, target) in &routes {
                if let Err(error) = table.insert(&spec.host, &spec.path, target.clone()) {
                    tracing::warn!(host = spec.host, path = spec.path, %error, "a route is not served");
                }
            }
            self.made_of = routes;
            self.table.send_replace(Arc::new(table));
        }
        self.forward(&workloads).await
    }

    async fn forward(
        &mut self,
        workloads: &BTreeMap<(String, String), Resource<Workload>>,
    ) -> Result<()> {
        let mut wanted = HashMap::new();
        let mut kept = HashSet::new();
        for instance in self
            .store
            .list_all::<ResourceInstance>(&Query::default())
            .await?
        {
            let Resource { meta, spec, status } = instance;
            if spec.provisioner != "service-port" || status.state.is_null() {
                continue;
            }
            let Ok(state) = serde_json::from_value::<ServicePortState>(status.state) else {
                tracing::warn!(instance = meta.name, "a service port has an unknown state");
                continue;
            };
            // Also while it is not served: whoever reconciles next must not give it to another.
            self.service_ports.keep(meta.uid, &state);
            kept.insert(meta.uid);
            if status.phase != InstancePhase::Ready {
                continue;
            }
            let backends = workloads
                .get(&(meta.scope, state.workload))
                .map(|workload| backends(workload, &state.port))
                .unwrap_or_default();
            wanted.insert(meta.uid, (state.listen, backends));
        }
        for gone in self.kept.difference(&kept) {
            self.service_ports.release(*gone);
        }
        self.kept = kept;
        self.forwards.retain(|uid, forward| {
            wanted
                .get(uid)
                .is_some_and(|(listen, _)| *listen == forward.listen)
        });
        for (uid, (listen, backends)) in wanted {
            if let Some(forward) = self.forwards.get(&uid) {
                forward.backends.send_if_modified(|current| {
                    let changed = *current != backends;
                    *current = backends;
                    changed
                });
                continue;
            }
            let (send, receive) = watch::channel(backends);
            match Forwarder::bind(listen, receive).await {
                Ok(forwarder) => {
                    let forward = Forward {
                        listen,
                        backends: send,
                        _forwarder: forwarder,
                    };
                    self.forwards.insert(uid, forward);
                }
                // Another replica on this machine has it, or a stranger: tried again at each look.
                Err(error) => tracing::warn!(%listen, %error, "a service port is not served here"),
            }
        }
        Ok(())
    }
}

/// Where the active release of `workload` serves `port`: a name, or a number as text.
fn backends(workload: &Resource<Workload>, port: &str) -> Vec<SocketAddr> {
    let endpoints = &workload.status.endpoints;
    if let Some(endpoint) = endpoints.get(port) {
        return vec![*endpoint];
    }
    let ports = workload
        .spec
        .score
        .service
        .iter()
        .flat_map(|service| &service.ports);
    ports
        .filter(|(_, declared)| declared.port.to_string() == port)
        .filter_map(|(name, _)| endpoints.get(name).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use delivery::provisioner::{Provisioner as _, Request};
    use kernel::{Change, Sealer, Secret};
    use serde_json::{Value, json};

    use super::*;

    /// An instance whose last try failed: nothing listens on its port.
    fn instance() -> Resource<ResourceInstance> {
        let spec = json!({
            "node": "service-port.default#front.backend",
            "definition": { "name": "service-port-default", "revision": 1 },
            "provisioner": "service-port",
            "params": { "workload": "backend", "port": 80 },
            "rotation": 1,
            "correlation": Uuid::now_v7(),
            "team": "default",
            "role": "dev",
        });
        let spec = serde_json::from_value(spec).expect("a spec");
        let mut instance = Resource::<ResourceInstance>::new("dev", "backend", spec);
        instance.status.phase = InstancePhase::Failed;
        instance
    }

    fn request(instance: &Resource<ResourceInstance>, uid: Uuid) -> Request {
        Request {
            platform: Uuid::nil(),
            uid,
            environment: "dev".into(),
            role: "dev".into(),
            team: "default".into(),
            workload: Some("front".into()),
            resource_type: "service-port".into(),
            class: "default".into(),
            id: "front.backend".into(),
            params: instance.spec.params.clone(),
            seed: Secret::from("seed"),
            rotation: 1,
            state: Value::Null,
            machine_host: "127.0.0.1".into(),
        }
    }

    #[tokio::test]
    async fn the_port_of_a_service_that_is_not_served_is_given_to_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}/towpath.db", directory.path().display());
        let store = Store::open(&url, Sealer::generate().expect("a key"))
            .await
            .expect("a store");
        let mut instance = instance();
        let uid = instance.meta.uid;
        // A like-minded instance begins its search at the same port.
        let rival = request(&instance, Uuid::from_u128(uid.as_u128() + 10_000));
        let made = ServicePort::new().provision(&request(&instance, uid)).await;
        instance.status.state = made.expect("a port").state;
        let listen = instance.status.state["listen"].clone();
        let mut change = Change::new();
        change.create(&instance).expect("it can be written");
        store.commit(change).await.expect("it is written");

        let ports = Arc::new(ServicePort::new());
        let (mut routing, _table) = Routing::new(store.clone(), ports.clone());
        routing.refresh().await.expect("it can be read");
        let other = ports.provision(&rival).await.expect("another port");
        assert_ne!(other.state["listen"], listen);

        // Gone, it is free again.
        ports.remove(&rival).await.expect("it is let go");
        let instance = store.expect::<ResourceInstance>("dev", "backend").await;
        let mut change = Change::new();
        change
            .remove(&instance.expect("it is there"))
            .expect("it can be removed");
        store.commit(change).await.expect("it is removed");
        routing.refresh().await.expect("it can be read");
        let other = ports.provision(&rival).await.expect("that port");
        assert_eq!(other.state["listen"], listen);
    }
}
