//! Where the programs of a release listen.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{runtime::Processes, table};
use crate::{
    blocking::blocking,
    ports,
    supervisor::Advice,
    told::{BOTH, Told},
};

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

    /// What its programs are told of their ports.
    pub(super) fn told(&self) -> Told<'_> {
        let endpoints = self.record.endpoints.iter();
        let ports = endpoints.map(|(name, address)| (name, address.port()));
        Told::new(ports, &self.record.tcp)
    }

    /// Why nothing listens at `missing`, as the sockets of its own processes tell.
    pub(super) async fn listens(&self, missing: &[(String, SocketAddr)]) -> Advice {
        let (name, address) = &missing[0];
        let wanted = format!("nothing listens on port {name} ({address})");
        let look = |pids: BTreeSet<u32>| {
            let worked = pids.iter().filter_map(|pid| table::worked(*pid)).sum();
            Ok((ports::listening(&pids), Some(worked)))
        };
        let seen = match self.processes(None).await {
            Ok(pids) => blocking(move || look(pids)).await,
            Err(error) => Err(error),
        };
        let (mut elsewhere, worked) = seen.unwrap_or_default();
        for (_, address) in missing {
            elsewhere.remove(&address.port());
        }
        let told = self.told();
        let variable = told.by(name);
        let text = if let Some(port) = told.elsewhere(&elsewhere) {
            format!(
                "{wanted}, but the program listens on {port}: let it listen on the port that the \
                 variable {variable} tells it; or if it always listens on {port}, say so: \
                 `targetPort: {port}` of port {name}, and the annotation \
                 towpath.dev/fixed-port: \"true\""
            )
        } else if let Some((other, port)) = told.other(name, &elsewhere) {
            let mend = if self.fixed_ports() {
                // It is told nothing.
                BOTH.to_owned()
            } else {
                told.both(name, other)
            };
            format!("{wanted}, but the program listens on port {other} ({port}): {mend}")
        } else {
            format!(
                "{wanted}: does the program listen on the port that the variable {variable} tells it?"
            )
        };
        Advice {
            text,
            elsewhere,
            worked,
        }
    }
}
