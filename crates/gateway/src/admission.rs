//! Who may reach a target, where that is not everybody: decided by whose workload calls.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{OnceCell, watch};

/// Whose workloads a target lets in. Callers that are no workload of the platform are let in by every
/// target: a route is how its team lets the outside in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The namespace that the target is in.
    pub namespace: String,
    /// The team that says who is let in.
    pub team: String,
    /// Environments whose workloads are let in, the namespace's own among them.
    pub from: BTreeSet<String>,
}

/// Whose end of a connection it is could not be found out: said in words for a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unknown(pub String);

/// Knows the workloads that call.
#[async_trait]
pub trait Callers: Send + Sync + 'static {
    /// The environment whose workload has the end `peer` of a connection that was accepted at `here`.
    /// None: no workload of the platform has it.
    async fn environment_of(
        &self,
        peer: SocketAddr,
        here: SocketAddr,
    ) -> Result<Option<String>, Unknown>;

    /// Is told of each refusal, as it happens, and must not take its time. `from` is the environment
    /// that was refused, or why it could not be found out.
    fn refused(&self, from: Result<&str, &Unknown>, admission: &Admission);
}

/// Why a caller was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It is a workload of an environment that is not let in.
    Other {
        from: String,
        admission: Arc<Admission>,
    },
    /// Nobody can say whose it is.
    Unknown { admission: Arc<Admission> },
}

/// The other end of a client's connection. Who that is, is found out when a target first asks.
pub(crate) struct Peer {
    callers: Option<Arc<dyn Callers>>,
    address: SocketAddr,
    here: SocketAddr,
    environment: OnceCell<Option<String>>,
}

impl Peer {
    pub(crate) fn new(
        callers: Option<Arc<dyn Callers>>,
        peer: SocketAddr,
        here: SocketAddr,
    ) -> Self {
        Self {
            callers,
            address: canonical(peer),
            here: canonical(here),
            environment: OnceCell::new(),
        }
    }

    /// Refuses who is not let in, and says so to whom it concerns.
    pub(crate) async fn admit(&self, admission: Option<&Arc<Admission>>) -> Result<(), Denied> {
        let Some(admission) = admission else {
            return Ok(());
        };
        let from = match self.environment().await {
            Ok(None) => return Ok(()),
            Ok(Some(from)) if admission.from.contains(from) => return Ok(()),
            Ok(Some(from)) => Ok(from),
            Err(unknown) => Err(unknown),
        };
        if let Some(callers) = &self.callers {
            callers.refused(from.as_ref().copied(), admission);
        }
        let admission = admission.clone();
        Err(match from {
            Ok(from) => Denied::Other {
                from: from.to_owned(),
                admission,
            },
            Err(_) => Denied::Unknown { admission },
        })
    }

    /// Ends when it is let in no more by what `newest` says: for connections that outlive what let them in.
    /// `admission` finds in it whom the target lets in; none where that is not known to be the same target
    /// any more, or lets in everybody.
    pub(crate) async fn until_shut_out<T>(
        &self,
        mut newest: watch::Receiver<T>,
        admission: impl Fn(&T) -> Option<Arc<Admission>>,
    ) {
        let mut let_in_by = None;
        loop {
            let now = admission(&newest.borrow_and_update());
            if now != let_in_by {
                if let Err(denied) = self.admit(now.as_ref()).await {
                    tracing::debug!(?denied, "a connection is let in no more");
                    return;
                }
                let_in_by = now;
            }
            if newest.changed().await.is_err() {
                // Nothing will change any more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What could not be found out is asked again the next time.
    async fn environment(&self) -> Result<Option<&str>, Unknown> {
        let ask = || async {
            let callers = self.callers.as_ref();
            let callers = callers.ok_or_else(|| Unknown("nobody here knows workloads".into()))?;
            callers.environment_of(self.address, self.here).await
        };
        let known = self.environment.get_or_try_init(ask).await?;
        Ok(known.as_deref())
    }
}

/// An IPv4 address that a socket for both families shows as IPv6, as it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
