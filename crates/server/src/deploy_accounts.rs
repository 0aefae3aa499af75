//! What deploys to teams' namespaces, as teams know it.

use std::sync::Arc;

use async_trait::async_trait;
use identity::model::{AccountKind, ServiceAccount, ServiceAccountSpec};
use kernel::{Caller, Error, ErrorKind, Event, Kind as _, Resource, Result};
use secrets::{SecretStore, model::DeployCredential};
use teams::port::Credentials;

use crate::team_ports::OfIdentity;

/// What deploys to teams' namespaces: accounts of identity's, whose keys are kept among the teams' secrets.
pub(crate) struct DeployAccounts {
    pub(crate) identity: OfIdentity,
    pub(crate) values: Arc<dyn SecretStore>,
}

#[async_trait]
impl Credentials for DeployAccounts {
    fn team_of(&self, event: &Event) -> Option<String> {
        let key = event.subject_key()?;
        let kinds = [ServiceAccount::KIND, DeployCredential::KIND];
        kinds.contains(&key.kind.as_str()).then_some(key.scope)
    }

    async fn ensure(&self, caller: &Caller, team: &str, namespace: &str) -> Result<Option<String>> {
        let identity = &self.identity.0;
        let name = account_of(namespace);
        let store = identity.store();
        let found = store.get::<ServiceAccount>(team, &name).await?;
        let is_for = |spec: &ServiceAccountSpec| {
            spec.kind == AccountKind::Deploy && spec.environment.as_deref() == Some(namespace)
        };
        match found {
            Some(account) if is_for(&account.spec) => return self.key_of(account).await,
            Some(_) => {
                return Err(Error::conflict(format!(
                    "the service account `{name}` of team `{team}` is for something else"
                ))
                .remedy("remove it: one that deploys to the namespace takes its place"));
            }
            None => {}
        }
        let spec = ServiceAccountSpec {
            description: format!("deploys to {namespace}"),
            kind: AccountKind::Deploy,
            environment: Some(namespace.into()),
            disabled: false,
        };
        let made = identity
            .account_put(caller, team, &name, spec, Some(0))
            .await;
        match made {
            // Another was faster.
            Err(error) if error.kind == ErrorKind::Conflict => {}
            made => drop(made?),
        }
        Ok(Some(NO_KEY.into()))
    }

    async fn end(&self, caller: &Caller, team: &str, namespace: &str) -> Result<()> {
        self.identity.deploys_end(caller, team, namespace).await
    }
}

/// The platform's own account that deploys to a namespace.
pub(crate) fn account_of(namespace: &str) -> String {
    format!("deploy-{namespace}")
}

/// Said of an account whose first key is on its way.
const NO_KEY: &str = "its first key is being drawn";

impl DeployAccounts {
    /// What is waited for until the newest key of an account is kept where its team finds it, and good.
    async fn key_of(&self, account: Resource<ServiceAccount>) -> Result<Option<String>> {
        let (team, name) = (&account.meta.scope, &account.meta.name);
        if account.spec.disabled {
            return Ok(Some(format!(
                "the service account `{name}` is disabled: a platform engineer or the team enables it"
            )));
        }
        let store = self.identity.0.store();
        let credential = store.get::<DeployCredential>(team, name).await?;
        let stored = credential
            .as_ref()
            .and_then(|one| one.status.stored.as_ref());
        let (Some(credential), Some(stored)) = (&credential, stored) else {
            return Ok(Some(NO_KEY.into()));
        };
        if !account.status.keys.iter().any(|key| key.id == stored.id) {
            return Ok(Some(
                "the key that is kept is not good any more: another is being drawn".into(),
            ));
        }
        let secret = credential.spec.secret(team, name)?;
        let kept = self.values.info(&secret).await.map_err(|error| {
            Error::unavailable(format!(
                "whether its key is kept cannot be told: {}",
                error.message
            ))
            .caused_by(error)
        })?;
        let missing = || format!("its key is not kept as `{secret}` any more: another is drawn");
        Ok(kept.is_none().then(missing))
    }
}
