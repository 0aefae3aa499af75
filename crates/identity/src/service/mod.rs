//! The use cases of identity: authorize, check, write. The only place, the rotation of keys apart,
//! that changes its resources and records.

mod access;
mod accounts;
mod apply;
mod attempts;
mod authorize;
mod automation;
mod backchannel;
mod clients;
mod customers;
mod departure;
mod device;
mod directory;
mod exchange;
mod foreign;
mod groups;
mod issuers;
mod keys;
mod login;
mod membership;
mod openings;
mod oversight;
mod people;
mod recheck;
mod registered;
mod rotation;
mod sessions;
mod tokens;
mod told;
mod upstreams;
mod users;
mod withdrawal;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use kernel::{
    Caller, CallerKind, Contended, Error, Guard, Line, Means, Resource, Result, Store, Turns,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::login::Filled;
pub use self::{
    accounts::NewKey,
    apply::{Applied, Beside, Declared},
    authorize::AuthorizeRefusal,
    automation::{AutomationReport, Departure, Made, SeenKey, Told, Webhook, Webhooks},
    clients::{CLI, ClientCredentials, NewSecret, PORTAL, PORTAL_CALLBACK},
    customers::Customers,
    departure::TeamDeparture,
    device::{DeviceAnswer, DeviceRequest},
    directory::{UpstreamGroup, UpstreamMembers, Whom},
    login::{Entered, LoginForm, Purpose},
    oversight::{EndedSessions, PersonalSession},
    people::PersonGroups,
    registered::{PersonalCredential, Tools},
    rotation::{DepartureItem, DepartureOutcome, DepartureRotation, Rotations},
    tokens::TokenAnswer,
    upstreams::UpstreamSecrets,
};
use self::{automation::Noted, issuers::Issuers, openings::Openings, recheck::Unanswered};
use crate::{
    clock::Clock,
    model::ServiceAccount,
    outbound::Outbound,
    settings::Settings,
    source::{github::Kept, local::Local},
    verify::{ACCOUNT, Verifier},
    view::View,
};

/// The use cases, and what they work with. One for the whole process.
pub struct Identity {
    store: Store,
    guard: Guard,
    settings: Settings,
    clock: Clock,
    view: Arc<View>,
    verifier: Arc<Verifier>,
    local: Arc<Local>,
    outbound: Outbound,
    /// What upstreams have listed before.
    directories: Arc<Kept>,
    issuers: Arc<Issuers>,
    unanswered: Unanswered,
    openings: Openings,
    /// Those who renew one session at the same moment.
    renewals: Turns<String>,
    attempts: Turns<String>,
    noted: Noted,
    webhooks: OnceLock<Arc<dyn Webhooks>>,
    tools: OnceLock<Arc<dyn Tools>>,
    customers: OnceLock<Arc<dyn Customers>>,
    rotations: OnceLock<Arc<dyn Rotations>>,
}

impl Identity {
    /// Wires the use cases, and makes the clients that Towpath has itself. The signing keys of a new
    /// platform are drawn when they are first needed, or by [`Identity::follow`]: a start does not wait
    /// for them.
    pub async fn start(
        store: Store,
        guard: Guard,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self> {
        settings.check()?;
        clients::install(&store, &settings.issuer).await?;
        let memory = settings.lifetimes.longest_membership();
        let view = Arc::new(View::load(store.clone(), clock.clone(), memory).await?);
        Ok(Self {
            verifier: Arc::new(Verifier::new(&settings, clock.clone(), view.clone())?),
            local: Arc::new(Local::new(store.clone(), clock.clone(), view.clone())),
            outbound: Outbound::new(&settings)?,
            directories: Arc::default(),
            issuers: Arc::default(),
            unanswered: Unanswered::default(),
            openings: Openings::default(),
            renewals: Turns::default(),
            attempts: Turns::default(),
            noted: Noted::default(),
            webhooks: OnceLock::new(),
            tools: OnceLock::new(),
            customers: OnceLock::new(),
            rotations: OnceLock::new(),
            store,
            guard,
            settings,
            clock,
            view,
        })
    }

    /// Keeps in step with what other replicas do, until `stop`. Without it everything is right, and
    /// slower.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        if let Err(error) = self.keys_ready().await {
            tracing::warn!(chain = error.chain(), "the signing keys are not drawn yet");
        }
        self.view.follow(stop).await;
    }

    /// What checks access tokens.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.verifier.clone()
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Contended for crate::Refusal {
    fn is_overtaken(&self) -> bool {
        self.cause.as_ref().is_some_and(Error::is_overtaken)
    }

    fn line(&self) -> Option<Line> {
        self.cause.as_ref().and_then(Contended::line)
    }

    fn given_up(self, times: u32) -> Self {
        match self.cause {
            Some(error) => error.given_up(times).into(),
            None => self,
        }
    }
}

/// The caller behind what somebody does to their own login: themselves, by these means.
fn as_themselves(subject: &str, means: Means) -> Caller {
    Caller {
        subject: subject.into(),
        kind: CallerKind::Person,
        groups: vec![],
        group_ids: BTreeMap::new(),
        teams: vec![],
        leads: vec![],
        environment: None,
        admin: false,
        means,
        reason: None,
        correlation: uuid::Uuid::now_v7(),
    }
}

/// The caller behind what a service account does to itself, by these means.
fn as_account(account: &Resource<ServiceAccount>, means: Means) -> Caller {
    let Resource { meta, spec, .. } = account;
    Caller {
        subject: format!("{ACCOUNT}:{}/{}", meta.scope, meta.name),
        kind: spec.kind.into(),
        groups: vec![],
        group_ids: BTreeMap::new(),
        teams: vec![meta.scope.clone()],
        leads: vec![],
        environment: spec.environment.clone(),
        admin: false,
        means,
        reason: None,
        correlation: uuid::Uuid::now_v7(),
    }
}
