//! What is in an environment, what it takes, who made it, and when it ends.

use kernel::{Caller, Query, Resource, Result};
use teams::model::ContainerDefaults;

use super::super::{Delivery, quota};
use crate::{
    api::{ComputeSummary, EnvironmentSummary, ResourceSummary, RouteSummary, WorkloadSummary},
    model::{ResourceInstance, RouteSpec, Workload},
};

impl Delivery {
    /// What is in an environment, what it asks for, who made it and how long it lives.
    pub async fn environment_summary(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<EnvironmentSummary> {
        let environment = self.environment_seen(caller, name).await?.environment;
        let workloads = self.store.list_all::<Workload>(&Query::scope(name)).await?;
        let instances = self
            .store
            .list_all::<ResourceInstance>(&Query::scope(name))
            .await?;
        let routes = self.routes_of(name).await?;
        let routes: Vec<_> = routes.into_iter().map(|r| r.spec).collect();
        let pins = self.pins(&environment).await?;
        let defaults = self.container_defaults(&environment).await?;
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
            message: environment.status.message,
            cloned_from: environment.spec.cloned_from,
            pins,
            compute: compute(&workloads, defaults.as_ref()),
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
            message: status.trouble().to_owned(),
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
        unreachable: status.unreachable,
        summary: status.summary,
        message: status.message,
        used_by: status.used_by,
        holds_data: spec.holds_data,
    }
}

/// What workloads ask for, counted as their quota counts it.
fn compute(
    workloads: &[Resource<Workload>],
    defaults: Option<&ContainerDefaults>,
) -> ComputeSummary {
    let asked = quota::asked(
        workloads.iter().map(|workload| &workload.spec.score),
        defaults,
    );
    ComputeSummary {
        cpu_millis: asked.quota.requests.cpu.0,
        memory_bytes: asked.quota.requests.memory.0,
        unbounded_containers: asked.unbounded,
    }
}
