//! Which hosts and paths a deployment claims, and who holds them already.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Caller, Change, Error, Meta, Problem, Resource, Result};

use super::Delivery;
use crate::{
    model::{
        Deployment, Environment, HostClaim, Route, RouteSpec, host_name, instance_name, route_name,
    },
    provisioner::Claim,
    score,
};

/// The claims of a deployment, by the name of their route.
pub(super) type Claims = BTreeMap<String, RouteSpec>;

impl Delivery {
    /// Every workload that serves TCP has a host of its own: `WORKLOAD.ENVIRONMENT.<domain>`, which
    /// leads to its first port (by name, `www`, `web` and `http` before others).
    pub(super) fn own_claim(
        &self,
        environment: &str,
        workload: &score::Workload,
    ) -> Option<RouteSpec> {
        let ports = &workload.service.as_ref()?.ports;
        let tcp = |p: &score::ServicePort| p.protocol != Some(score::Protocol::Udp);
        let usual = ["www", "web", "http"];
        let port = usual
            .iter()
            .find(|name| ports.get(**name).is_some_and(tcp))
            .map(|name| (*name).to_owned())
            .or_else(|| {
                ports
                    .iter()
                    .find(|(_, p)| tcp(p))
                    .map(|(name, _)| name.clone())
            })?;
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
                        if known {
                            format!(
                                "`{what}` is held by workload `{}` in environment `{}`",
                                held.workload, held.environment
                            )
                        } else {
                            format!("`{what}` is held by another team")
                        },
                    )
                    .remedy("choose another host or path, or delete the workload that holds it"),
                );
            }
        }
        problems.dedup();
        Ok(problems)
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
