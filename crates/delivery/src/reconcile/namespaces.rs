//! Backs each namespace of a team by an environment of its name, role and team; says where the gateway
//! serves it, and how much of its quota is asked for; and takes it away. The only place that writes a
//! namespace's status.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{
    Caller, Change, Event, Key, Kind, NewEvent, Next, Outcome, Query, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;
use teams::model::{Namespace, NamespaceStatus, Usage};

use crate::{
    model::{Environment, EnvironmentRole, EnvironmentRoleSpec, EnvironmentSpec, Workload},
    service::{Delivery, quota::asked},
};

/// Whose name its events bear.
const PART: &str = "namespaces";

/// How often what waits for something nobody tells of is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The reconciler of [`Namespace`].
pub struct Namespaces(pub Arc<Delivery>);

#[async_trait]
impl Reconciler for Namespaces {
    fn name(&self) -> &'static str {
        PART
    }

    fn kind(&self) -> &'static str {
        Namespace::KIND
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        let Some(key) = event.subject_key() else {
            return vec![];
        };
        let backed_by =
            |environment: String| Key::of::<Namespace>(event.team.as_str(), environment);
        let what = event.kind.strip_prefix(Event::RESOURCE);
        match key.kind.as_str() {
            Namespace::KIND => vec![key],
            Environment::KIND if what.is_some() => vec![backed_by(key.name)],
            // What a workload asks for is in its spec.
            Workload::KIND if what.is_some_and(|what| what != "status-changed") => {
                vec![backed_by(key.scope)]
            }
            _ => vec![],
        }
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let found = context
            .store
            .get::<Namespace>(&key.scope, &key.name)
            .await?;
        let Some(namespace) = found else {
            return Ok(Next::Idle);
        };
        let mut pass = Pass {
            delivery: &self.0,
            context,
            caller: Caller::system(PART, namespace.meta.uid),
            namespace,
        };
        let (name, role) = (&pass.namespace.meta.name, &pass.namespace.spec.role);
        let environment = context.store.get::<Environment>("", name).await?;
        if pass.namespace.is_deleting() {
            return pass.remove(environment).await;
        }
        let role = context.store.get::<EnvironmentRole>("", role).await?;
        pass.keep(environment, role.map(|role| role.spec)).await
    }
}

struct Pass<'a> {
    delivery: &'a Delivery,
    context: &'a Context,
    caller: Caller,
    namespace: Resource<Namespace>,
}

impl Pass<'_> {
    fn change(&self) -> Change {
        Change::new()
            .by(&self.caller)
            .fenced(self.context.fence.clone())
    }

    fn event(&self, what: &str, outcome: Option<Outcome>, data: serde_json::Value) -> NewEvent {
        let (key, team) = (self.namespace.key(), &self.namespace.meta.scope);
        NewEvent::caused(what, key, team, &self.caller, outcome, data)
    }

    /// Writes `status` with the rest of `change`, where either says anything new.
    async fn commit(&mut self, mut change: Change, status: NamespaceStatus) -> Result<()> {
        if self.namespace.status != status {
            self.namespace.status = status;
            change.status(&self.namespace)?;
        }
        if !change.is_empty() {
            self.context.store.commit(change).await?;
        }
        Ok(())
    }

    async fn waits(&mut self, message: String) -> Result<Next> {
        self.waits_as(self.namespace.status.protected, message)
            .await
    }

    /// The same, where it is learnt whether what backs it is protected.
    async fn waits_as(&mut self, protected: Option<bool>, message: String) -> Result<Next> {
        let status = NamespaceStatus {
            ready: false,
            message,
            protected,
            ..self.namespace.status.clone()
        };
        let change = self.change();
        self.commit(change, status).await?;
        Ok(Next::After(LOOK))
    }

    async fn keep(
        &mut self,
        environment: Option<Resource<Environment>>,
        role: Option<EnvironmentRoleSpec>,
    ) -> Result<Next> {
        let (meta, wanted) = (&self.namespace.meta, self.namespace.spec.role.clone());
        let (name, team) = (meta.name.clone(), meta.scope.clone());
        let Some(role) = role else {
            return self
                .waits(format!(
                    "there is no environment role `{wanted}`: apply one (kind EnvironmentRole), or take \
                     it out of the team's environments"
                ))
                .await;
        };
        let mut change = self.change();
        let environment = match environment {
            None => {
                let new = self.environment();
                Delivery::environment_write(&mut change, &self.caller, &new)?;
                new
            }
            Some(other) if other.spec.team != team => {
                return self
                    .waits(format!(
                        "the name is taken by an environment of somebody else, which is not taken over: \
                         have a platform engineer remove environment `{name}`, and it is made"
                    ))
                    .await;
            }
            Some(other) if other.spec.role != wanted => {
                let message = format!(
                    "environment `{name}` has role `{}`, not `{wanted}`: change it with `towpath apply` \
                     (kind Environment), and it is taken in as it is",
                    other.spec.role
                );
                // Of what backs it already, the role says whether it may go along: whoever ends the namespace, or
                // its team, goes by this.
                let status = &self.namespace.status;
                let protected = if status.environment == Some(other.meta.uid) {
                    Some(self.delivery.place(other).await?.is_protected())
                } else {
                    status.protected
                };
                return self.waits_as(protected, message).await;
            }
            Some(going) if going.is_deleting() => {
                return self
                    .waits(format!(
                        "environment `{name}` is being removed: it is made anew"
                    ))
                    .await;
            }
            Some(there) => there,
        };
        let usage = self.usage(&name).await?;
        let known = self.namespace.status.usage.as_ref();
        let warned = known.map(|usage| usage.near.as_slice()).unwrap_or_default();
        let news: Vec<_> = usage
            .near
            .iter()
            .filter(|part| !warned.contains(part))
            .collect();
        if !news.is_empty() {
            let data = json!({
                "parts": news, "asked": usage.asked, "quota": self.namespace.spec.quota,
                "from": format!("{} %", Usage::WARNING),
            });
            change.event(self.event("namespace.quota-warning", Some(Outcome::Fail), data));
        }
        let status = NamespaceStatus {
            ready: true,
            message: String::new(),
            environment: Some(environment.meta.uid),
            protected: Some(role.protected),
            hosts: format!("*.{name}.{}", self.delivery.settings().domain),
            usage: Some(usage),
        };
        self.commit(change, status).await?;
        Ok(Next::Idle)
    }

    /// The environment that backs the namespace: without an end, whatever its role's others have.
    fn environment(&self) -> Resource<Environment> {
        let Resource { meta, spec, .. } = &self.namespace;
        let spec = EnvironmentSpec {
            role: spec.role.clone(),
            team: meta.scope.clone(),
            engine: self.delivery.settings().default_engine.clone(),
            expires: None,
            ttl_seconds: None,
            created_by: self.caller.subject.clone(),
            cloned_from: None,
            pinned_definitions: Default::default(),
        };
        Resource::new("", meta.name.as_str(), spec)
    }

    /// What the workloads ask for; as it was counted before, where nothing differs.
    async fn usage(&self, name: &str) -> Result<Usage> {
        let query = Query::scope(name);
        let workloads = self.context.store.list_all::<Workload>(&query).await?;
        let stay = workloads.iter().filter(|workload| !workload.is_deleting());
        let defaults = self.namespace.spec.defaults();
        let asked = asked(stay.map(|workload| &workload.spec.score), Some(&defaults));
        let now = Usage {
            near: Usage::near(&asked.quota, &self.namespace.spec.quota),
            asked: asked.quota,
            unbounded_containers: asked.unbounded,
            at: self.delivery.now(),
        };
        let same = |before: &&Usage| {
            Usage {
                at: now.at,
                ..(*before).clone()
            } == now
        };
        let before = self.namespace.status.usage.as_ref().filter(same);
        Ok(before.cloned().unwrap_or(now))
    }

    async fn remove(&mut self, environment: Option<Resource<Environment>>) -> Result<Next> {
        // Only what is recorded as ours: an environment of the name alone may be anybody's.
        let recorded = self.namespace.status.environment;
        let ours = environment.filter(|found| Some(found.meta.uid) == recorded);
        let mut change = self.change();
        let Some(environment) = ours else {
            change.remove(&self.namespace)?;
            change.event(self.event("namespace.removed", Some(Outcome::Pass), json!({})));
            self.context.store.commit(change).await?;
            return Ok(Next::Idle);
        };
        if !environment.is_deleting() {
            // The role of what goes decides: it may be another than the namespace's by now.
            let place = self.delivery.place(environment.clone()).await?;
            if place.is_protected() && !self.namespace.spec.include_protected {
                let message = format!(
                    "it is kept: its environment has role `{}`, which is protected; an operator who deletes the \
                     namespace again, or offboards the team with `--include prod`, takes it too",
                    environment.spec.role
                );
                return self.waits_as(Some(true), message).await;
            }
            change.delete(&environment)?;
        }
        let status = NamespaceStatus {
            ready: false,
            message: match environment.status.remaining.as_slice() {
                [] => "its environment is being removed".into(),
                waits => format!("its environment is being removed: {}", waits.join(", ")),
            },
            ..self.namespace.status.clone()
        };
        self.commit(change, status).await?;
        Ok(Next::After(LOOK))
    }
}
