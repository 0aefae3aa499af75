//! Teams' secrets, as the provisioner that hands them to workloads sees them.

use std::sync::Arc;

use ::secrets::{SecretStore, model::SecretRef};
use async_trait::async_trait;
use delivery::provisioner::ProvisionError;
use kernel::{Error, ErrorKind};
use provisioners::{TeamSecret, TeamSecrets};

/// The secrets that teams keep, wherever they are.
pub(super) struct OfTeams(pub(super) Arc<dyn SecretStore>);

#[async_trait]
impl TeamSecrets for OfTeams {
    async fn read(&self, team: &str, name: &str) -> Result<Option<TeamSecret>, ProvisionError> {
        let secret = SecretRef::new(team, name).map_err(refused)?;
        let found = self.0.get(&secret, None).await.map_err(refused)?;
        Ok(found.map(|found| TeamSecret {
            version: found.version,
            value: found.value,
        }))
    }
}

fn refused(error: Error) -> ProvisionError {
    if error.kind == ErrorKind::Internal {
        tracing::warn!(error = error.chain(), "a secret could not be read");
    }
    ProvisionError {
        retry: error.retryable(),
        message: error.message,
        remedy: error.remedy,
    }
}
