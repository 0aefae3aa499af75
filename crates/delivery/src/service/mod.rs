//! The use cases of delivery: authorize, check, write spec and event. The only place, reconcilers
//! apart, that changes its resources.

pub(crate) mod access;
mod apply;
mod checks;
mod claims;
pub(crate) mod confidence;
mod container_defaults;
mod definitions;
mod deploy;
mod differences;
mod environments;
pub mod events;
mod in_force;
mod outdated;
pub mod outputs;
pub(crate) mod owners;
mod plans;
mod preview;
pub(crate) mod quota;
mod remnants;
mod resources;
pub(crate) mod restore;
pub(crate) mod shields;
pub(crate) mod takeover;
mod teams;
mod term;
mod workloads;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

pub use teams::TeamData;

use jiff::Timestamp;
use kernel::{Clock, Error, Guard, Kind, Problem, Query, Resource, Result, Secret, Store, Turns};

use self::{owners::Owners, term::Term};
use crate::{
    Engine, Provisioner, Verifier,
    definition::Applicable,
    documents::Documents,
    ending::Ends,
    model::{Environment, HostClaim, ResourceInstance, Route},
};

/// What the platform's configuration says about delivery.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Hosts are `WORKLOAD.ENVIRONMENT.<domain>`.
    pub domain: String,
    /// The gateway's port, for addresses that people are shown.
    pub gateway_port: u16,
    /// The engine of environments whose maker does not choose.
    pub default_engine: String,
    /// How long workloads have to get ready where the caller does not say, in seconds.
    pub default_timeout_seconds: u64,
    /// By what time environments end, deployments are late, and what failed is tried again.
    pub clock: Clock,
}

/// The use cases, and what they work with. One for the whole process.
pub struct Delivery {
    store: Store,
    engines: BTreeMap<&'static str, Arc<dyn Engine>>,
    provisioners: BTreeMap<&'static str, Arc<dyn Provisioner>>,
    verifier: Arc<dyn Verifier>,
    guard: Guard,
    settings: Settings,
    digest_key: Secret,
    /// What takes the documents of other domains.
    documents: OnceLock<Arc<dyn Documents>>,
    /// What ends with an environment.
    ends: OnceLock<Arc<dyn Ends>>,
    /// One deployment at a time is planned and written for an environment by this replica; others
    /// wait their turn, rather than plan in vain.
    turns: Turns<String>,
    /// By whom reconcilers take turns.
    pub(crate) owners: Owners,
    /// Since when this replica reconciles.
    pub(crate) term: Term,
}

impl Delivery {
    /// Wires the use cases. `digest_key` keys the digests of releases, so that a digest reveals
    /// nothing of the secrets in a release; it must stay the same across restarts.
    pub fn new(
        store: Store,
        engines: Vec<Arc<dyn Engine>>,
        provisioners: Vec<Arc<dyn Provisioner>>,
        verifier: Arc<dyn Verifier>,
        guard: Guard,
        settings: Settings,
        digest_key: Secret,
    ) -> Self {
        Self {
            store,
            engines: engines.into_iter().map(|e| (e.name(), e)).collect(),
            provisioners: provisioners.into_iter().map(|p| (p.name(), p)).collect(),
            verifier,
            guard,
            settings,
            digest_key,
            documents: OnceLock::new(),
            ends: OnceLock::new(),
            turns: Turns::default(),
            owners: Owners::default(),
            term: Term::default(),
        }
    }

    /// Has `apply` take the documents of other domains too. To be said once, before anything is served.
    pub fn also_applies(&self, documents: Arc<dyn Documents>) {
        if self.documents.set(documents).is_err() {
            tracing::warn!("who takes other domains' documents was said twice: the first counts");
        }
    }

    /// Names the kinds that there are, of all domains, where a document is of none.
    fn naming_kinds(&self, problem: Problem) -> Problem {
        if problem.rule != Applicable::NO_SUCH_KIND {
            return problem;
        }
        let others = self.documents.get().map(|others| others.kinds());
        let mut kinds = Applicable::KINDS.to_vec();
        kinds.extend(others.unwrap_or_default());
        problem.remedy(format!("use one of these kinds: {}", kinds.join(", ")))
    }

    /// Has what works in an environment alone end with it. To be said once, before anything is reconciled.
    pub fn also_ends(&self, ends: Arc<dyn Ends>) {
        if self.ends.set(ends).is_err() {
            tracing::warn!("what ends with an environment was said twice: the first counts");
        }
    }

    /// What ends with an environment, where anything does.
    pub(crate) fn ends(&self) -> Option<&Arc<dyn Ends>> {
        self.ends.get()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Now, by the clock of the settings.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// The engine `name`, or an error that names those there are.
    pub fn engine(&self, name: &str) -> Result<Arc<dyn Engine>> {
        self.engines.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.engines.keys().copied().collect();
            Error::invalid(format!("this platform has no engine `{name}`"))
                .remedy(format!("choose one of: {}", known.join(", ")))
        })
    }

    pub(crate) fn provisioner(&self, name: &str) -> Option<&Arc<dyn Provisioner>> {
        self.provisioners.get(name)
    }

    /// The engine of an environment.
    pub(crate) async fn engine_of(&self, environment: &str) -> Result<Arc<dyn Engine>> {
        let found = self.store.expect::<Environment>("", environment).await?;
        self.engine(&found.spec.engine)
    }

    pub(crate) fn digest_key(&self) -> &Secret {
        &self.digest_key
    }

    /// All instances of an environment.
    pub(crate) async fn instances(
        &self,
        environment: &str,
    ) -> Result<Vec<Resource<ResourceInstance>>> {
        self.store.list_all(&Query::scope(environment)).await
    }

    /// The routes that lead to a workload and belong to it alone.
    pub(crate) async fn routes_of_workload(
        &self,
        environment: &str,
        workload: &str,
    ) -> Result<Vec<Resource<Route>>> {
        let mut routes = self.routes_of(environment).await?;
        routes.retain(|route| route.spec.workload == workload);
        Ok(routes)
    }

    /// The routes that an instance claims.
    pub(crate) async fn routes_of_instance(
        &self,
        instance: &Resource<ResourceInstance>,
    ) -> Result<Vec<Resource<Route>>> {
        let mut routes = self.routes_of(&instance.meta.scope).await?;
        routes.retain(|route| route.spec.instance.as_ref() == Some(&instance.meta.name));
        Ok(routes)
    }

    /// The routes that lead to workloads of an environment.
    pub(crate) async fn routes_of(&self, environment: &str) -> Result<Vec<Resource<Route>>> {
        self.labelled(Route::ENVIRONMENT, environment).await
    }

    /// The routes of a host.
    pub(crate) async fn routes_at(&self, host: &str) -> Result<Vec<Resource<Route>>> {
        self.labelled(Route::HOST, host).await
    }

    /// The hosts that an environment was the last to claim a path of.
    pub(crate) async fn host_claims_of(
        &self,
        environment: &str,
    ) -> Result<Vec<Resource<HostClaim>>> {
        self.labelled(Route::ENVIRONMENT, environment).await
    }

    async fn labelled<K: Kind>(&self, label: &str, value: &str) -> Result<Vec<Resource<K>>> {
        let query = Query {
            labels: BTreeMap::from([(label.to_owned(), value.to_owned())]),
            ..Query::default()
        };
        self.store.list_all(&query).await
    }
}
