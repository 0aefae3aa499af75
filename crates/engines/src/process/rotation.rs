//! Logs are set aside as they grow, for as long as the engine lives.

use std::{future::Future, sync::PoisonError, time::Duration};

use delivery::engine::ReleaseRef;
use tokio::task::JoinSet;

use super::Releases;
use crate::{blocking::blocking, logs::Logs};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Sets the logs of `releases` aside as they grow. Dropped, it ends.
pub(super) async fn keep(logs: Logs, releases: Releases) {
    again(|| rotate(logs.clone(), releases.clone())).await;
}

/// Does the work that `begin` gives, which has no end, and begins it again where it ends all the same: without
/// it logs would fill the disk.
async fn again<F: Future<Output = ()> + Send + 'static>(begin: impl Fn() -> F) {
    loop {
        let mut work = JoinSet::new();
        work.spawn(begin());
        if let Some(Err(error)) = work.join_next().await {
            tracing::error!(%error, "setting logs aside has failed, and begins again");
        }
        // What fails at once fails again at once.
        tokio::time::sleep(LOOK).await;
    }
}

async fn rotate(logs: Logs, releases: Releases) {
    loop {
        tokio::time::sleep(LOOK).await;
        let ids: Vec<ReleaseRef> = (releases.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect();
        for id in ids {
            let (logs, of) = (logs.clone(), id.clone());
            if let Err(error) = blocking(move || logs.rotate(&of)).await {
                tracing::warn!(release = %id, %error, "cannot set a log aside");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_panics_is_begun_again_and_ends_with_its_keeper() {
        let (begun, mut told) = mpsc::unbounded_channel();
        let keeper = tokio::spawn(again(move || {
            let begun = begun.clone();
            async move {
                begun.send(()).expect("the test listens");
                panic!("a canary");
            }
        }));
        for _ in 0..3 {
            told.recv().await.expect("it is begun again");
        }
        keeper.abort();
        while told.recv().await.is_some() {}
    }
}
