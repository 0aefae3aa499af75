//! Which hosts and paths a deployment claims, and who holds them already.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Caller, Change, Error, Meta, Problem, Resource, Result, Secret};

use super::Delivery;
use crate::{
    model::{
        Deployment, Environment, HostClaim, ResourceInstance, Route, RouteSpec, Workload,
        host_name, instance_name, route_name,
    },
    provisioner::Claim,
    score,
};

/// The claims of a deployment, by the name of their route.
pub(super) type Claims = BTreeMap<String, RouteSpec>;

impl Delivery {
    /// Every workload that serves TCP has a host of its own: `WORKLOAD.ENVIRONMENT.<domain>`, which
    /// leads to its [main port](score::main_port).
    pub(super) fn own_claim(
        &self,
        environment: &str,
        workload: &score::Workload,
    ) -> Option<RouteSpec> {
        let port = workload.service.as_ref()?.main_port()?.to_owned();
        let name = &workload.metadata.name;
        Some(RouteSpec {
            host: format!("{name}.{environment}.{}", self.settings.domain),
            path: "/".into(),
            environment: environment.into(),
            workload: name.clone(),
            port,
            instance: None,
        })
    }

    /// The route that a provisioner's claim asks for.
    pub(super) fn route_of_claim(
        environment: &str,
        workload: &str,
        instance: &str,
        claim: Claim,
    ) -> RouteSpec {
        let (path, port) = claim.route.unwrap_or_default();
        RouteSpec {
            host: claim.host,
            path,
            environment: environment.into(),
            workload: workload.into(),
            port,
            instance: Some(instance.into()),
        }
    }

    /// What is wrong with `claims`: hosts that another environment holds, host and path that another
    /// workload holds. Names the holder, where the caller may know of it.
    pub(super) async fn refuse_taken(
        &self,
        caller: &Caller,
        environment: &Resource<Environment>,
        claims: &Claims,
    ) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        let hosts: BTreeSet<&String> = claims.values().map(|claim| &claim.host).collect();
        let mut routes = Vec::new();
        for host in hosts {
            routes.extend(self.routes_at(host).await?);
        }
        for held in routes {
            let team = held.meta.labels.get(Meta::TEAM).map(String::as_str);
            let known = self.sees_route(caller, &held.meta.name, team);
            let held = held.spec;
            for claim in claims.values().filter(|claim| claim.host == held.host) {
                let elsewhere = held.environment != environment.meta.name;
                let other = held.workload != claim.workload && held.path == claim.path;
                if !elsewhere && !other {
                    continue;
                }
                let what = if elsewhere {
                    claim.host.clone()
                } else {
                    format!("{}{}", claim.host, claim.path)
                };
                problems.push(
                    Problem::new(
                        "route/taken",
                        claim.instance.clone().unwrap_or_default(),
                        held_by(&what, &held, known),
                    )
                    .remedy("choose another host or path, or delete the workload that holds it"),
                );
            }
        }
        problems.dedup();
        Ok(problems)
    }

    /// What is wrong with the routes that `instance` claims. What is let go of when a first deployment fails may be
    /// another's by the time that its workload is ready after all.
    pub(crate) async fn lost_route(
        &self,
        instance: &Resource<ResourceInstance>,
    ) -> Result<Option<Problem>> {
        let Resource { meta, spec, .. } = instance;
        let Some(user) = &spec.workload else {
            return Ok(None);
        };
        if !self.may_claim(instance) {
            return Ok(None);
        }
        let found = self.store.get::<Workload>(&meta.scope, user).await?;
        let Some(workload) = found.filter(|workload| !workload.is_deleting()) else {
            return Ok(None);
        };
        let deployment = &workload.spec.deployment;
        let Some(deployment) = self
            .store
            .get::<Deployment>(&meta.scope, deployment)
            .await?
        else {
            return Ok(None);
        };
        for (name, claim) in &deployment.spec.claims {
            if claim.instance.as_ref() != Some(&meta.name) {
                continue;
            }
            let routes = self.routes_at(&claim.host).await?;
            let elsewhere = |held: &RouteSpec| held.environment != claim.environment;
            let same = routes.iter().find(|route| route.meta.name == *name);
            if same.is_some_and(|it| !elsewhere(&it.spec) && it.spec.workload == claim.workload) {
                continue;
            }
            let problem =
                |message: String| Problem::new("route/lost", spec.node.to_string(), message);
            let place = format!("{}{}", claim.host, claim.path);
            let taken = same.or_else(|| routes.iter().find(|route| elsewhere(&route.spec)));
            let problem = match taken {
                Some(held) => {
                    let what = if elsewhere(&held.spec) {
                        &claim.host
                    } else {
                        &place
                    };
                    let known = held.meta.labels.get(Meta::TEAM) == Some(&spec.team);
                    problem(held_by(what, &held.spec, known))
                        .remedy("choose another host or path, and deploy again")
                }
                None if workload.status.active_release != 0 => {
                    problem(format!("`{place}` leads nowhere")).remedy("deploy again")
                }
                // Its workload takes it once it is ready.
                None => continue,
            };
            return Ok(Some(problem));
        }
        Ok(None)
    }

    /// Whether `instance` may claim a route: only what its provisioner says beforehand is claimed.
    fn may_claim(&self, instance: &Resource<ResourceInstance>) -> bool {
        let Some(provisioner) = self.provisioner(&instance.spec.provisioner) else {
            return false;
        };
        let (params, seed) = (instance.spec.params.clone(), Secret::new([]));
        let request = self.request_with(instance, params, seed, "127.0.0.1".into());
        match provisioner.preview(&request) {
            None => false,
            Some(Ok(preview)) => !preview.claims.is_empty(),
            // A placeholder stands where it wants a host, or a path.
            Some(Err(_)) => true,
        }
    }

    /// Makes the routes `free`, which nobody holds, for `team`. Whoever claims another path of one of these
    /// hosts at the same time conflicts, and so learns of these.
    pub(super) async fn claim(
        &self,
        change: &mut Change,
        free: &[(&String, &RouteSpec)],
        team: &str,
    ) -> Result<()> {
        let hosts: BTreeMap<_, _> = (free.iter())
            .map(|(_, claim)| (&claim.host, &claim.environment))
            .collect();
        for (host, environment) in hosts {
            let held = self.store.get::<HostClaim>("", &host_name(host)).await?;
            // Read after the claim: who has taken it since the plan is seen here, who takes it from here on
            // writes the claim.
            let routes = self.routes_at(host).await?;
            if routes
                .iter()
                .any(|route| route.spec.environment != **environment)
            {
                return Err(Error::conflict(format!(
                    "`{host}` was just taken by another environment"
                ))
                .remedy("choose another host")
                .overtaken());
            }
            let is_first = held.is_none();
            let claim = HostClaim::again(held, host, environment);
            if is_first {
                change.create(&claim)?;
            } else {
                change.spec(&claim)?;
            }
        }
        for (name, claim) in free {
            change.create(&Route::claimed(name, claim, team))?;
        }
        Ok(())
    }

    /// Names of the routes that `workload` holds by `deployment`.
    pub(super) fn claims_of(
        &self,
        deployment: &Resource<Deployment>,
        workload: &str,
    ) -> Vec<String> {
        let graph = &deployment.spec.graph;
        let mut names: Vec<String> = deployment
            .spec
            .workloads
            .get(workload)
            .and_then(|score| self.own_claim(&deployment.meta.scope, score))
            .map(|own| route_name(&own.host, &own.path))
            .into_iter()
            .collect();
        let instances: Vec<_> = graph
            .needed_by(workload)
            .iter()
            .map(instance_name)
            .collect();
        names.extend(
            deployment
                .spec
                .claims
                .iter()
                .filter(|(_, claim)| {
                    claim
                        .instance
                        .as_ref()
                        .is_some_and(|i| instances.contains(i))
                })
                .map(|(name, _)| name.clone()),
        );
        names
    }
}

/// Who holds `what`, a host or a host and path; `known` says whether that may be told.
fn held_by(what: &str, held: &RouteSpec, known: bool) -> String {
    if known {
        format!(
            "`{what}` is held by workload `{}` in environment `{}`",
            held.workload, held.environment
        )
    } else {
        format!("`{what}` is held by another team")
    }
}
