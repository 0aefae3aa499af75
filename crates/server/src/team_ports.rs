//! What others do for teams: identity's sources that know who is in a group, and its deploy credentials;
//! delivery's environments, which end with their team.

mod belongings;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use delivery::{api::Applied, documents::Documents, ending::Ends, service::Delivery};
use identity::{
    Identity,
    model::{LocalGroup, ServiceAccount, Upstream, UpstreamKind, WorkloadTrust},
    service::{
        Customers as GroupCustomers, PersonGroups, PersonalCredential, Tools, UpstreamGroup,
        UpstreamMembers, Webhook, Webhooks, Whom,
    },
};
use jiff::Timestamp;
use kernel::{Caller, Change, ErrorKind, Event, Kind as _, Name, Query, Resource, Result};
use secrets::SecretStore;
use serde_json::Value;
use subscriptions::{Subscriptions, model::Subscription, port::Customers};
use teams::{
    Registry, Teams,
    port::{
        Group, GroupsOf, Identified, LocalGroups, Member, MembershipSource, SecretNames, Upstreams,
    },
};
use uuid::Uuid;

/// The local source's name, with which its subjects begin.
const LOCAL: &str = "local";

/// Identity, as teams know it.
#[derive(Clone)]
pub(crate) struct OfIdentity(pub(crate) Arc<Identity>);

impl OfIdentity {
    /// Identity, which knows from `registry` whose its groups are.
    pub(crate) fn beside(identity: Arc<Identity>, registry: &Arc<Registry>) -> Self {
        identity.know_customers(Arc::new(OfTeams(registry.clone())));
        Self(identity)
    }
}

#[async_trait]
impl MembershipSource for OfIdentity {
    fn name(&self) -> &str {
        LOCAL
    }

    async fn group(&self, group: &str, _: Option<&str>) -> Result<Group> {
        let Some(members) = self.0.group_members(group).await? else {
            return Ok(Group::Missing);
        };
        Ok(Group::Found(of_teams(members)))
    }
}

/// People, as teams know them.
fn of_teams(people: BTreeMap<String, Whom>) -> Vec<Member> {
    let member = |(subject, Whom { name, email })| Member {
        subject,
        name,
        email,
    };
    people.into_iter().map(member).collect()
}

#[async_trait]
impl LocalGroups for OfIdentity {
    async fn knows(&self, who: &str) -> Result<bool> {
        self.0.user_known(who).await
    }

    fn group_of(&self, event: &Event) -> Option<String> {
        let key = event.subject_key()?;
        (key.kind == LocalGroup::KIND).then_some(key.name)
    }

    async fn ensure(
        &self,
        caller: &Caller,
        team: &str,
        group: &str,
        people: &[String],
    ) -> Result<bool> {
        self.0.group_ensure(caller, team, group, people).await
    }

    async fn add(
        &self,
        change: &mut Change,
        caller: &Caller,
        team: &str,
        group: &str,
        who: &str,
    ) -> Result<Option<String>> {
        self.0
            .group_member_add(change, caller, Some(team), group, who)
            .await
    }

    async fn remove(
        &self,
        change: &mut Change,
        caller: &Caller,
        group: &str,
        who: &str,
    ) -> Result<Option<String>> {
        self.0.group_member_remove(change, caller, group, who).await
    }

    async fn end(&self, caller: &Caller, team: &str, group: &str) -> Result<()> {
        self.0.group_end(caller, team, group).await
    }
}

/// One upstream. Where it lists nobody, it says who is in a group when they log in, and not who else is.
struct OfUpstream {
    identity: Arc<Identity>,
    name: String,
    /// Whether its people's names are logins at GitHub.
    is_github: bool,
    /// What it listed before does not count.
    since: Option<Timestamp>,
}

#[async_trait]
impl MembershipSource for OfUpstream {
    fn name(&self) -> &str {
        &self.name
    }

    fn accounts(&self) -> Option<&'static str> {
        self.is_github.then_some("github")
    }

    async fn identify(&self, group: &str, id: Option<&str>) -> Result<Option<Identified>> {
        let found = self
            .identity
            .upstream_group(&self.name, group, id, self.since)
            .await?;
        Ok(found.map(|UpstreamGroup { id, name }| Identified { id, name }))
    }

    async fn group(&self, group: &str, id: Option<&str>) -> Result<Group> {
        let asked = self
            .identity
            .upstream_members(&self.name, group, id, self.since);
        Ok(match asked.await? {
            UpstreamMembers::Listed { members, .. } => Group::Found(of_teams(members)),
            UpstreamMembers::Seen {
                members,
                left,
                some,
            } => Group::Seen {
                members: of_teams(members),
                left: of_teams(left),
                some,
            },
            UpstreamMembers::Missing => Group::Missing,
        })
    }

    async fn last_said(
        &self,
        subject: &str,
        group: &str,
        id: Option<&str>,
    ) -> Result<Option<bool>> {
        self.identity.upstream_last_said(subject, group, id).await
    }

    async fn let_in(&self, group: &str, id: Option<&str>) -> Result<BTreeSet<String>> {
        self.identity.upstream_seen(&self.name, group, id).await
    }

    async fn end_gone(&self, caller: &Caller, group: &str, id: Option<&str>) -> Result<usize> {
        let found = self
            .identity
            .upstream_members(&self.name, group, id, self.since);
        match found.await? {
            UpstreamMembers::Listed { members, asked } => {
                let group = (group, id);
                self.identity
                    .upstream_members_end(caller, &self.name, group, asked, &members)
                    .await
            }
            // A group that is not found may be one that the token does not show.
            UpstreamMembers::Seen { .. } | UpstreamMembers::Missing => Ok(0),
        }
    }
}

#[async_trait]
impl Upstreams for OfIdentity {
    async fn sources(&self, since: Option<Timestamp>) -> Result<Vec<Box<dyn MembershipSource>>> {
        let store = self.0.store();
        let all = store.list_all::<Upstream>(&Query::default()).await?;
        let source = |upstream: Resource<Upstream>| -> Box<dyn MembershipSource> {
            Box::new(OfUpstream {
                identity: self.0.clone(),
                is_github: matches!(upstream.spec.provider, UpstreamKind::Github { .. }),
                name: upstream.meta.name,
                since,
            })
        };
        let there = all.into_iter().filter(|upstream| !upstream.is_deleting());
        Ok(there.map(source).collect())
    }

    async fn groups_of(&self, person: &str) -> Result<Option<GroupsOf>> {
        let groups = self.0.person_groups(person).await?;
        Ok(groups.map(|PersonGroups { source, names, ids }| GroupsOf { source, names, ids }))
    }
}

impl OfIdentity {
    /// Ends all that deploys to an environment of a team.
    pub(crate) async fn deploys_end(
        &self,
        caller: &Caller,
        team: &str,
        environment: &str,
    ) -> Result<()> {
        let accounts = Query::scope(team);
        let accounts = self.0.store().list_all::<ServiceAccount>(&accounts).await?;
        for account in accounts {
            if account.spec.environment.as_deref() == Some(environment) {
                self.account_end(caller, team, &account.meta.name).await?;
            }
        }
        Ok(())
    }

    /// Ends a service account, with what stands for it.
    async fn account_end(&self, caller: &Caller, team: &str, name: &str) -> Result<()> {
        let trusts = Query::scope(team);
        let trusts = self.0.store().list_all::<WorkloadTrust>(&trusts).await?;
        for trust in trusts {
            if trust.spec.service_account == name {
                absent(
                    self.0
                        .trust_delete(caller, team, &trust.meta.name, None)
                        .await,
                )?;
            }
        }
        absent(self.0.account_delete(caller, team, name, None).await)
    }
}

/// What deploys to an environment beside a team's namespaces ends as what deploys to a namespace does.
#[async_trait]
impl Ends for OfIdentity {
    async fn end(&self, caller: &Caller, team: &str, name: &str) -> Result<()> {
        self.deploys_end(caller, team, name).await
    }
}

/// What is not there need not be removed.
fn absent(removed: Result<()>) -> Result<()> {
    match removed {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The registry of teams, as subscriptions and identity know it.
pub(crate) struct OfTeams(pub(crate) Arc<Registry>);

#[async_trait]
impl Customers for OfTeams {
    async fn current(&self) -> Result<()> {
        self.0.current().await
    }

    fn team(&self, name: &str) -> Option<Uuid> {
        self.0.uid(name)
    }
}

#[async_trait]
impl GroupCustomers for OfTeams {
    async fn of_group(&self, group: &str) -> Result<Vec<String>> {
        self.0.current().await?;
        Ok(self.0.of_groups(&GroupsOf {
            source: LOCAL.into(),
            names: vec![group.into()],
            ids: BTreeMap::new(),
        }))
    }
}

/// Subscriptions, as teams and identity know them.
pub(crate) struct OfSubscriptions(pub(crate) Arc<Subscriptions>);

#[async_trait]
impl Webhooks for OfSubscriptions {
    async fn made_by(&self, subject: &str) -> Result<Vec<Webhook>> {
        let store = self.0.store();
        let all = store.list_all::<Subscription>(&Query::default()).await?;
        let theirs = all.into_iter().filter(|one| one.spec.created_by == subject);
        Ok(theirs
            .map(|one| Webhook {
                team: one.meta.scope,
                name: one.meta.name,
                url: one.spec.url,
                at: one.meta.created,
            })
            .collect())
    }
}

/// The register of tools, as what is told of people knows it.
pub(crate) struct OfTools(pub(crate) Arc<Teams>);

#[async_trait]
impl Tools for OfTools {
    async fn personal_credentials(&self, subject: Option<&str>) -> Result<Vec<PersonalCredential>> {
        let found = self.0.personal_credentials(subject).await?.into_iter();
        let told = found.map(|one| PersonalCredential {
            tool: one.tool,
            credential: one.credential,
            person: one.person,
            team: one.team,
        });
        Ok(told.collect())
    }
}

/// Secrets, as teams know them: what is kept of a team goes on using them.
pub(crate) struct OfSecrets(pub(crate) Arc<dyn SecretStore>);

#[async_trait]
impl SecretNames for OfSecrets {
    async fn names(&self, team: &str) -> Result<Vec<String>> {
        let secrets = self.0.list(&Name::new(team)?).await?;
        Ok(secrets.into_iter().map(|secret| secret.name).collect())
    }
}

/// Delivery, as teams know it.
pub(crate) struct OfDelivery(pub(crate) Arc<Delivery>);

/// The documents of teams, as delivery's `apply` takes them.
pub(crate) struct TeamDocuments(pub(crate) Arc<Teams>);

#[async_trait]
impl Documents for TeamDocuments {
    fn kinds(&self) -> Vec<&'static str> {
        Teams::KINDS.to_vec()
    }

    fn takes(&self, document: &Value) -> bool {
        Teams::takes(document)
    }

    async fn apply(
        &self,
        caller: &Caller,
        documents: &[(String, Value)],
        change: &mut Change,
    ) -> Result<Vec<Applied>> {
        self.0.apply(caller, documents, change).await
    }
}
