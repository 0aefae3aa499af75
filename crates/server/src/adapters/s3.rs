//! The embedded S3 server. One replica at a time has its directory; the others wait to take over.

use std::{sync::OnceLock, time::Duration};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::Problem;
use provisioners::{S3, S3Config, S3Server};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The `s3` provisioner on a server of our own, as soon as this replica has it.
#[derive(Default)]
pub(super) struct Embedded {
    provisioner: OnceLock<S3>,
    tried: Notify,
}

impl Embedded {
    /// Starts the server, however long it takes to get hold of it, and serves until `stop`.
    pub(super) async fn run(self: std::sync::Arc<Self>, config: S3Config, stop: CancellationToken) {
        let mut said = false;
        let server = loop {
            match S3Server::start(config.clone()).await {
                Ok(server) => break server,
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(error = error.chain(), "the S3 server waits");
                }
                Err(_) => {}
            }
            self.tried.notify_one();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                () = stop.cancelled() => return,
            }
        };
        // Set once: this is the only place, and it runs once.
        let _ = self.provisioner.set(S3::own(&server));
        self.tried.notify_one();
        stop.cancelled().await;
        server.stop().await;
    }

    /// Until the server runs or its first try has failed.
    pub(super) async fn first_try(&self) {
        self.tried.notified().await;
    }

    fn get(&self) -> Result<&S3, ProvisionError> {
        self.provisioner.get().ok_or_else(|| {
            ProvisionError::transient(
                "this replica does not serve S3 yet: its port or its directory is in use",
            )
            .remedy("see the platform's log; it takes over as soon as they are free")
        })
    }
}

#[async_trait]
impl Provisioner for Embedded {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn describe(&self) -> Description {
        match self.provisioner.get() {
            Some(s3) => s3.describe(),
            None => Description {
                holds_data: true,
                ..Description::default()
            },
        }
    }

    fn check(&self, params: &Map<String, Value>) -> Vec<Problem> {
        self.provisioner
            .get()
            .map_or_else(Vec::new, |s3| s3.check(params))
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
            Err(_) => Presence::Unknown,
        }
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        self.get()?.inventory(platform).await
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        self.get().ok()?.listed_as(request)
    }
}
