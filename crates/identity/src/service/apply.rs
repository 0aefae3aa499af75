//! What people declare in documents: who logs in and by what, groups, and machines. Written into a change that
//! others fill too: all that is applied together is, or nothing. No document holds a secret: those that there are
//! stay, and what is missing is said.

use std::collections::BTreeSet;

use kernel::{Caller, Change, Kind, Name, Query, Result};

use super::{
    Identity,
    access::{of_platform, of_team},
    accounts::account_check,
    clients::client_check,
    groups::issuable_name,
    upstreams::{SECRET, UpstreamSecrets},
    users::group_new,
};
use crate::model::{
    LocalGroup, LocalGroupSpec, OidcClient, OidcClientSpec, ServiceAccount, ServiceAccountSpec,
    Upstream, UpstreamSpec, WorkloadTrust, WorkloadTrustSpec,
};

/// What a document says that there should be, the platform's or a team's.
#[derive(Debug, Clone)]
pub enum Declared {
    /// A provider that people log in with.
    Upstream(UpstreamSpec),
    /// A program that logs people in.
    Client(OidcClientSpec),
    /// A group that the platform keeps.
    Group(LocalGroupSpec),
    /// A team's service account.
    Account(ServiceAccountSpec),
    /// Tokens of others that are taken for one.
    Trust(WorkloadTrustSpec),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// None: it is as the document says. Else whether it is new.
    pub is_new: Option<bool>,
    /// What it still wants, that no document holds.
    pub missing: Option<String>,
}

/// What is written by the same change. Service accounts come before the trusts that stand for them.
#[derive(Debug, Default)]
pub struct Beside {
    /// Service accounts that it writes, as `TEAM/NAME`.
    accounts: BTreeSet<String>,
}

impl Identity {
    /// Writes into `change` what is declared under `name`, in `team` where it is a team's.
    pub async fn apply(
        &self,
        caller: &Caller,
        (team, name): (&str, &str),
        declared: &Declared,
        beside: &mut Beside,
        change: &mut Change,
    ) -> Result<Applied> {
        match declared {
            Declared::Upstream(spec) => self.upstream_apply(caller, name, spec, change).await,
            Declared::Client(spec) => self.client_apply(caller, name, spec, change).await,
            Declared::Group(spec) => self.group_apply(caller, name, spec, change).await,
            Declared::Account(spec) => {
                let names = (&Name::new(team)?, &Name::new(name)?);
                self.account_apply(caller, names, spec, beside, change)
                    .await
            }
            Declared::Trust(spec) => {
                let names = (&Name::new(team)?, &Name::new(name)?);
                self.trust_apply(caller, names, spec, beside, change).await
            }
        }
    }

    async fn upstream_apply(
        &self,
        caller: &Caller,
        name: &str,
        spec: &UpstreamSpec,
        change: &mut Change,
    ) -> Result<Applied> {
        self.may_change(caller, &of_platform::<Upstream>(name))
            .await?;
        let name = Name::new(name)?;
        self.upstream_check(&name, spec)?;
        let before = self.store.get::<Upstream>("", name.as_str()).await?;
        let has_secret = match &before {
            Some(before) => self.store.secret(before.meta.uid, SECRET).await?.is_some(),
            None => false,
        };
        let missing = (!has_secret)
            .then(|| format!("our secret there: `towpath upstream set {name} --secret-file FILE`"));
        let is_new = if is_so(before.as_ref(), spec) {
            None
        } else {
            let none = UpstreamSecrets::default();
            let into = self.upstream_into(change, caller, &name, spec, &none, None);
            Some(into.await?.1)
        };
        Ok(Applied { is_new, missing })
    }

    async fn client_apply(
        &self,
        caller: &Caller,
        name: &str,
        spec: &OidcClientSpec,
        change: &mut Change,
    ) -> Result<Applied> {
        self.may_change(caller, &of_platform::<OidcClient>(name))
            .await?;
        let name = Name::new(name)?;
        client_check(spec)?;
        let before = self.store.get::<OidcClient>("", name.as_str()).await?;
        let has_secret = before.as_ref().is_some_and(|one| one.status.has_secret);
        let missing = (spec.confidential && !has_secret)
            .then(|| format!("its secret: `towpath client secret {name}` draws one"));
        let is_new = if is_so(before.as_ref(), spec) {
            None
        } else {
            let into = self.client_into(change, caller, &name, spec, None);
            Some(into.await?.1)
        };
        Ok(Applied { is_new, missing })
    }

    async fn group_apply(
        &self,
        caller: &Caller,
        name: &str,
        spec: &LocalGroupSpec,
        change: &mut Change,
    ) -> Result<Applied> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        let name = issuable_name(name)?;
        let mut spec = spec.clone();
        spec.members.sort();
        spec.members.dedup();
        let before = self.store.get::<LocalGroup>("", &name).await?;
        let is_new = if is_so(before.as_ref(), &spec) {
            None
        } else {
            let is_new = before.is_none();
            let group = before.unwrap_or_else(|| group_new(&name, None));
            self.group_into(change, caller, group, spec).await?;
            Some(is_new)
        };
        Ok(Applied {
            is_new,
            missing: None,
        })
    }

    async fn account_apply(
        &self,
        caller: &Caller,
        (team, name): (&Name, &Name),
        spec: &ServiceAccountSpec,
        beside: &mut Beside,
        change: &mut Change,
    ) -> Result<Applied> {
        let target = of_team::<ServiceAccount>(team.as_str(), name.as_str());
        self.may_change(caller, &target).await?;
        account_check(spec)?;
        let before = self
            .store
            .get::<ServiceAccount>(team.as_str(), name.as_str())
            .await?;
        let has_key = before
            .as_ref()
            .is_some_and(|one| !one.status.keys.is_empty());
        let trusts = Query::scope(team.as_str());
        let trusts = self.store.list_all::<WorkloadTrust>(&trusts).await?;
        let is_trusted = trusts
            .iter()
            .any(|trust| trust.spec.service_account == name.as_str());
        let missing = (!has_key && !is_trusted).then(|| {
            format!(
                "a key, unless a trust stands for it: `towpath service-account key create {name} --team {team}`"
            )
        });
        let is_new = if is_so(before.as_ref(), spec) {
            None
        } else {
            let into = self.account_into(change, caller, (team, name), spec, None);
            let is_new = into.await?.1;
            beside.accounts.insert(format!("{team}/{name}"));
            Some(is_new)
        };
        Ok(Applied { is_new, missing })
    }

    async fn trust_apply(
        &self,
        caller: &Caller,
        (team, name): (&Name, &Name),
        spec: &WorkloadTrustSpec,
        beside: &Beside,
        change: &mut Change,
    ) -> Result<Applied> {
        let target = of_team::<WorkloadTrust>(team.as_str(), name.as_str());
        self.may_change(caller, &target).await?;
        self.trust_check(spec)?;
        let account = format!("{team}/{}", spec.service_account);
        let stood = self
            .account_stood_for(team.as_str(), &spec.service_account)
            .await?;
        if !beside.accounts.contains(&account) {
            // One that the change writes itself is there with it.
            let there = self
                .store
                .expect::<ServiceAccount>(team.as_str(), &spec.service_account);
            change.require(&there.await?)?;
        }
        let before = self
            .store
            .get::<WorkloadTrust>(team.as_str(), name.as_str())
            .await?;
        let is_new = if is_so(before.as_ref(), spec) {
            None
        } else {
            change.after(&stood);
            let into = self.trust_into(change, caller, (team, name), spec, None);
            Some(into.await?.1)
        };
        Ok(Applied {
            is_new,
            missing: None,
        })
    }
}

/// Whether it is there as it should be.
fn is_so<K: Kind>(before: Option<&kernel::Resource<K>>, spec: &K::Spec) -> bool
where
    K::Spec: PartialEq,
{
    before.is_some_and(|before| !before.is_deleting() && before.spec == *spec)
}
