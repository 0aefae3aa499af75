//! What a provisioner is asked, and for how long.

use std::time::Duration;

use kernel::Result;

use super::Pass;
use crate::{
    provisioner::{Presence, ProvisionError, Provisioner, Request},
    service::outputs,
};

/// How long one call of a provisioner may take, where it does not say that it may take longer. Starting
/// a broker for the first time, with an image to pull, is the longest that is known: minutes.
const CALL_LIMIT: Duration = Duration::from_mins(5);

/// The same of saying whether an instance is there: nothing is started or pulled for that.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

impl Pass<'_> {
    /// What the provisioner is asked; an inner error where the parameters cannot be resolved.
    pub(super) async fn request(
        &self,
        inputs: &outputs::Resolved,
    ) -> Result<std::result::Result<Request, ProvisionError>> {
        let params = match inputs.params(&self.instance.spec.params) {
            Ok(params) => params,
            Err(message) => return Ok(Err(ProvisionError::permanent(message))),
        };
        let machine_host = match self.machine_host().await? {
            Ok(host) => host,
            Err(error) => return Ok(Err(error)),
        };
        self.delivery
            .request_of(&self.instance, params, machine_host)
            .await
            .map(Ok)
    }

    /// Where the environment's workloads reach this machine.
    async fn machine_host(&self) -> Result<std::result::Result<String, ProvisionError>> {
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
        let limit = at_least(LOOK_LIMIT, provisioner, request);
        tokio::select! {
            answer = tokio::time::timeout(limit, provisioner.presence(request)) => {
                answer.unwrap_or_else(|_| unknown(no_answer(limit)))
            }
            () = self.context.stop.cancelled() => unknown("the platform is stopping".into()),
        }
    }

    /// Has the provisioner do `work` for `request`, within the limit and as long as this replica may.
    pub(super) async fn call<T>(
        &self,
        provisioner: &dyn Provisioner,
        request: &Request,
        work: impl Future<Output = std::result::Result<T, ProvisionError>> + Send,
    ) -> std::result::Result<T, ProvisionError> {
        let limit = at_least(CALL_LIMIT, provisioner, request);
        tokio::select! {
            done = tokio::time::timeout(limit, work) => {
                done.unwrap_or_else(|_| Err(ProvisionError::transient(no_answer(limit))))
            }
            () = self.context.stop.cancelled() => {
                Err(ProvisionError::transient("the platform is stopping; another takes over"))
            }
        }
    }
}

/// The limit for what the provisioner is asked: its own, where that is longer.
fn at_least(limit: Duration, provisioner: &dyn Provisioner, request: &Request) -> Duration {
    let own = provisioner.time_limit(request);
    own.map_or(limit, |own| own.max(limit))
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} s", limit.as_secs())
}
