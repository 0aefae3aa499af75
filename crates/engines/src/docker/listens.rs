//! Where the programs of a release listen, as far as that can be seen from here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    time::Duration,
};

use bollard::query_parameters::StatsOptionsBuilder;
use delivery::engine::Port;
use futures::StreamExt as _;

use super::runtime::Containers;
use crate::{blocking::blocking, ports, supervisor::Advice, told::Told};

/// The sockets in the network of a release.
struct Listening {
    /// Ports on which anything listens.
    all: BTreeSet<u16>,
    /// Those of localhost alone.
    local: BTreeSet<u16>,
}

impl Listening {
    /// In the network of the process `pid`, if that is one of the container `id`: the daemon may number processes of
    /// another machine.
    fn of(pid: u32, id: &str) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        if !groups.contains(id) {
            return None;
        }
        let listening = ports::listening_beside(pid)?;
        let (local, open): (Vec<_>, Vec<_>) = listening.into_iter().partition(|(_, local)| *local);
        let ports = |all: Vec<(u16, bool)>| all.into_iter().map(|(port, _)| port);
        let open: BTreeSet<u16> = ports(open).collect();
        let local: BTreeSet<u16> = ports(local).filter(|port| !open.contains(port)).collect();
        Some(Self {
            all: open.union(&local).copied().collect(),
            local,
        })
    }
}

/// What the programs of a release with these ports are told.
pub(super) fn told(ports: &BTreeMap<String, Port>) -> Told<'_> {
    let tcp = ports.iter().filter(|(_, port)| !port.udp);
    Told::new(
        ports.iter().map(|(name, port)| (name, port.target)),
        tcp.map(|(name, _)| name),
    )
}

impl Containers {
    /// Why nothing listens at `missing`.
    pub(super) async fn listens(&self, missing: &[(String, SocketAddr)]) -> Advice {
        let (name, address) = &missing[0];
        let wanted = format!("nothing listens on port {name} ({address})");
        let port = address.port();
        let Some(seen) = self.listening().await else {
            let text = format!(
                "{wanted}: either the program listens on another port than the targetPort of {name} in \
                 `service.ports`, {port}, or on localhost (127.0.0.1) only: correct the port there, or let the \
                 program listen on all addresses (0.0.0.0)"
            );
            return Advice {
                text,
                ..Advice::default()
            };
        };
        let told = told(&self.ports);
        let text = if seen.local.contains(&port) {
            format!(
                "{wanted}, but the program listens on {port} of localhost only: let it listen on all \
                 addresses (0.0.0.0)"
            )
        } else if let Some(other) = told.elsewhere(&seen.all) {
            let variable = told.by(name);
            format!(
                "{wanted}, but the program listens on {other}: let it listen on the port that the \
                 variable {variable} tells it; or if it always listens on {other}, say so: \
                 `targetPort: {other}` of port {name} in `service.ports`"
            )
        } else if let Some((other, port)) = told.other(name, &seen.all) {
            let mend = told.both(name, other);
            format!("{wanted}, but the program listens on port {other} ({port}): {mend}")
        } else {
            format!(
                "{wanted}, and the program on no other: it must listen on the targetPort of {name} in \
                 `service.ports`, {port}, of all addresses (0.0.0.0), not of localhost (127.0.0.1) only"
            )
        };
        Advice {
            text,
            elsewhere: seen.all,
            worked: self.worked().await,
        }
    }

    /// The processor's time that all containers have taken: they share the network, so that who opens a port need not
    /// be the one that is at work. The daemon counts by control groups: whatever a container has started is in it,
    /// ended or not. None where it does not say of each.
    async fn worked(&self) -> Option<Duration> {
        let taken = |name: String| async move {
            let options = StatsOptionsBuilder::default()
                .stream(false)
                .one_shot(true)
                .build();
            let mut said = Box::pin(self.daemon.api.stats(&name, Some(options)));
            let said = said.next().await?.ok()?;
            // What has completed runs no more, and has nothing.
            let usage = said.cpu_stats.and_then(|stats| stats.cpu_usage);
            Some(usage.and_then(|usage| usage.total_usage).unwrap_or(0))
        };
        let all = self.names.iter().map(|name| taken(self.name(name)));
        let all: Vec<Option<u64>> = futures::future::join_all(all).await;
        let nanos = all.into_iter().sum::<Option<u64>>()?;
        // A daemon without control groups, as one without root may be, says nought of all; who runs has taken some.
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// None where that cannot be seen from here: the daemon runs elsewhere, or as somebody else.
    async fn listening(&self) -> Option<Listening> {
        let main = self.release.as_ref().and_then(Self::main)?;
        let found = self.inspect(main).await.ok()??;
        let pid = u32::try_from(found.state?.pid?).ok()?;
        let id = found.id?;
        let look = move || Ok(Listening::of(pid, &id));
        blocking(look).await.ok()?
    }
}
