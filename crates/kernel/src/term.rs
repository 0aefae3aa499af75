//! Work that one replica at a time does, for as long as it holds a lease.
//!
//! [`crate::Driver`] does so with its reconcilers; what has no keys and reads the log on, to pass events to
//! others, does so by itself.

use std::{future::Future, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Store,
    lease::{Fence, LEASE_TTL},
};

/// How long work that goes on when the platform stops may take to end by itself, and never longer than the
/// lease is still held.
const GRACE: Duration = Duration::from_secs(5);

/// A lease that is tried for, again and again.
pub struct Tenure {
    store: Store,
    lease: &'static str,
    holder: String,
    ttl: Duration,
    held: watch::Sender<bool>,
}

/// One time of holding the lease.
#[derive(Debug, Clone)]
pub struct Term {
    /// Goes into every [`crate::Change`] of the work.
    pub fence: Fence,
    /// Ends when the lease is lost or the platform stops: the work ends with it.
    pub stop: CancellationToken,
}

/// What it means that a part of the work ends while its term goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// Nothing: it is begun anew.
    MayEnd,
    /// A fault: it ends with the term only.
    Last,
}

/// Why a term has ended.
enum Ended {
    /// The platform stops, or the lease is another's.
    InOrder,
    /// A part of the work has ended before its time.
    ByItself,
}

impl Tenure {
    /// Tries for the lease `lease`. `holder` names this replica, for people: by its host, say.
    pub fn new(store: Store, lease: &'static str, holder: &str) -> Self {
        Self {
            store,
            lease,
            // Two processes with one name are two holders all the same.
            holder: format!("{holder}/{}", Uuid::now_v7()),
            ttl: LEASE_TTL,
            held: watch::channel(false).0,
        }
    }

    /// Another time to live of the lease than [`LEASE_TTL`].
    #[must_use]
    pub fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whether this replica holds the lease, to be followed: from before its work begins until all of it
    /// has ended.
    pub fn held(&self) -> watch::Receiver<bool> {
        self.held.subscribe()
    }

    /// How long to wait before what failed is tried again.
    pub(crate) fn pause(&self) -> Duration {
        self.ttl / 10
    }

    /// Does `work` whenever the lease is held, until `stop`. Work that ends by itself is begun anew.
    pub async fn run<W, F>(self, stop: CancellationToken, work: W)
    where
        W: Fn(Term) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let begin = |term| {
            let mut tasks = JoinSet::new();
            tasks.spawn(work(term));
            std::future::ready(tasks)
        };
        self.work(stop, Parts::MayEnd, begin).await;
    }

    /// The same for work of several parts, which `begin` has spawned, and which end with the term only. Where one
    /// of them ends by itself all the same, that is logged as an error, and all are begun anew, by this replica or
    /// another: half the work would keep the lease from whoever does the whole.
    pub(crate) async fn run_parts<W, F>(self, stop: CancellationToken, begin: W)
    where
        W: Fn(Term) -> F,
        F: Future<Output = JoinSet<()>>,
    {
        self.work(stop, Parts::Last, begin).await;
    }

    async fn work<W, F>(self, stop: CancellationToken, parts: Parts, begin: W)
    where
        W: Fn(Term) -> F,
        F: Future<Output = JoinSet<()>>,
    {
        let lease = self.lease;
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let wait = match self.store.acquire(lease, &self.holder, self.ttl).await {
                Ok(Some(fence)) => {
                    tracing::info!(lease, epoch = fence.epoch, "a lease is held");
                    self.held.send_replace(true);
                    let expires = asked + self.ttl;
                    let ended = self.hold(&fence, expires, &stop, parts, &begin).await;
                    self.held.send_replace(false);
                    tracing::info!(lease, epoch = fence.epoch, "a lease is no longer held");
                    // Expired, or given up: in both cases nothing of this term works any more.
                    if let Err(error) = self.store.release(&fence, &self.holder).await {
                        let error = error.chain();
                        tracing::warn!(lease, error, "the lease was not given up");
                    }
                    match ended {
                        Ended::InOrder => continue,
                        Ended::ByItself => self.pause(),
                    }
                }
                Ok(None) => self.until_free().await,
                Err(error) => {
                    let error = error.chain();
                    tracing::warn!(lease, error, "the lease could not be asked for");
                    self.pause()
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// When to try again: as the lease expires, or sooner, to see that it was given up.
    async fn until_free(&self) -> Duration {
        match self.store.held_for(self.lease).await {
            Ok(left) => left.min(self.pause()).max(Duration::from_millis(5)),
            Err(_) => self.pause(),
        }
    }

    /// Works until stopped, until the lease is lost or can no longer be renewed in time, or until a part of
    /// the work ends.
    async fn hold<W, F>(
        &self,
        fence: &Fence,
        mut expires: Instant,
        stop: &CancellationToken,
        parts: Parts,
        begin: &W,
    ) -> Ended
    where
        W: Fn(Term) -> F,
        F: Future<Output = JoinSet<()>>,
    {
        let term = stop.child_token();
        // Tasks of their own: however busy they are, the lease is renewed in time.
        let mut tasks = JoinSet::new();
        let work = async {
            tasks = begin(Term {
                fence: fence.clone(),
                stop: term.clone(),
            })
            .await;
            let lease = self.lease;
            match tasks.join_next().await {
                Some(Err(error)) => tracing::error!(lease, %error, "a part of the work failed"),
                // Where the platform stops, whatever is quick ends before that is looked at here.
                _ if parts == Parts::Last && !stop.is_cancelled() => {
                    tracing::error!(lease, "a part of the work has ended by itself");
                }
                _ => tracing::debug!(lease, "a part of the work has ended"),
            }
        };
        let (ended, grace) = tokio::select! {
            () = stop.cancelled() => (Ended::InOrder, GRACE),
            // The lease is renewed before less than this is left of it.
            () = work => (Ended::ByItself, self.margin()),
            () = self.keep(fence, &mut expires) => (Ended::InOrder, self.ttl),
        };
        // Nothing renews the lease from here on: after its end another works, and nothing of this term may.
        let deadline = expires.min(Instant::now() + grace);
        term.cancel();
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, all).await.is_err() {
            let lease = self.lease;
            tracing::warn!(lease, "work that did not end in time is aborted");
            tasks.shutdown().await;
        }
        ended
    }

    /// The time by which work ends before its lease does, at the least.
    fn margin(&self) -> Duration {
        self.ttl / 5
    }

    /// Renews the lease; ends when it is lost or can no longer be renewed. `expires` is always the time by
    /// which all work must have ended.
    async fn keep(&self, fence: &Fence, expires: &mut Instant) {
        let lease = self.lease;
        let margin = self.margin();
        let mut wait = self.ttl / 3;
        loop {
            sleep(wait).await;
            let asked = Instant::now();
            let renewal = self.store.renew(fence, &self.holder, self.ttl);
            let last = expires.checked_sub(margin).unwrap_or(asked);
            match timeout(last.saturating_duration_since(asked), renewal).await {
                Ok(Ok(true)) => {
                    *expires = asked + self.ttl;
                    wait = self.ttl / 3;
                    continue;
                }
                Ok(Ok(false)) => {
                    tracing::warn!(lease, "the lease has passed to another replica");
                    *expires = Instant::now();
                    return;
                }
                Ok(Err(error)) => {
                    let error = error.chain();
                    tracing::warn!(lease, error, "the lease was not renewed");
                    wait = self.pause();
                }
                Err(_) => wait = Duration::ZERO,
            }
            if Instant::now() + wait >= last {
                tracing::warn!(lease, "the lease could not be renewed in time: work stops");
                return;
            }
        }
    }
}
