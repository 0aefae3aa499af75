//! The use cases of teams: authorize, check, write spec and event. The only place, reconcilers apart,
//! that changes its resources.

pub(crate) mod access;
mod apply;
pub(crate) mod change;
mod differences;
mod integrations;
mod members;
mod names;
pub(crate) mod namespaces;
mod offboard;
mod onboard;
mod onboarding;
mod tools;

use std::{sync::Arc, time::Duration};

use tokio::sync::OnceCell;

pub use self::tools::PersonalCredential;
use kernel::{Clock, Guard, Store};

use crate::{
    Registry,
    port::{Belongings, Credentials, LocalGroups, SecretNames, Upstreams},
    tool::Tool,
};

/// What the platform's configuration says about teams.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often each team is told of although nothing has changed.
    pub sync_every: Duration,
    /// By what time interactions and credentials of tools come to their end.
    pub clock: Clock,
}

impl Settings {
    /// The time between two `team.sync` where nothing else is said.
    pub const SYNC_EVERY: Duration = Duration::from_mins(5);

    /// Teams are told of so often; all else as it is where nothing is said.
    pub fn every(sync_every: Duration) -> Self {
        let clock = Clock::system();
        Self { sync_every, clock }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::every(Self::SYNC_EVERY)
    }
}

/// What others do for teams.
pub struct Ports {
    /// The source whose groups the platform keeps.
    pub local: Arc<dyn LocalGroups>,
    /// The other sources.
    pub upstreams: Arc<dyn Upstreams>,
    /// What draws deploy credentials.
    pub credentials: Arc<dyn Credentials>,
    /// What teams keep secret, by name.
    pub secrets: Arc<dyn SecretNames>,
    /// Who keeps anything for a team, in the order in which it is taken away.
    pub belongings: Vec<Arc<dyn Belongings>>,
    /// What speaks to the tools that are kept in step with teams.
    pub tools: Vec<Arc<dyn Tool>>,
}

/// The use cases, and what they work with. One for the whole process.
pub struct Teams {
    store: Store,
    guard: Guard,
    registry: Arc<Registry>,
    ports: Ports,
    settings: Settings,
    /// That all places at tools that are held are written down: looked at once.
    places: OnceCell<()>,
}

impl Teams {
    /// Wires the use cases.
    pub fn new(
        store: Store,
        guard: Guard,
        registry: Arc<Registry>,
        ports: Ports,
        settings: Settings,
    ) -> Self {
        Self {
            store,
            guard,
            registry,
            ports,
            settings,
            places: OnceCell::new(),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Which teams are registered.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Whether all places at tools that are held are written down.
    pub(crate) fn places(&self) -> &OnceCell<()> {
        &self.places
    }
}
