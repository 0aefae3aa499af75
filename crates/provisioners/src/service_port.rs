//! `service-port`: a stable address of another workload's port.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use delivery::provisioner::{
    Description, Output, Presence, ProvisionError, Provisioned, Provisioner, Request, WorkloadPort,
};
use kernel::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::params::{self, Param, Shape};

/// Where ports are looked for: below what systems give to outgoing connections (from 32768 on
/// Linux), so that a port is still free when it is listened on again after a restart.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Chooses the loopback port on which a workload's port is reached whichever release serves it. The
/// forwarding itself is the gateway's: it reads [`ServicePortState`].
#[derive(Debug, Default)]
pub struct ServicePort {
    /// Who has which port: it is perhaps not yet listened on.
    given: Mutex<BTreeMap<u16, Uuid>>,
}

/// What the gateway must do for an instance of `service-port`: its `state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePortState {
    /// The workload, of the same environment.
    pub workload: String,
    /// The port's name, or its number as text.
    pub port: String,
    /// Where to listen for it.
    pub listen: SocketAddr,
}

impl ServicePort {
    /// Ports are found on the loopback.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the port of an instance that exists, so that no other gets it. To be called for each
    /// before anything is provisioned: a port that nothing listens on just now looks free.
    pub fn keep(&self, instance: Uuid, state: &ServicePortState) {
        self.given().insert(state.listen.port(), instance);
    }

    /// Lets others have the port of an instance that is gone.
    pub fn release(&self, instance: Uuid) {
        self.given().retain(|_, owner| *owner != instance);
    }

    /// A free loopback port, the same for the same instance. The search begins at a place that
    /// follows from the instance, so that a call that was killed finds the same port again.
    fn choose(&self, instance: Uuid) -> Option<SocketAddr> {
        let mut given = self.given();
        let start = (instance.as_u128() % u128::from(COUNT)) as u16;
        let port =
            (0..COUNT)
                .map(|step| FIRST + (start + step) % COUNT)
                .find(|port| match given.get(port) {
                    Some(owner) => *owner == instance,
                    None => TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok(),
                })?;
        given.insert(port, instance);
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn given(&self) -> std::sync::MutexGuard<'_, BTreeMap<u16, Uuid>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Provisioner for ServicePort {
    fn name(&self) -> &'static str {
        "service-port"
    }

    fn describe(&self) -> Description {
        Description {
            summary: "A stable address of a port of another workload in the environment.",
            outputs: &[("hostname", false), ("port", false), ("url", false)],
            holds_data: false,
            replaced_by: &[],
        }
    }

    fn check(&self, given: &Map<String, Value>) -> Vec<Problem> {
        const KNOWN: &[Param] = &[
            Param::required("workload", Shape::Text),
            Param::required("port", Shape::TextOrNumber),
        ];
        params::check("service-port", KNOWN, given)
    }

    fn leads_to(&self, request: &Request) -> Vec<WorkloadPort> {
        let given = |name| params::text(&request.params, name);
        let pair = given("workload").zip(given("port"));
        pair.map(|(workload, port)| WorkloadPort { workload, port })
            .into_iter()
            .collect()
    }

    async fn provision(&self, request: &Request) -> Result<Provisioned, ProvisionError> {
        let needed = |name: &str| {
            params::text(&request.params, name).ok_or_else(|| {
                ProvisionError::permanent(format!("the service port has no `{name}`"))
                    .remedy(format!("give the parameter `{name}`"))
            })
        };
        let (workload, port) = (needed("workload")?, needed("port")?);
        let before = serde_json::from_value::<Option<ServicePortState>>(request.state.clone());
        let before = before.map_err(|error| {
            // Another port would leave behind whoever has this one.
            ProvisionError::permanent(format!(
                "the port that was given cannot be read from the record of the service port: {error}"
            ))
            .remedy(
                "if another version of the platform wrote it, run that one; or deploy the workload \
                 without this resource and then with it again, which gives another port",
            )
        })?;
        let listen = match before {
            Some(state) => {
                self.keep(request.uid, &state);
                state.listen
            }
            None => self.choose(request.uid).ok_or_else(|| {
                ProvisionError::transient(format!(
                    "no port from {FIRST} to {} is free on the loopback",
                    FIRST + COUNT - 1
                ))
                .remedy("end programs that listen there")
            })?,
        };
        let (host, number) = (&request.machine_host, listen.port());
        let outputs = BTreeMap::from([
            ("hostname".to_owned(), Output::Plain(host.clone().into())),
            ("port".to_owned(), Output::Plain(number.into())),
            (
                "url".to_owned(),
                Output::Plain(format!("http://{host}:{number}").into()),
            ),
        ]);
        let summary = format!("{listen} to port {port} of workload {workload}");
        let state = ServicePortState {
            workload,
            port,
            listen,
        };
        Ok(Provisioned {
            outputs,
            state: serde_json::to_value(state)
                .map_err(|error| ProvisionError::permanent(error.to_string()))?,
            listens: Some(listen),
            summary,
            claims: Vec::new(),
        })
    }

    async fn retire(&self, _: &Request) -> Result<(), ProvisionError> {
        Ok(())
    }

    async fn remove(&self, request: &Request) -> Result<(), ProvisionError> {
        self.release(request.uid);
        Ok(())
    }

    async fn presence(&self, request: &Request) -> Presence {
        if request.state.is_null() {
            Presence::Absent
        } else {
            Presence::Present
        }
    }

    async fn inventory(&self, _: Uuid) -> Result<Vec<String>, ProvisionError> {
        Ok(Vec::new())
    }

    fn listed_as(&self, _: &Request) -> Option<String> {
        None
    }
}
