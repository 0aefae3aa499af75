//! `dns`: a host name of the team's own, and, where one is asked for, the record that leads to it.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use async_trait::async_trait;
use delivery::provisioner::{
    Claim, Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request,
};
use kernel::Problem;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    host::{self, Domains},
    hosts_file::{HostsFile, Records},
    params::{self, Param},
};

/// Claims host names, and keeps their records in a hosts file where one is configured.
///
/// That nobody else has the name is the store's word: the claim is committed with the resource. A
/// name below `localhost` needs no record, since every machine sends it to the loopback (RFC 6761).
/// Other names get a record in the hosts file, which dnsmasq (`addn-hosts`) and CoreDNS (`hosts`)
/// serve and re-read by themselves; where no file is configured, the summary says that the name
/// must be pointed at the gateway by whoever keeps its zone.
#[derive(Debug, Clone)]
pub struct Dns {
    domains: Domains,
    records: Records,
}

impl Dns {
    /// Names below `domains`, without records.
    pub fn new(domains: Domains) -> Self {
        Self {
            domains,
            records: Records::default(),
        }
    }

    /// Keeps records in the hosts file `path`, each leading to `gateway`.
    #[must_use]
    pub fn with_hosts_file(mut self, path: impl Into<PathBuf>, gateway: IpAddr) -> Self {
        self.records = Records::in_file(HostsFile::new(path, gateway));
        self
    }

    fn host(&self, request: &Request) -> Result<String, ProvisionError> {
        let asked = params::text(&request.params, "host")
            .unwrap_or_else(|| self.domains.default_host(request));
        self.domains.claim(&asked, request)
    }

    /// The records that it keeps: a route's host gets its own beside them.
    pub(crate) fn records(&self) -> &Records {
        &self.records
    }
}

/// A claimed name.
fn made(host: String) -> Provisioned {
    Provisioned {
        outputs: BTreeMap::from([("host".to_owned(), Output::Plain(host.clone().into()))]),
        state: json!({ "host": host }),
        listens: None,
        summary: host.clone(),
        claims: vec![Claim { host, route: None }],
    }
}

#[async_trait]
impl Provisioner for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A host name below the environment's domain, or one allotted to the team.",
            outputs: &[("host", false)],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[Param::optional("host", host::HOST)];
        params::check("dns", KNOWN, given)
    }

    fn preview(&self, request: &Request) -> Option<Result<Provisioned, ProvisionError>> {
        Some(self.host(request).map(made))
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let host = self.host(request)?;
        let summary = if let Some(file) = self.records.set(request, &host).await? {
            format!("{host}, with its record in {file}")
        } else if host::is_loopback(&host) {
            format!("{host}, which leads to this machine")
        } else {
            format!("{host}; point it at the gateway: the platform keeps no records of this zone")
        };
        Ok(Provisioned {
            summary,
            ..made(host)
        })
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
        let host = self.host(request).ok()?;
        self.records.listed_as(request, &host)
    }
}
