//! What other domains keep of teams', which goes with the team.

use async_trait::async_trait;
use delivery::model::{Environment, EnvironmentRole};
use identity::model::{ServiceAccount, WorkloadTrust};
use kernel::{Caller, Kind as _, Name, Query, Resource, Result};
use secrets::model::{Origin, SecretRef};
use subscriptions::model::Subscription;
use teams::port::{Belongings, Held, Left, Made, Role};

use super::{OfDelivery, OfIdentity, OfSecrets, OfSubscriptions, absent};
use crate::deploy_accounts::account_of;

#[async_trait]
impl Belongings for OfIdentity {
    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let store = self.0.store();
        let accounts = store.keys(ServiceAccount::KIND, Some(team)).await?;
        Ok((!accounts.is_empty()).then_some("service accounts"))
    }

    async fn made(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Made>> {
        let store = self.0.store();
        let all = Query::scope(team);
        let all = store.list_all::<ServiceAccount>(&all).await?;
        let theirs = all.into_iter().filter(|account| {
            let environment = account.spec.environment.as_deref();
            let is_ours = environment.is_some_and(|place| account_of(place) == account.meta.name);
            !is_ours && (namespace.is_none() || namespace == environment)
        });
        let accounts = made("service accounts", theirs.map(|one| one.meta.name));
        if namespace.is_some() {
            return Ok(vec![accounts]);
        }
        let trusts = store.keys(WorkloadTrust::KIND, Some(team)).await?;
        let trusts = trusts.into_iter().map(|key| key.name);
        Ok(vec![accounts, made("workload trusts", trusts)])
    }

    async fn remove(&self, caller: &Caller, team: &str, _: bool) -> Result<Vec<Left>> {
        let store = self.0.store();
        let all = Query::scope(team);
        for trust in store.list_all::<WorkloadTrust>(&all).await? {
            absent(
                self.0
                    .trust_delete(caller, team, &trust.meta.name, None)
                    .await,
            )?;
        }
        for account in store.list_all::<ServiceAccount>(&all).await? {
            self.account_end(caller, team, &account.meta.name).await?;
        }
        Ok(vec![])
    }
}

#[async_trait]
impl Belongings for OfSubscriptions {
    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let store = self.0.store();
        let all = store.keys(Subscription::KIND, Some(team)).await?;
        Ok((!all.is_empty()).then_some("subscriptions"))
    }

    async fn made(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Made>> {
        if namespace.is_some() {
            return Ok(vec![]);
        }
        let store = self.0.store();
        let all = store.keys(Subscription::KIND, Some(team)).await?;
        let all = all.into_iter().map(|key| key.name);
        Ok(vec![made("subscriptions", all)])
    }

    async fn remove(&self, caller: &Caller, team: &str, _: bool) -> Result<Vec<Left>> {
        self.0.remove_all_of(caller, team).await?;
        Ok(vec![])
    }
}

#[async_trait]
impl Belongings for OfSecrets {
    fn go_last(&self) -> bool {
        true
    }

    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let secrets = self.0.list(&Name::new(team)?).await?;
        Ok((!secrets.is_empty()).then_some("secrets"))
    }

    /// Those that somebody wrote: what the platform draws it draws again.
    async fn made(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Made>> {
        if namespace.is_some() {
            return Ok(vec![]);
        }
        let all = self.0.list(&Name::new(team)?).await?.into_iter();
        let written = all.filter(|secret| secret.origin == Origin::Written);
        let keep = format!(
            "keep those secrets first that are still needed and are kept nowhere else, each by \
             `towpath secret get NAME --team {team} --value`"
        );
        Ok(vec![Made {
            keep: Some(keep),
            ..made("secrets", written.map(|secret| secret.name))
        }])
    }

    async fn remove(&self, caller: &Caller, team: &str, _: bool) -> Result<Vec<Left>> {
        for secret in self.0.list(&Name::new(team)?).await? {
            let secret = SecretRef::new(team, &secret.name)?;
            self.0.delete(caller, &secret, None).await?;
        }
        Ok(vec![])
    }
}

#[async_trait]
impl Belongings for OfDelivery {
    async fn holder(&self, namespace: &str) -> Result<Option<String>> {
        let store = self.0.store();
        let found = store.get::<Environment>("", namespace).await?;
        Ok(found.map(|environment| environment.spec.team))
    }

    async fn roles(&self) -> Result<Option<Vec<Role>>> {
        let store = self.0.store();
        let roles = store.list_all::<EnvironmentRole>(&Query::default()).await?;
        let role = |role: Resource<EnvironmentRole>| Role {
            standard: role.spec.is_standard(&role.meta.name),
            name: role.meta.name,
        };
        Ok(Some(roles.into_iter().map(role).collect()))
    }

    async fn has(&self, team: &str) -> Result<Option<&'static str>> {
        let store = self.0.store();
        let all = store.list_all::<Environment>(&Query::default()).await?;
        let has_one = all.iter().any(|one| one.spec.team == team);
        Ok(has_one.then_some("environments"))
    }

    async fn holds(&self, team: &str, namespace: Option<&str>) -> Result<Vec<Held>> {
        let all = self.0.team_data(team, namespace).await?.into_iter();
        let held = all.map(|one| Held {
            environment: one.environment,
            what: one.what,
            dump: one.dump,
            protected: one.protected,
        });
        Ok(held.collect())
    }

    async fn remove(&self, caller: &Caller, team: &str, protected: bool) -> Result<Vec<Left>> {
        let left = self.0.team_remove(caller, team, protected).await?;
        let left = left.into_iter();
        Ok(left.map(|(what, kept)| Left { what, kept }).collect())
    }
}

/// What people have made, of one kind.
fn made(what: &'static str, names: impl Iterator<Item = String>) -> Made {
    Made {
        what,
        names: names.collect(),
        keep: None,
    }
}
