//! Ends environments when their time is over or somebody asks: first the workloads, then what they
//! used, databases too, then the environment itself. While an environment lives, keeps the record of its
//! deployments to a length (`history`).

mod history;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kernel::{
    Change, Event, Key, Kind, NewEvent, Next, Outcome, Query, Reconciler, Resource, Result,
    reconciler::Context,
};
use serde_json::json;
use teams::model::Namespace;
use uuid::Uuid;

use crate::{
    model::{
        Deployment, Environment, EnvironmentRole, EnvironmentStatus, ResourceInstance, Workload,
    },
    service::{Delivery, events},
};

/// The reconciler of [`Environment`].
pub struct Environments(pub Arc<Delivery>);

#[async_trait]
impl Reconciler for Environments {
    fn name(&self) -> &'static str {
        "environments"
    }

    fn kind(&self) -> &'static str {
        Environment::KIND
    }

    fn concerns(&self, event: &Event) -> Vec<Key> {
        self.0.owners.heard(event);
        let key = event.subject_key();
        key.filter(|key| key.kind == self.kind())
            .into_iter()
            .collect()
    }

    fn lane(&self, key: &Key) -> String {
        self.0.owners.of(&key.name)
    }

    async fn survey(&self, context: &Context) -> Result<()> {
        self.0.owners.read(&context.store).await
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let Some(environment) = context.store.get::<Environment>("", &key.name).await? else {
            return Ok(Next::Idle);
        };
        let mut pass = Pass {
            delivery: &self.0,
            context,
            environment,
        };
        if pass.environment.is_deleting() {
            pass.remove().await
        } else {
            pass.prune().await?;
            pass.expire().await
        }
    }
}

struct Pass<'a> {
    delivery: &'a Delivery,
    context: &'a Context,
    environment: Resource<Environment>,
}

impl Pass<'_> {
    /// Asks for the deletion once the time is over; where it stays all the same, says so.
    async fn expire(&mut self) -> Result<Next> {
        /// A timer beyond this is set again rather than trusted.
        const LONGEST: Duration = Duration::from_hours(1);
        let Some(expires) = self.environment.spec.expires else {
            self.stays(String::new()).await?;
            return Ok(Next::Idle);
        };
        let left = expires.duration_since(self.delivery.now());
        if let Ok(left) = Duration::try_from(left)
            && !left.is_zero()
        {
            self.stays(String::new()).await?;
            return Ok(Next::After(left.min(LONGEST)));
        }
        let role = &self.environment.spec.role;
        let known = self.context.store.get::<EnvironmentRole>("", role).await?;
        // It has become so since: a person must change one or the other.
        let held = match known {
            Some(role) if !role.spec.protected => None,
            Some(_) => Some(("is protected", "the role is not protected")),
            None => Some((
                "is no longer there",
                "a role of that name is there and not protected",
            )),
        };
        if let Some((because, until)) = held {
            let why = format!(
                "its time is over, and it stays, since its role `{role}` {because}: `towpath env extend {} \
                 --forever` lifts the end; once {until}, it is removed",
                self.environment.meta.name
            );
            self.stays(why).await?;
            return Ok(Next::After(LONGEST));
        }
        let mut change = self.change();
        change.delete(&self.environment)?;
        change.event(NewEvent::caused(
            "environment.expired",
            self.environment.key(),
            &self.environment.spec.team,
            &kernel::Caller::system("environments", self.correlation()),
            None,
            json!({ "expires": expires }),
        ));
        self.context.store.commit(change).await?;
        Ok(Next::Idle)
    }

    /// Says why it stays although its time is over, once; nothing where that is not so.
    async fn stays(&mut self, why: String) -> Result<()> {
        if self.environment.status.message == why {
            return Ok(());
        }
        let mut change = self.change();
        if !why.is_empty() {
            let spec = &self.environment.spec;
            change.event(NewEvent::caused(
                "environment.expiry-held",
                self.environment.key(),
                &spec.team,
                &kernel::Caller::system("environments", self.correlation()),
                Some(Outcome::Fail),
                json!({ "expires": spec.expires, "role": spec.role }),
            ));
        }
        self.environment.status.message = why;
        change.status(&self.environment)?;
        self.context.store.commit(change).await?;
        Ok(())
    }

    async fn remove(&mut self) -> Result<Next> {
        let name = self.environment.meta.name.clone();
        let store = &self.context.store;
        let workloads = store.list_all::<Workload>(&Query::scope(&name)).await?;
        let instances = store
            .list_all::<ResourceInstance>(&Query::scope(&name))
            .await?;
        let mut change = self.change();
        let mut remaining = Vec::new();
        for mut workload in workloads {
            remaining.push(match workload.status.removal_failure.as_str() {
                "" => format!("workload {}", workload.meta.name),
                why => format!("workload {}: {why}", workload.meta.name),
            });
            if !workload.is_deleting() {
                workload.spec.remove_data = true;
                change.spec(&workload)?;
                change.delete(&workload)?;
            }
        }
        for instance in &instances {
            remaining.push(match instance.status.message.as_str() {
                "" => format!("resource {}", instance.spec.node),
                message => match &instance.status.remedy {
                    Some(remedy) if instance.status.removal_fails.is_some() => {
                        format!("resource {}: {message}; {remedy}", instance.spec.node)
                    }
                    _ => format!("resource {}: {message}", instance.spec.node),
                },
            });
            if !instance.is_deleting() {
                change.delete(instance)?;
            }
        }
        if remaining.is_empty() {
            return self.gone().await;
        }
        self.remains(remaining, change).await
    }

    /// Says what is left, with what `change` does about it, and looks again.
    async fn remains(&mut self, remaining: Vec<String>, mut change: Change) -> Result<Next> {
        let status = EnvironmentStatus {
            remaining,
            message: String::new(),
            ..self.environment.status.clone()
        };
        if self.environment.status != status {
            self.environment.status = status;
            change.status(&self.environment)?;
        }
        if !change.is_empty() {
            self.context.store.commit(change).await?;
        }
        Ok(Next::After(Duration::from_secs(2)))
    }

    /// Ends what deploys to it, so that it does not deploy to the next environment of its name. What deploys
    /// to a namespace ends with that: another environment backs it when this one goes.
    async fn end_credentials(&self) -> Result<()> {
        let Some(ends) = self.delivery.ends() else {
            return Ok(());
        };
        let (name, team) = (&self.environment.meta.name, &self.environment.spec.team);
        let namespace = self.context.store.get::<Namespace>(team, name).await?;
        if namespace.is_some() {
            return Ok(());
        }
        let caller = kernel::Caller::system("environments", self.correlation());
        ends.end(&caller, team, name).await
    }

    /// Nothing is left in it: what deploys to it ends, its records go, and it goes itself. Its events stay.
    async fn gone(&mut self) -> Result<Next> {
        let name = self.environment.meta.name.clone();
        if let Err(error) = self.end_credentials().await {
            tracing::warn!(
                environment = name,
                error = error.chain(),
                "what deploys to it stays"
            );
            let why = format!("what deploys to it: {}", error.message);
            return self.remains(vec![why], self.change()).await;
        }
        let store = &self.context.store;
        let mut change = self.change();
        for deployment in store.list_all::<Deployment>(&Query::scope(&name)).await? {
            change.remove(&deployment)?;
        }
        for route in self.delivery.routes_of(&name).await? {
            change.remove(&route)?;
        }
        for claim in self.delivery.host_claims_of(&name).await? {
            change.remove(&claim)?;
        }
        change.remove(&self.environment)?;
        change.event(NewEvent::caused(
            "environment.removed",
            self.environment.key(),
            &self.environment.spec.team,
            &kernel::Caller::system("environments", self.correlation()),
            Some(Outcome::Pass),
            json!({}),
        ));
        store.commit(change).await?;
        Ok(Next::Idle)
    }

    /// The environment's own id joins the events of its end.
    fn correlation(&self) -> Uuid {
        self.environment.meta.uid
    }

    fn change(&self) -> Change {
        events::change("environments", self.correlation()).fenced(self.context.fence.clone())
    }
}
