//! `route`: a host and path that lead to a workload's port. What it makes is the claim, which the
//! platform's store keeps, and which the gateway follows; and the host's record, as `dns` does.

use std::{collections::BTreeMap, net::SocketAddr};

use async_trait::async_trait;
use delivery::provisioner::{
    Claim, Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
    WorkloadPort,
};
use kernel::Problem;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Dns,
    host::{self, Domains},
    hosts_file::Records,
    params::{self, Param, Shape},
};

/// Judges a route's host and path, and says under which URL it is reached.
#[derive(Debug, Clone)]
pub struct Route {
    domains: Domains,
    gateway: SocketAddr,
    records: Records,
}

impl Route {
    /// Routes below `domains`, reached through the gateway that listens on `gateway`, without records.
    pub fn new(domains: Domains, gateway: SocketAddr) -> Self {
        Self {
            domains,
            gateway,
            records: Records::default(),
        }
    }

    /// Keeps records of the hosts where `dns` keeps its own.
    #[must_use]
    pub fn with_records_of(mut self, dns: &Dns) -> Self {
        self.records = dns.records().of_kind("route:");
        self
    }

    /// What the instance gives: it follows from the request alone.
    fn decide(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let missing = |name: &str| {
            ProvisionError::permanent(format!("the route has no `{name}`"))
                .remedy(format!("give the parameter `{name}`"))
        };
        let asked = params::text(&request.params, "host").ok_or_else(|| missing("host"))?;
        let host = self.domains.claim(&asked, request)?;
        let path = params::text(&request.params, "path").unwrap_or_else(|| "/".into());
        host::check_path(&path).map_err(|wrong| {
            ProvisionError::permanent(format!("the route's path `{path}` {wrong}"))
                .remedy("give a path such as `/` or `/api`")
        })?;
        let port = params::text(&request.params, "port").ok_or_else(|| missing("port"))?;
        let url = match self.gateway.port() {
            80 => format!("http://{host}{path}"),
            other => format!("http://{host}:{other}{path}"),
        };
        Ok(Provisioned {
            outputs: BTreeMap::from([
                ("url".to_owned(), Output::Plain(url.clone().into())),
                ("host".to_owned(), Output::Plain(host.clone().into())),
                ("path".to_owned(), Output::Plain(path.clone().into())),
            ]),
            state: json!({ "host": host, "path": path, "port": port }),
            listens: None,
            summary: format!("{url} to port {port}"),
            claims: vec![Claim {
                host,
                route: Some((path, port)),
            }],
        })
    }
}

#[async_trait]
impl Provisioner for Route {
    fn name(&self) -> &'static str {
        "route"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A host and path on the gateway that lead to a port of the workload.",
            outputs: &[("url", false), ("host", false), ("path", false)],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[
            Param::required("host", host::HOST),
            Param::optional("path", host::PATH),
            Param::required("port", Shape::TextOrNumber),
        ];
        params::check("route", KNOWN, given)
    }

    fn leads_to(&self, request: &Request) -> Vec<WorkloadPort> {
        let pair = request
            .workload
            .clone()
            .zip(params::text(&request.params, "port"));
        pair.map(|(workload, port)| WorkloadPort { workload, port })
            .into_iter()
            .collect()
    }

    fn preview(&self, request: &Request) -> Option<Result<Provisioned, ProvisionError>> {
        Some(self.decide(request))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let mut made = self.decide(request)?;
        let Some(host) = made.state["host"].as_str() else {
            return Ok(made);
        };
        if let Some(file) = self.records.set(request, host).await? {
            made.summary += &format!(", with its record in {file}");
        } else if !host::is_loopback(host) {
            made.summary += &format!(
                "; point {host} at the gateway: the platform keeps no records of this zone"
            );
        }
        Ok(made)
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.records.remove(request).await
    }

    async fn presence(&self, request: &Request) -> Presence {
        self.records.presence(request).await
    }

    async fn inventory(&self, platform: Uuid) -> Result<Vec<String>, ProvisionError> {
        self.records.inventory(platform).await
    }

    fn listed_as(&self, request: &Request) -> Option<String> {
        let host = params::text(&request.params, "host")?;
        let host = self.domains.claim(&host, request).ok()?;
        self.records.listed_as(request, &host)
    }
}
