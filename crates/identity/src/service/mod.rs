//! The use cases of identity: authorize, check, write. The only place, the rotation of keys apart,
//! that changes its resources and records.

mod accounts;
mod attempts;
mod authorize;
mod clients;
mod device;
mod exchange;
mod keys;
mod login;
mod membership;
mod sessions;
mod tokens;
mod upstreams;
mod users;

use std::sync::Arc;

use kernel::{
    Caller, CallerKind, Change, Error, ErrorKind, Key, NewEvent, Outcome, Resource, Result, Store,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::exchange::Issuers;
pub use self::{
    accounts::NewKey,
    authorize::AuthorizeRefusal,
    clients::{CLI, ClientCredentials, NewSecret},
    device::{DeviceAnswer, DeviceRequest},
    login::{Entered, LoginForm},
    tokens::TokenAnswer,
};
use crate::{
    clock::Clock,
    model::ServiceAccount,
    outbound::Outbound,
    settings::Settings,
    source::local::Local,
    verify::{ACCOUNT, Verifier},
    view::View,
};

/// How often work is done anew because something changed beneath it.
const TRIES: u32 = 8;

/// The use cases, and what they work with. One for the whole process.
pub struct Identity {
    store: Store,
    settings: Settings,
    clock: Clock,
    view: Arc<View>,
    verifier: Arc<Verifier>,
    local: Local,
    outbound: Outbound,
    issuers: Issuers,
}

impl Identity {
    /// Wires the use cases, and makes the clients that Towpath has itself. The signing keys of a new
    /// platform are drawn when they are first needed, or by [`Identity::follow`]: a start does not wait
    /// for them.
    pub async fn start(store: Store, settings: Settings, clock: Clock) -> Result<Self> {
        settings.check()?;
        clients::install(&store).await?;
        let memory = settings.lifetimes.longest_token();
        let view = Arc::new(View::load(store.clone(), clock.clone(), memory).await?);
        Ok(Self {
            verifier: Arc::new(Verifier::new(&settings, clock.clone(), view.clone())),
            local: Local::new(store.clone(), clock.clone(), view.clone()),
            outbound: Outbound::new(&settings)?,
            issuers: Issuers::default(),
            store,
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

    /// Whether `caller` may see the resources of a kind of ours.
    pub fn may_read(&self, caller: &Caller, kind: &str) -> Result<()> {
        authorize_platform(caller, &format!("read resources of kind {kind}"))
    }

    /// Does `work`, which reads, decides and writes, anew where somebody has written in between.
    async fn anew<T, E, F>(work: impl Fn() -> F) -> std::result::Result<T, E>
    where
        E: Contended,
        F: Future<Output = std::result::Result<T, E>>,
    {
        for _ in 1..TRIES {
            match work().await {
                Err(error) if error.is_conflict() => {}
                done => return done,
            }
        }
        work().await
    }
}

/// An error that may say that somebody else has written in between.
trait Contended {
    fn is_conflict(&self) -> bool;
}

impl Contended for Error {
    fn is_conflict(&self) -> bool {
        self.kind == ErrorKind::Conflict
    }
}

impl Contended for crate::Refusal {
    fn is_conflict(&self) -> bool {
        self.cause.as_ref().is_some_and(Contended::is_conflict)
    }
}

/// Whether `caller` may change what the whole platform shares.
fn authorize_platform(caller: &Caller, what: &str) -> Result<()> {
    if caller.admin {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "only those who operate the platform may {what}"
    )))
}

/// Whether `caller` may change what belongs to `team`. Credentials make no credentials: what deploys,
/// or acts on its own judgement, could otherwise outlive its own end.
fn authorize_team(caller: &Caller, team: &str, what: &str) -> Result<()> {
    let bound = [CallerKind::DeployCredential, CallerKind::Agent].contains(&caller.kind);
    if caller.admin || (!bound && caller.teams.iter().any(|one| one == team)) {
        return Ok(());
    }
    Err(
        Error::forbidden(format!("you may not act for team `{team}`: {what}"))
            .remedy("ask a member of that team"),
    )
}

/// Refuses where the caller took the resource to be at another revision (`If-Match`).
fn require_revision(meta: &kernel::Meta, expected: Option<i64>) -> Result<()> {
    match expected {
        Some(expected) if expected != meta.revision => Err(Error::conflict(format!(
            "`{}` is at revision {}, not {expected}",
            meta.name, meta.revision
        ))
        .remedy("read it again, and decide anew")),
        _ => Ok(()),
    }
}

/// An event of identity: who did what to whom, and nothing that opens a door.
fn event(
    kind: &str,
    subject: Key,
    team: &str,
    caller: &Caller,
    outcome: Option<Outcome>,
    data: Value,
) -> NewEvent {
    NewEvent {
        kind: format!("dev.towpath.{kind}"),
        subject,
        team: team.into(),
        correlation: caller.correlation,
        actor: caller.subject.clone(),
        outcome,
        data,
    }
}

/// The one resource that a change wrote.
fn written<K: kernel::Kind>(committed: kernel::Committed) -> Result<Resource<K>> {
    let of_kind = |document: &kernel::Document| document.kind == K::KIND;
    committed
        .documents
        .into_iter()
        .rfind(of_kind)
        .ok_or_else(|| Error::internal("a change wrote nothing", K::KIND))?
        .typed()
}

/// The caller behind what somebody does to their own login: themselves.
fn as_themselves(subject: &str) -> Caller {
    Caller {
        subject: subject.into(),
        kind: CallerKind::Person,
        teams: vec![],
        environment: None,
        admin: false,
        correlation: uuid::Uuid::now_v7(),
    }
}

/// The caller behind what a service account does to itself.
fn as_account(account: &Resource<ServiceAccount>) -> Caller {
    let Resource { meta, spec, .. } = account;
    Caller {
        subject: format!("{ACCOUNT}:{}/{}", meta.scope, meta.name),
        kind: spec.kind.into(),
        teams: vec![meta.scope.clone()],
        environment: spec.environment.clone(),
        admin: false,
        correlation: uuid::Uuid::now_v7(),
    }
}

fn change_by(caller: &Caller) -> Change {
    Change::new().by(caller)
}
