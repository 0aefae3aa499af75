//! As much of the store as says where something leads.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use delivery::{
    model::{Environment, InstancePhase, ResourceInstance, Route, RouteSpec, Workload},
    score::Protocol,
};
use gateway::{Absence, Admission, RoutingTable, Target, tcp::Backends};
use kernel::{Document, Key, Kind, Result};
use provisioners::ServicePortState;
use teams::model::{Namespace, NetworkPolicies};
use uuid::Uuid;

/// Environment (or other scope) and name.
type Place = (String, String);

#[derive(Default)]
pub(super) struct View {
    workloads: HashMap<Place, Serving>,
    /// In the order of their names: where two claim one place, the same wins each time.
    routes: BTreeMap<String, RouteSpec>,
    ports: HashMap<Place, Port>,
    /// The team of each environment.
    teams: HashMap<String, String>,
    /// Who may reach each namespace, by team and name.
    policies: HashMap<Place, NetworkPolicies>,
}

/// Where a workload serves.
#[derive(PartialEq)]
struct Serving {
    deleting: bool,
    endpoints: BTreeMap<String, SocketAddr>,
    /// The ports by name, as others call them.
    declared: BTreeMap<String, u16>,
}

/// A service port that was given to an instance.
#[derive(PartialEq)]
pub(super) struct Port {
    pub(super) instance: Uuid,
    environment: String,
    /// Whose it is.
    pub(super) team: String,
    pub(super) state: ServicePortState,
    /// Whether it is to be served.
    pub(super) ready: bool,
}

impl View {
    /// What says where something leads, and for whom.
    pub(super) const KINDS: [&'static str; 5] = [
        Workload::KIND,
        Route::KIND,
        ResourceInstance::KIND,
        Environment::KIND,
        Namespace::KIND,
    ];

    /// Whether something of `kind` may say where something leads.
    pub(super) fn concerns(kind: &str) -> bool {
        Self::KINDS.contains(&kind)
    }

    /// Takes in a document as it is now. Says whether anything may lead elsewhere.
    pub(super) fn put(&mut self, document: Document) -> Result<bool> {
        let place = (document.meta.scope.clone(), document.meta.name.clone());
        Ok(match document.kind.as_str() {
            Workload::KIND => {
                let workload = document.typed::<Workload>()?;
                // What is passed on is TCP; a number may be declared for both.
                let ports = workload.spec.score.service.iter().flat_map(|s| &s.ports);
                let ports = ports.filter(|(_, port)| port.protocol != Some(Protocol::Udp));
                let serving = Serving {
                    deleting: workload.is_deleting(),
                    declared: ports.map(|(name, p)| (name.clone(), p.port)).collect(),
                    endpoints: workload.status.endpoints,
                };
                let same = self.workloads.get(&place) == Some(&serving);
                self.workloads.insert(place, serving);
                !same
            }
            Route::KIND => {
                let route = document.typed::<Route>()?;
                let before = self.routes.insert(place.1, route.spec.clone());
                before.as_ref() != Some(&route.spec)
            }
            ResourceInstance::KIND => match port(document)? {
                Some(port) => {
                    let same = self.ports.get(&place) == Some(&port);
                    self.ports.insert(place, port);
                    !same
                }
                None => self.ports.remove(&place).is_some(),
            },
            Environment::KIND => {
                let team = document.typed::<Environment>()?.spec.team;
                let same = self.teams.get(&place.1) == Some(&team);
                self.teams.insert(place.1, team);
                !same
            }
            Namespace::KIND => {
                let policies = document.typed::<Namespace>()?.spec.network_policies;
                let same = self.policies.get(&place) == Some(&policies);
                self.policies.insert(place, policies);
                !same
            }
            _ => false,
        })
    }

    /// There is no such document any more. Says whether anything may lead elsewhere.
    pub(super) fn remove(&mut self, key: &Key) -> bool {
        let place = (key.scope.clone(), key.name.clone());
        match key.kind.as_str() {
            Workload::KIND => self.workloads.remove(&place).is_some(),
            Route::KIND => self.routes.remove(&place.1).is_some(),
            ResourceInstance::KIND => self.ports.remove(&place).is_some(),
            Environment::KIND => self.teams.remove(&place.1).is_some(),
            Namespace::KIND => self.policies.remove(&place).is_some(),
            _ => false,
        }
    }

    /// The gateway's table.
    pub(super) fn table(&self) -> RoutingTable {
        let mut table = RoutingTable::new();
        // A name that is claimed without a path leads nowhere.
        for route in self.routes.values().filter(|route| !route.path.is_empty()) {
            let serving = self.serving(&route.environment, &route.workload);
            let target = Target {
                owner: format!("{}/{}", route.environment, route.workload),
                backends: serving.map(|s| s.backends(&route.port)).unwrap_or_default(),
                absence: match serving {
                    Some(serving) if !serving.deleting => Absence::Starting,
                    _ => Absence::Stopped,
                },
                admission: self.admission(&route.environment),
            };
            if let Err(error) = table.insert(&route.host, &route.path, target) {
                tracing::warn!(host = route.host, path = route.path, %error, "a route is not served");
            }
        }
        table
    }

    /// Every service port, and where it leads.
    pub(super) fn ports(&self) -> impl Iterator<Item = (&Port, Backends)> {
        self.ports.values().map(|port| {
            let serving = self.serving(&port.environment, &port.state.workload);
            let backends = serving.map(|s| s.backends(&port.state.port));
            let backends = Backends {
                addresses: backends.unwrap_or_default(),
                admission: self.admission(&port.environment),
            };
            (port, backends)
        })
    }

    /// Whose workloads an environment lets in; none: everybody's. It is for the namespace to say that it
    /// backs, of the same name and team.
    fn admission(&self, environment: &str) -> Option<Arc<Admission>> {
        let policies = self.policies_of(environment)?;
        if !policies.default_deny {
            return None;
        }
        let named = policies.allow_ingress.iter();
        let named = named.map(|peer| peer.from_namespace.as_str());
        // A name alone is no namespace: the environment of that name may be anybody's.
        let let_in = named.filter(|name| self.policies_of(name).is_some());
        Some(Arc::new(Admission {
            namespace: environment.to_owned(),
            team: self.teams.get(environment)?.clone(),
            from: let_in.chain([environment]).map(str::to_owned).collect(),
        }))
    }

    fn policies_of(&self, environment: &str) -> Option<&NetworkPolicies> {
        let team = self.teams.get(environment)?;
        self.policies.get(&(team.clone(), environment.to_owned()))
    }

    fn serving(&self, environment: &str, workload: &str) -> Option<&Serving> {
        self.workloads
            .get(&(environment.to_owned(), workload.to_owned()))
    }
}

impl Serving {
    /// Where `port` is served: a name, or a number as text.
    fn backends(&self, port: &str) -> Vec<SocketAddr> {
        if let Some(endpoint) = self.endpoints.get(port) {
            return vec![*endpoint];
        }
        self.declared
            .iter()
            .filter(|(_, number)| number.to_string() == port)
            .filter_map(|(name, _)| self.endpoints.get(name).copied())
            .collect()
    }
}

/// The service port that an instance was given, if it is one.
fn port(document: Document) -> Result<Option<Port>> {
    let instance = document.typed::<ResourceInstance>()?;
    if instance.spec.provisioner != "service-port" || instance.status.state.is_null() {
        return Ok(None);
    }
    match serde_json::from_value(instance.status.state) {
        Ok(state) => Ok(Some(Port {
            instance: instance.meta.uid,
            environment: instance.meta.scope,
            team: instance.spec.team,
            state,
            ready: instance.status.phase == InstancePhase::Ready,
        })),
        Err(error) => {
            tracing::warn!(instance = instance.meta.name, %error, "a service port has an unknown state");
            Ok(None)
        }
    }
}
