//! Work that one replica at a time does, for as long as it holds a lease.
//!
//! [`crate::Driver`] is this for reconcilers; here it is for what reads the log on and has no keys:
//! what passes events on.

use std::{future::Future, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Store,
    lease::{Fence, LEASE_TTL},
};

/// How long work that goes on when the platform stops may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A lease that is tried for, again and again.
pub struct Tenure {
    store: Store,
    lease: &'static str,
    holder: String,
    ttl: Duration,
}

/// One time of holding the lease.
#[derive(Debug, Clone)]
pub struct Term {
    /// Goes into every [`crate::Change`] of the work.
    pub fence: Fence,
    /// Ends when the lease is lost or the platform stops: the work ends with it.
    pub stop: CancellationToken,
}

impl Tenure {
    /// Tries for the lease `lease`. `holder` names this replica, for people.
    pub fn new(store: Store, lease: &'static str, holder: &str) -> Self {
        Self {
            store,
            lease,
            // Two processes with one name are two holders all the same.
            holder: format!("{holder}/{}", Uuid::now_v7()),
            ttl: LEASE_TTL,
        }
    }

    /// Another time to live of the lease than [`LEASE_TTL`].
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Does `work` whenever the lease is held, until `stop`. Work that ends by itself is begun anew.
    pub async fn run<W, F>(self, stop: CancellationToken, work: W)
    where
        W: Fn(Term) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        while !stop.is_cancelled() {
            let asked = Instant::now();
            match self.store.acquire(self.lease, &self.holder, self.ttl).await {
                Ok(Some(fence)) => {
                    tracing::info!(lease = self.lease, epoch = fence.epoch, "a lease is held");
                    self.hold(&fence, asked + self.ttl, &stop, &work).await;
                    if let Err(error) = self.store.release(&fence, &self.holder).await {
                        tracing::warn!(error = error.chain(), "the lease was not given up");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = error.chain(), "the lease could not be asked for");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(self.ttl / 10) => {}
            }
        }
    }

    async fn hold<W, F>(&self, fence: &Fence, expires: Instant, stop: &CancellationToken, work: &W)
    where
        W: Fn(Term) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let term = stop.child_token();
        let working = work(Term {
            fence: fence.clone(),
            stop: term.clone(),
        });
        // A task of its own: however busy it is, the lease is renewed in time. It ends with this one.
        let mut tasks = JoinSet::new();
        tasks.spawn(working);
        let deadline = tokio::select! {
            ended = tasks.join_next() => return said(ended),
            () = stop.cancelled() => Instant::now() + GRACE,
            expires = self.keep(fence, expires) => expires,
        };
        term.cancel();
        if let Ok(ended) = timeout_at(deadline, tasks.join_next()).await {
            return said(ended);
        }
        tracing::warn!(
            lease = self.lease,
            "work that did not end in time is aborted"
        );
        tasks.shutdown().await;
    }

    /// Renews the lease; ends when it is lost or can no longer be renewed, and gives the time by
    /// which all work must have ended.
    async fn keep(&self, fence: &Fence, mut expires: Instant) -> Instant {
        let margin = self.ttl / 5;
        let mut wait = self.ttl / 3;
        loop {
            sleep(wait).await;
            let asked = Instant::now();
            let renewal = self.store.acquire(self.lease, &self.holder, self.ttl);
            let last = expires.checked_sub(margin).unwrap_or(asked);
            match timeout(last.saturating_duration_since(asked), renewal).await {
                Ok(Ok(Some(renewed))) if renewed == *fence => {
                    expires = asked + self.ttl;
                    wait = self.ttl / 3;
                }
                Ok(Ok(_)) => {
                    tracing::warn!(lease = self.lease, "the lease was lost");
                    return asked;
                }
                Ok(Err(error)) if Instant::now() < last => {
                    tracing::warn!(error = error.chain(), "the lease could not be renewed");
                    wait = self.ttl / 10;
                }
                _ => {
                    tracing::warn!(lease = self.lease, "the lease runs out");
                    return expires;
                }
            }
        }
    }
}

fn said(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "work under a lease did not end well");
    }
}
