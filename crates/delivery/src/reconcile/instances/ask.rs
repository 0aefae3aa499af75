//! What a provisioner is asked, and for how long.

use std::time::Duration;

use kernel::Result;

use super::Pass;
use crate::{
    provisioner::{Presence, ProvisionError, Provisioner, Request},
    service::outputs,
};

/// How long one call of a provisioner may take. Starting a broker for the first time, with an image
/// to pull, is the longest that is known: minutes.
const CALL_LIMIT: Duration = Duration::from_mins(5);

/// How long it may take to say whether an instance is there: nothing is started or pulled for that.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

impl Pass<'_> {
    /// What the provisioner is asked; an inner error where the parameters cannot be resolved.
    pub(super) async fn request(
        &self,
        inputs: &outputs::Resolved,
    ) -> Result<std::result::Result<Request, ProvisionError>> {
        match inputs.params(&self.instance.spec.params) {
            Ok(params) => self.request_with(params).await,
            Err(message) => Ok(Err(ProvisionError::permanent(message))),
        }
    }

    pub(super) async fn request_with(
        &self,
        params: serde_json::Map<String, serde_json::Value>,
    ) -> Result<std::result::Result<Request, ProvisionError>> {
        let machine_host = match self.machine_host().await? {
            Ok(host) => host,
            Err(error) => return Ok(Err(error)),
        };
        self.delivery
            .request_of(&self.instance, params, machine_host)
            .await
            .map(Ok)
    }

    /// Where the environment's workloads reach this machine. Of no use to a removal, for which an
    /// engine must not make a network anew.
    async fn machine_host(&self) -> Result<std::result::Result<String, ProvisionError>> {
        if self.instance.is_deleting() {
            return Ok(Ok("127.0.0.1".into()));
        }
        let environment = &self.instance.meta.scope;
        let engine = self.delivery.engine_of(environment).await?;
        let host = engine.machine_host(environment).await;
        Ok(host.map_err(|error| ProvisionError::transient(error.message)))
    }

    /// Whether the instance is there, as far as that is said in time.
    pub(super) async fn presence(
        &self,
        provisioner: &dyn Provisioner,
        request: &Request,
    ) -> Presence {
        let unknown = |why: String| Presence::Unknown(ProvisionError::transient(why));
        tokio::select! {
            answer = tokio::time::timeout(LOOK_LIMIT, provisioner.presence(request)) => {
                answer.unwrap_or_else(|_| {
                    unknown(format!("no answer within {} s", LOOK_LIMIT.as_secs()))
                })
            }
            () = self.context.stop.cancelled() => unknown("the platform is stopping".into()),
        }
    }

    /// Calls the provisioner, within the limit and as long as this replica may.
    pub(super) async fn call<T>(
        &self,
        work: impl Future<Output = std::result::Result<T, ProvisionError>> + Send,
    ) -> std::result::Result<T, ProvisionError> {
        tokio::select! {
            done = tokio::time::timeout(CALL_LIMIT, work) => done.unwrap_or_else(|_| {
                Err(ProvisionError::transient(format!("no answer within {} s", CALL_LIMIT.as_secs())))
            }),
            () = self.context.stop.cancelled() => {
                Err(ProvisionError::transient("the platform is stopping; another takes over"))
            }
        }
    }
}
