//! The embedded S3 server. The replica that reconciles serves it; another takes over with
//! the lease.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::Duration,
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::{Error, Problem};
use provisioners::{S3, S3Config, S3Server};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The `s3` provisioner on a server of our own, for as long as this replica reconciles: who makes
/// buckets is who serves them.
#[derive(Default)]
pub(super) struct Embedded(RwLock<State>);

#[derive(Default)]
struct State {
    provisioner: Option<Arc<S3>>,
    /// Why there is none.
    waits_for: String,
}

/// What to do where another program has its port.
const HELP: &str = "free its port, or choose another with --s3-listen; it starts by itself then";

impl Embedded {
    /// Serves whenever this replica reconciles, until `stop`.
    pub(super) async fn run(
        self: Arc<Self>,
        config: S3Config,
        mut leadership: watch::Receiver<bool>,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                leads = leadership.wait_for(|leads| *leads) => if leads.is_err() { return },
            }
            let ended = async {
                tokio::select! {
                    // An error is the driver's end, which ends the term as well.
                    _ = leadership.wait_for(|leads| !*leads) => {}
                    () = stop.cancelled() => {}
                }
            };
            self.term(&config, ended).await;
        }
    }

    /// Starts the server, however long it takes to get hold of its port and directory, and serves.
    async fn term(&self, config: &S3Config, ended: impl Future<Output = ()>) {
        let mut ended = std::pin::pin!(ended);
        let server = loop {
            match S3Server::start(config.clone()).await {
                Ok(server) => break server,
                Err(error) => self.waits(&error),
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                () = &mut ended => return,
            }
        };
        *self.write() = State {
            provisioner: Some(Arc::new(S3::own(&server))),
            waits_for: String::new(),
        };
        ended.await;
        *self.write() = State::default();
        server.stop().await;
    }

    /// Says once in the log, and to everyone who asks, why there is no server yet.
    fn waits(&self, error: &Error) {
        let reason = error.chain();
        let mut state = self.write();
        if state.waits_for != reason {
            tracing::warn!(error = reason, "the S3 server waits; {HELP}");
            state.waits_for = reason;
        }
    }

    fn get(&self) -> Result<Arc<S3>, ProvisionError> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.provisioner.clone().ok_or_else(|| {
            let why = match state.waits_for.as_str() {
                "" => "it is just being started",
                reason => reason,
            };
            ProvisionError::transient(format!("the S3 server does not serve yet: {why}"))
                .remedy(HELP)
        })
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Provisioner for Embedded {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn describe(&self) -> Description {
        S3::DESCRIPTION
    }

    fn check(&self, params: &Map<String, Value>) -> Vec<Problem> {
        S3::check_own(params)
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        self.get()?.provision(request).await
    }

    async fn retire(&self, request: &Request) -> Result<(), ProvisionError> {
        self.get()?.retire(request).await
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.get()?.remove(request).await
    }

    async fn presence(&self, request: &Request) -> Presence {
        match self.get() {
            Ok(s3) => s3.presence(request).await,
            Err(error) => Presence::Unknown(error),
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        self.get()?.inventory(platform).await
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        self.get().ok()?.listed_as(request)
    }
}
