//! `environment`: what a workload may want to know of where it runs.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::Problem;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::host::Domains;

/// Gives the environment's name, role, team and domain, and whatever the definition says besides:
/// `${resources.env.LOG_LEVEL}` is the definition's parameter `LOG_LEVEL`.
#[derive(Debug, Clone)]
pub struct EnvironmentValues {
    domains: Domains,
}

/// What every environment has; a definition may not give these other values.
const OWN: [&str; 4] = ["name", "role", "team", "domain"];

impl EnvironmentValues {
    /// Values of environments whose hosts are below `domains`.
    pub fn new(domains: Domains) -> Self {
        Self { domains }
    }
}

impl EnvironmentValues {
    /// What the instance gives: it follows from the request alone.
    fn decide(&self, request: &Request) -> Provisioned {
        let own = [
            ("name", request.environment.clone()),
            ("role", request.role.clone()),
            ("team", request.team.clone()),
            ("domain", self.domains.of_environment(&request.environment)),
        ];
        let mut outputs: BTreeMap<String, Output> = request
            .params
            .iter()
            .map(|(name, value)| (name.clone(), Output::Plain(value.clone())))
            .collect();
        outputs
            .extend(own.map(|(name, value)| (name.to_owned(), Output::Plain(Value::from(value)))));
        Provisioned {
            summary: format!(
                "{} values of environment {}",
                outputs.len(),
                request.environment
            ),
            outputs,
            state: Value::Null,
            listens: None,
            claims: Vec::new(),
        }
    }
}

#[async_trait]
impl Provisioner for EnvironmentValues {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "The environment's name, role, team and domain, and values from the definition.",
            outputs: &[],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (name, value) in given {
            let path = format!("params.{name}");
            if OWN.contains(&name.as_str()) {
                problems.push(
                    Problem::new(
                        "params/reserved",
                        path,
                        format!("`{name}` is the environment's own, and cannot be given"),
                    )
                    .remedy("choose another name"),
                );
            } else if value.is_array() || value.is_object() || value.is_null() {
                problems.push(
                    Problem::new("params/value", path, format!("`{name}` is no single value"))
                        .remedy(
                            "give text, a number or a truth value: it becomes a variable's text",
                        ),
                );
            }
        }
        problems
    }

    fn outputs(&self, given: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let own = OWN.iter().map(|name| (*name).to_owned());
        Some(own.chain(given.keys().cloned()).collect())
    }

    fn preview(&self, request: &Request) -> Option<Result<Provisioned, ProvisionError>> {
        Some(Ok(self.decide(request)))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        Ok(self.decide(request))
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn presence(&self, _: &Request) -> Presence {
        Presence::Present
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(Vec::new())
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}
