//! Where the programs of a release listen.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{runtime::Processes, table};
use crate::{blocking::blocking, ports, supervisor::Advice};

impl Processes {
    /// At which of `answering` none of its own processes listens: ports are the machine's, and one that is
    /// free while a program is started anew may be taken by somebody else. None where that cannot be told.
    pub(super) async fn others_listen(
        &self,
        answering: &[(String, SocketAddr)],
    ) -> Vec<(String, SocketAddr)> {
        let Ok(pids) = self.processes(None).await else {
            return vec![];
        };
        let look = move || Ok(ports::are_readable(&pids).then(|| ports::listening(&pids)));
        let Ok(Some(own)) = blocking(look).await else {
            return vec![];
        };
        let others = answering.iter();
        let others = others.filter(|(_, address)| !own.contains(&address.port()));
        others.cloned().collect()
    }

    /// Why nothing listens at `missing`, as the sockets of its own processes tell.
    pub(super) async fn listens(&self, missing: &[(String, SocketAddr)]) -> Advice {
        let (name, address) = &missing[0];
        let wanted = format!("nothing listens on port {name} ({address})");
        let told: BTreeSet<u16> = self
            .record
            .endpoints
            .values()
            .map(SocketAddr::port)
            .collect();
        let look = |pids: BTreeSet<u32>| {
            let worked = pids.iter().filter_map(|pid| table::worked(*pid)).sum();
            Ok((ports::listening(&pids), Some(worked)))
        };
        let seen = match self.processes(None).await {
            Ok(pids) => blocking(move || look(pids)).await,
            Err(error) => Err(error),
        };
        let (listening, worked) = seen.unwrap_or_default();
        let elsewhere: BTreeSet<u16> = listening.difference(&told).copied().collect();
        let text = match elsewhere.first() {
            Some(port) => format!(
                "{wanted}, but the program listens on {port}: let it listen on the port that the \
                 variable PORT tells it; or if it always listens on {port}, say so: \
                 `targetPort: {port}` of port {name}, and the annotation \
                 towpath.dev/fixed-port: \"true\""
            ),
            None => format!(
                "{wanted}: does the program listen on the port that the variable PORT tells it?"
            ),
        };
        Advice {
            text,
            elsewhere,
            worked,
        }
    }
}
