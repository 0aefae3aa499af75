//! Serving the API: bounded, so that connections that say nothing take nothing from the rest.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use gateway::tcp::Slots;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::patience::Patient;

/// How long a client may take to send a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// How long what is sent may wait for a client to read.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// Of so many descriptors one is a connection to the API, two one to the gateway, and two one to a forwarded port:
/// both pass on what they take. The rest is for the store, the workloads' logs, and the probes.
const SHARE: u64 = 7;

/// Connections at the most, however many descriptors there are.
const MOST: usize = 10_000;

/// Raises the soft limit of open files to the hard one, and says how many connections each may hold of the API,
/// the gateway, and all that is forwarded ([`forwarding`]).
pub(crate) fn connection_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            limit.current
        }
    };
    // No limit is none that counts.
    share_of(current.unwrap_or(u64::MAX))
}

fn share_of(files: u64) -> usize {
    usize::try_from(files / SHARE)
        .unwrap_or(MOST)
        .clamp(16, MOST)
}

/// What service ports may hold of so many connections, and what the Docker engine may that it passes on. Half each,
/// and nothing in common: what it passes on to a service port is held there as well, and would wait for itself.
pub(crate) fn forwarding(connections: usize) -> (Slots, Slots) {
    let half = connections / 2;
    (Slots::new(half), Slots::new(half))
}

/// Serves `router` until `stop`, then lets what is under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections));
    let mut tasks = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move {
                    connection(stream, peer, router, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the API cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Answers are small, and somebody waits for them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection went before it was served");
        return;
    }
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        // Failed logins are counted by address.
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_LIMIT)), service);
    tokio::pin!(serving);
    let done = tokio::select! {
        done = serving.as_mut() => done,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_leave_descriptors_for_the_rest() {
        for files in [256, 1024, 4096, 20_000, 1 << 20] {
            let connections = share_of(files) as u64;
            let (api, gateway, forwarded) = (connections, 2 * connections, 2 * connections);
            assert!(api + gateway + forwarded <= files * 3 / 4, "{files}");
        }
        assert_eq!(share_of(u64::MAX), MOST);
    }

    #[test]
    fn what_is_passed_on_to_service_ports_takes_no_connection_of_theirs() {
        let (ports, passed_on) = forwarding(16);
        assert_eq!((ports.share, passed_on.share), (2, 2));
        let all = passed_on.all.available_permits();
        let taken = passed_on.all.try_acquire_many(u32::try_from(all).unwrap());
        assert!(taken.is_ok());
        assert_eq!(all + ports.all.available_permits(), 16);
    }
}
