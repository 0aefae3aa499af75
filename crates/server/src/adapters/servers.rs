//! The servers that Towpath started: looked after by the replica that reconciles, from its first
//! moment on, since workloads need them although nobody asks for anything.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use kernel::Result;
use provisioners::{RunningServer, Servers};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two tries with servers that did not start.
const RETRY: Duration = Duration::from_secs(30);

/// Where they are kept in the platform's data directory.
pub(super) fn directory(data: &Path) -> PathBuf {
    data.join("servers")
}

/// The servers for resources that Towpath started for the platform in `data` and that run, whether it does or
/// not; and of which it cannot be told, with the reason.
pub async fn running_servers(data: &Path) -> Vec<Result<RunningServer>> {
    provisioners::running_servers(&directory(data)).await
}

/// Resumes what Towpath ran before whenever this replica begins to reconcile, and leaves it to the
/// next one when it stops to, until `stop`.
pub(super) async fn keep(
    servers: Servers,
    mut leadership: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let terms = async {
        while leadership.wait_for(|leads| *leads).await.is_ok() {
            tokio::select! {
                () = resume(&servers) => {}
                _ = leadership.wait_for(|leads| !*leads) => {}
            }
            // An error is the driver's end, which ends the term as well.
            let _ = leadership.wait_for(|leads| !*leads).await;
            servers.stand_down().await;
        }
    };
    tokio::select! {
        () = terms => {}
        () = stop.cancelled() => {}
    }
}

/// Tries until all of them run.
async fn resume(servers: &Servers) {
    loop {
        let failed = servers.resume().await;
        if failed.is_empty() {
            return;
        }
        for error in failed {
            tracing::warn!(
                %error,
                remedy = error.remedy,
                "a server that workloads may need does not run"
            );
        }
        tokio::time::sleep(RETRY).await;
    }
}
