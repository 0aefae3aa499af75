//! Teams' secrets, as the provisioner that hands them to workloads sees them; deploy credentials, as what
//! keeps their keys there does.

use std::sync::Arc;

use ::secrets::{DeployKeys, DrawnKey, SecretStore, model::SecretRef};
use async_trait::async_trait;
use delivery::provisioner::ProvisionError;
use identity::Identity;
use kernel::{Caller, Error, ErrorKind};
use provisioners::{TeamSecret, TeamSecrets};

/// The secrets that teams keep, wherever they are.
pub(super) struct OfTeams(pub(super) Arc<dyn SecretStore>);

#[async_trait]
impl TeamSecrets for OfTeams {
    async fn read(&self, team: &str, name: &str) -> Result<Option<TeamSecret>, ProvisionError> {
        let secret = SecretRef::new(team, name).map_err(refused)?;
        if secret.name.is_managed() {
            // Whoever may deploy to one environment would read the keys of all others.
            return Err(ProvisionError::permanent(format!(
                "secret `{name}` is the key of a deploy credential, and no workload's"
            ))
            .remedy("give the workload a secret of its own"));
        }
        let found = self.0.get(&secret, None).await.map_err(refused)?;
        Ok(found.map(|found| TeamSecret {
            version: found.version,
            written: found.written,
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

/// Keys of deploy credentials, which identity knows.
pub(crate) struct DeployKeysOf(pub(crate) Arc<Identity>);

#[async_trait]
impl DeployKeys for DeployKeysOf {
    fn draw(&self) -> kernel::Result<DrawnKey> {
        let (id, secret) = Identity::account_key_draw()?;
        Ok(DrawnKey { id, secret })
    }

    async fn take(
        &self,
        by: &Caller,
        team: &str,
        account: &str,
        key: &DrawnKey,
    ) -> kernel::Result<()> {
        self.0
            .account_key_take(by, team, account, &key.id, &key.secret)
            .await
    }

    async fn end(&self, by: &Caller, team: &str, account: &str, key: &str) -> kernel::Result<()> {
        match self.0.account_key_revoke(by, team, account, key).await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            ended => ended,
        }
    }
}
