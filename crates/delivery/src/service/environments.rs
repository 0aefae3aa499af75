//! Environments: made on demand, listed, ended.

use std::time::Duration;

use jiff::Timestamp;
use kernel::{Caller, Change, Error, ErrorKind, Name, Outcome, Query, Resource, Result};
use serde_json::json;

use super::{Delivery, events};
use crate::{
    api::{
        ComputeSummary, EnvironmentSummary, NewEnvironment, ResourceSummary, RouteSummary,
        WorkloadSummary,
    },
    model::{
        Environment, EnvironmentRole, EnvironmentSpec, ResourceDefinition, ResourceInstance, Route,
        RouteSpec, Workload, default_team,
    },
    score::quantity,
};

impl Delivery {
    /// Makes an environment. Fails with `AlreadyExists` where the name is taken.
    pub async fn environment_create(
        &self,
        caller: &Caller,
        request: NewEnvironment,
    ) -> Result<Resource<Environment>> {
        let environment = self.environment_draft(caller, request).await?;
        let mut change = Change::new().by(caller);
        Self::environment_write(&mut change, caller, &environment)?;
        self.store.commit(change).await?;
        self.store.expect("", &environment.meta.name).await
    }

    /// Checks `request` and makes the environment of it, without writing.
    pub(super) async fn environment_draft(
        &self,
        caller: &Caller,
        request: NewEnvironment,
    ) -> Result<Resource<Environment>> {
        let name = Name::new(request.name)?;
        let source = match &request.clone_from {
            Some(source) => Some(self.store.expect::<Environment>("", source).await?),
            None => None,
        };
        let from_source = |f: fn(&EnvironmentSpec) -> String| source.as_ref().map(|s| f(&s.spec));
        let team = request
            .team
            .or_else(|| from_source(|s| s.team.clone()))
            .unwrap_or_else(default_team);
        Self::authorize(caller, &team, "make this environment")?;
        let role = match request.role.or_else(|| from_source(|s| s.role.clone())) {
            Some(role) => role,
            None if request.ttl_seconds.is_some() => "ephemeral".into(),
            None => self.role_named_like(name.as_str()).await?,
        };
        let role = self.role(&role).await?;
        let engine = request
            .engine
            .or_else(|| from_source(|s| s.engine.clone()))
            .unwrap_or_else(|| self.settings.default_engine.clone());
        self.engine(&engine)?;
        let ttl = request.ttl_seconds.or(role.spec.default_ttl_seconds);
        if role.spec.protected && ttl.is_some() {
            return Err(Error::invalid(format!(
                "role `{}` is protected from deletion: its environments cannot end by themselves",
                role.meta.name
            ))
            .remedy("leave out the time to live, or choose another role"));
        }
        let expires = match ttl {
            None => None,
            Some(0) => {
                return Err(Error::invalid(
                    "an environment that lives 0 s makes no sense",
                ));
            }
            Some(seconds) => Some(
                Timestamp::now()
                    .checked_add(Duration::from_secs(seconds))
                    .map_err(|e| Error::invalid("the time to live is too long").caused_by(e))?,
            ),
        };
        let pinned_definitions = match &source {
            Some(source) => self.definitions_of(source).await?,
            None => std::collections::BTreeMap::new(),
        };
        let spec = EnvironmentSpec {
            role: role.meta.name,
            team,
            engine,
            expires,
            created_by: caller.subject.clone(),
            cloned_from: source.map(|s| s.meta.name),
            pinned_definitions,
            remove_data: false,
        };
        let mut environment = Resource::<Environment>::new("", name.as_str(), spec);
        environment.meta.labels = request.labels;
        Ok(environment)
    }

    pub(super) fn environment_write(
        change: &mut Change,
        caller: &Caller,
        environment: &Resource<Environment>,
    ) -> Result<()> {
        change.create(environment)?;
        change.event(events::event(
            "environment.created",
            environment.key(),
            &environment.spec.team,
            caller,
            Some(Outcome::Pass),
            json!({ "role": environment.spec.role, "expires": environment.spec.expires }),
        ));
        Ok(())
    }

    /// The definitions that hold in `source`, by revision: what a clone is pinned to.
    async fn definitions_of(
        &self,
        source: &Resource<Environment>,
    ) -> Result<std::collections::BTreeMap<String, u64>> {
        let newest = self
            .store
            .list_all::<ResourceDefinition>(&Query::default())
            .await?;
        let mut pinned: std::collections::BTreeMap<_, _> = newest
            .into_iter()
            .map(|d| (d.meta.name, d.status.revision))
            .collect();
        pinned.extend(source.spec.pinned_definitions.clone());
        // What runs there on an older accepted revision is cloned as it runs.
        for instance in self.instances(&source.meta.name).await? {
            pinned.insert(
                instance.spec.definition.name,
                instance.spec.definition.revision,
            );
        }
        Ok(pinned)
    }

    pub(super) async fn role(&self, name: &str) -> Result<Resource<EnvironmentRole>> {
        if let Some(role) = self.store.get::<EnvironmentRole>("", name).await? {
            return Ok(role);
        }
        let known = self
            .store
            .list_all::<EnvironmentRole>(&Query::default())
            .await?;
        let known: Vec<_> = known.into_iter().map(|r| r.meta.name).collect();
        Err(
            Error::invalid(format!("there is no environment role `{name}`"))
                .remedy(format!("choose one of: {}", known.join(", "))),
        )
    }

    /// An environment named like a role has it (`qa`, `prod`); any other is for development.
    async fn role_named_like(&self, name: &str) -> Result<String> {
        let role = self.store.get::<EnvironmentRole>("", name).await?;
        Ok(role.map_or_else(|| "dev".into(), |r| r.meta.name))
    }

    /// Asks for the end of an environment and everything in it. Refused for protected roles, and
    /// where data would go that the caller did not say to take.
    pub async fn environment_delete(
        &self,
        caller: &Caller,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        Self::anew(|| self.environment_delete_once(caller, name, with_data, revision)).await
    }

    async fn environment_delete_once(
        &self,
        caller: &Caller,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        let mut environment = self.store.expect::<Environment>("", name).await?;
        Self::authorize(caller, &environment.spec.team, "delete this environment")?;
        Self::require_revision(&environment.meta, revision)?;
        if environment.is_deleting() {
            return Ok(environment);
        }
        self.refuse_if_protected(&environment, "be deleted").await?;
        let holding: Vec<_> = self
            .instances(name)
            .await?
            .into_iter()
            .filter(|i| i.spec.holds_data && environment.spec.expires.is_none())
            .map(|i| i.spec.node.to_string())
            .collect();
        if !holding.is_empty() && !with_data {
            return Err(Error::conflict(format!(
                "environment `{name}` holds data: {}",
                holding.join(", ")
            ))
            .remedy(
                "dump what you need (`towpath resource outputs` gives the access), then delete it \
                 again with --with-data",
            ));
        }
        environment.spec.remove_data = true;
        let mut change = Change::new().by(caller);
        change.spec(&environment)?;
        change.delete(&environment)?;
        change.event(events::event(
            "environment.deletion-requested",
            environment.key(),
            &environment.spec.team,
            caller,
            None,
            json!({ "withData": with_data }),
        ));
        self.store.commit(change).await?;
        self.store.expect("", name).await
    }

    /// Data of protected roles is safe from deletion.
    pub(super) async fn refuse_if_protected(
        &self,
        environment: &Resource<Environment>,
        what: &str,
    ) -> Result<()> {
        let role = self.role(&environment.spec.role).await?;
        if !role.spec.protected {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "environment `{}` has role `{}`, which is protected: it cannot {what}",
                environment.meta.name, environment.spec.role
            ),
        )
        .remedy("a platform engineer can change the role (kind EnvironmentRole, spec.protected)"))
    }

    /// What is in an environment, what it asks for, who made it and how long it lives.
    pub async fn environment_summary(&self, name: &str) -> Result<EnvironmentSummary> {
        let environment = self.store.expect::<Environment>("", name).await?;
        let workloads = self.store.list_all::<Workload>(&Query::scope(name)).await?;
        let instances = self
            .store
            .list_all::<ResourceInstance>(&Query::scope(name))
            .await?;
        let routes = self.store.list_all::<Route>(&Query::default()).await?;
        let routes: Vec<_> = routes
            .into_iter()
            .map(|r| r.spec)
            .filter(|r| r.environment == name)
            .collect();
        Ok(EnvironmentSummary {
            name: environment.meta.name.clone(),
            role: environment.spec.role,
            team: environment.spec.team,
            engine: environment.spec.engine,
            created_by: environment.spec.created_by,
            created: environment.meta.created,
            expires: environment.spec.expires,
            deleting: environment.meta.deleting.is_some(),
            remaining: environment.status.remaining,
            compute: compute(&workloads),
            workloads: workloads
                .into_iter()
                .map(|w| self.workload_summary(w, &routes))
                .collect(),
            resources: instances.into_iter().map(resource_summary).collect(),
            routes: routes
                .into_iter()
                .filter(|r| !r.path.is_empty())
                .map(|r| RouteSummary {
                    url: self.url(&r.host, &r.path),
                    workload: r.workload,
                })
                .collect(),
        })
    }

    fn workload_summary(
        &self,
        workload: Resource<Workload>,
        routes: &[RouteSpec],
    ) -> WorkloadSummary {
        let deleting = workload.is_deleting();
        let Resource { meta, spec, status } = workload;
        let state = status.releases.get(&spec.release);
        WorkloadSummary {
            url: routes
                .iter()
                .find(|r| r.workload == meta.name && !r.path.is_empty())
                .map(|r| self.url(&r.host, &r.path)),
            name: meta.name,
            deployment: spec.deployment,
            release: spec.release,
            active_release: status.active_release,
            phase: state.map(|s| s.phase),
            restarts: state.map_or(0, |s| s.containers.values().map(|c| c.restarts).sum()),
            message: status.message,
            deleting,
        }
    }

    /// An address through the gateway.
    pub fn url(&self, host: &str, path: &str) -> String {
        let path = if path == "/" { "" } else { path };
        match self.settings.gateway_port {
            80 => format!("http://{host}{path}"),
            port => format!("http://{host}:{port}{path}"),
        }
    }
}

fn resource_summary(instance: Resource<ResourceInstance>) -> ResourceSummary {
    let Resource { meta, spec, status } = instance;
    ResourceSummary {
        name: meta.name,
        node: spec.node.to_string(),
        definition: spec.definition.to_string(),
        phase: status.phase,
        summary: status.summary,
        message: status.message,
        used_by: status.used_by,
        holds_data: spec.holds_data,
    }
}

/// What workloads ask for: what is reserved; where only a limit is given, the limit.
fn compute(workloads: &[Resource<Workload>]) -> ComputeSummary {
    let mut sum = ComputeSummary::default();
    for container in workloads
        .iter()
        .flat_map(|w| w.spec.score.containers.values())
    {
        let asked = container.resources.clone().unwrap_or_default();
        let (requests, limits) = (
            asked.requests.unwrap_or_default(),
            asked.limits.unwrap_or_default(),
        );
        let cpu = requests
            .cpu
            .or(limits.cpu)
            .and_then(|q| quantity::cpu_millis(&q));
        let memory = requests
            .memory
            .or(limits.memory)
            .and_then(|q| quantity::memory_bytes(&q));
        sum.unbounded_containers += usize::from(cpu.is_none() && memory.is_none());
        sum.cpu_millis += cpu.unwrap_or(0);
        sum.memory_bytes += memory.unwrap_or(0);
    }
    sum
}
