//! A change of the key that replicas make together, as the store tells of it: each opens by the next key and keeps it
//! where its next start finds it, and says so; and when the last has, all seal by it.
//!
//! The next key of a file is kept beside it, as when there is one process alone, and passes to its place when it seals.
//! A key in the environment is kept by whoever starts the platform: until then the store keeps the next key sealed by
//! the former one, and the former one sealed by it.

#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, TryLockError},
    future::pending,
    io,
    sync::Arc,
    time::Duration,
};

use kernel::{
    Caller, Error, ErrorKind, Result, Store,
    lease::LEASE_TTL,
    sealer::{KeyId, PlatformKey},
    store::{Attendance, KeyChange},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Source, Turning, can_pass_on, directory, keep, next, pass_on, synced, unusable};
use crate::{machine, rekey};

/// How often a replica says that it is there: thrice before it is taken for dead.
const BEAT: Duration = Duration::from_secs(3);
/// How often it looks while a change is under way.
const HASTE: Duration = Duration::from_millis(500);
/// How often it is tried to be alone with the files.
const MOMENT: Duration = Duration::from_millis(20);

/// How far this replica is with a change.
pub(super) struct Standing {
    /// The key that its file holds, or its environment.
    kept: KeyId,
    /// The announced key that it can open by, also after a kill.
    ready: Option<KeyId>,
    /// What keeps it from that.
    reason: Option<String>,
}

impl Standing {
    /// Of a replica that was started with the key `kept`.
    pub(super) fn of(kept: KeyId) -> Self {
        Self {
            kept,
            ready: None,
            reason: None,
        }
    }

    /// Keeps what went wrong, for those who wait for this replica.
    fn note(&mut self, done: Result<()>) {
        let reason = done.err().map(|error| match &error.remedy {
            Some(remedy) => format!("{}: {remedy}", error.message),
            None => error.message.clone(),
        });
        if let Some(reason) = &reason
            && self.reason.as_ref() != Some(reason)
        {
            tracing::warn!(
                reason,
                "this replica is not ready for the platform's new key"
            );
        }
        self.reason = reason;
    }
}

impl Turning {
    /// Takes part before anything is sealed or opened. Fails where the platform's key was changed, and cannot be had.
    pub(crate) async fn join(&self, store: &Store) -> Result<()> {
        self.step(store).await.map(drop)
    }

    /// Takes part in each change of the key, until `stop`. Ends before that where the key was changed while this replica
    /// was away for too long.
    pub(crate) async fn follow(self: Arc<Self>, store: Store, stop: CancellationToken) {
        loop {
            let step = tokio::select! {
                () = stop.cancelled() => break,
                step = self.step(&store) => step,
            };
            let pace = match step {
                Ok(Some(change)) if !change.done => Some(HASTE),
                Ok(_) => self.is_shared.then_some(BEAT),
                Err(error) if error.kind == ErrorKind::Forbidden => {
                    tracing::error!(
                        error = error.chain(),
                        "the platform's key is another by now"
                    );
                    return;
                }
                Err(error) => {
                    tracing::debug!(
                        error = error.chain(),
                        "this replica cannot say that it is there"
                    );
                    Some(BEAT)
                }
            };
            let again = async {
                match pace {
                    Some(pace) => sleep(pace).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.asked.notified() => {}
                () = again => {}
            }
        }
        // Where the store does not answer, the others find out by themselves.
        let _ = timeout(BEAT, store.leave(self.replica)).await;
    }

    /// Has it be looked at once whether a change was announced.
    pub(crate) fn nudge(&self) {
        self.asked.notify_one();
    }

    /// Takes part in the change that the store tells of, as far as it has come.
    pub(crate) async fn step(&self, store: &Store) -> Result<Option<KeyChange>> {
        let mut standing = self.alone.lock().await;
        let mut change = store.attend(self.attendance(&standing)).await?;
        // The key of the change before this one has its place before the next one is put beside it.
        let mut has_settled = self.has_settled(&mut standing, change.as_ref()).await;
        match change.as_ref().map(|open| open.key.clone()) {
            None => standing.ready = None,
            Some(key) if has_settled && standing.ready.as_ref() != Some(&key) => {
                let prepared = self.prepare(&key, &mut standing.kept).await;
                standing.ready = prepared.is_ok().then_some(key);
                standing.note(prepared);
                change = store.attend(self.attendance(&standing)).await?;
                has_settled = self.has_settled(&mut standing, change.as_ref()).await;
            }
            Some(_) => {}
        }
        if has_settled && self.lets_go(store, change.as_ref()).await? {
            let let_go = self.let_go_alone(&self.sealer.current()).await;
            standing.note(let_go);
        }
        if let Some(open) = &change
            && open.done
            && open.replicas.iter().all(|replica| replica.keeps)
        {
            let by = Caller::system("rekey", Uuid::now_v7());
            let forgotten = rekey::forget(store, &by, open).await;
            match forgotten {
                Ok(()) => change = None,
                // Another was first.
                Err(error) if error.kind == ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Ok(change)
    }

    fn attendance(&self, standing: &Standing) -> Attendance {
        Attendance {
            replica: self.replica,
            name: machine::holder(),
            place: format!("{}:{}", machine::host(), self.file.display()),
            ready: standing.ready.clone(),
            // Not the key beside the file: that it can take the file's place is known when it has.
            keeps: standing.kept.clone(),
            reason: standing.reason.clone(),
            ttl: if self.is_shared {
                LEASE_TTL
            } else {
                Duration::MAX
            },
        }
    }

    /// Has the next start find the key `id`, as far as that is this process' to do.
    async fn prepare(&self, id: &KeyId, kept: &mut KeyId) -> Result<()> {
        let key = self.known(id)?;
        if self.source == Source::Environment {
            return Ok(());
        }
        let _files = self.files().await?;
        if self.is_in_file(id, kept).await? {
            return Ok(());
        }
        let failed = |error: io::Error| unusable(&self.file, &error);
        // All would seal by a key that is lost with the next start.
        can_pass_on(&self.file, fs::hard_link).map_err(failed)?;
        // Left of the change before this one, which was done when this one was announced.
        self.let_go(kept).await?;
        key.keep(&next(&self.file), self.kms(), &self.sealer)
            .await?;
        synced(directory(&self.file)).map_err(failed)
    }

    /// Whether the file holds the key that seals, after a try to have it take its place there.
    async fn has_settled(&self, standing: &mut Standing, change: Option<&KeyChange>) -> bool {
        // Started with the announced key, it seals by the former one until all can open by the other.
        let waits = change.is_some_and(|open| !open.in_use && open.key == standing.kept);
        if self.source != Source::File || waits || standing.kept == self.sealer.current() {
            return true;
        }
        let settled = self.settle(&mut standing.kept).await;
        let has_settled = settled.is_ok();
        standing.note(settled);
        has_settled
    }

    /// Has the key that seals take its place in the file, where it has not yet.
    async fn settle(&self, kept: &mut KeyId) -> Result<()> {
        let _files = self.files().await?;
        // Only now: others may have had the files for long.
        let current = self.sealer.current();
        if !self.is_in_file(&current, kept).await? {
            let key = self.known(&current)?;
            key.keep(&next(&self.file), self.kms(), &self.sealer)
                .await?;
            if !self.is_under_way() {
                keep(&self.file, fs::hard_link).map_err(|error| unusable(&self.file, &error))?;
            }
            pass_on(&self.file)?;
        }
        *kept = current;
        Ok(())
    }

    /// Whether the file holds the key `id`. Fails where it holds neither that nor the one that this replica has `kept`:
    /// another has put it there, and it may be newer than what the store has told this one. For who is alone with the
    /// files.
    async fn is_in_file(&self, id: &KeyId, kept: &mut KeyId) -> Result<bool> {
        let present = PlatformKey::from_existing(&self.file, self.kms()).await?;
        let present = present.id();
        if present == *id || present == *kept {
            return Ok(present == *id);
        }
        let place = self.file.display();
        let error = Error::conflict(format!(
            "the platform's key in {place} was replaced by {present}, which this replica has not put there"
        ));
        if self.sealer.key(&present).is_none() {
            return Err(error.remedy("where it is the platform's key, start this replica anew"));
        }
        // When the store has been asked again it is known whether it gives way.
        *kept = present;
        Err(error.remedy("wait: it is looked at again in a moment"))
    }

    /// Whether the file with the key of before is there and not needed any more; where this process is alone, its
    /// reconciler knows.
    async fn lets_go(&self, store: &Store, change: Option<&KeyChange>) -> Result<bool> {
        if self.source != Source::File || self.is_alone() || !self.is_under_way() {
            return Ok(false);
        }
        match change {
            Some(change) => Ok(change.done),
            None => Ok(store.sealed_by().await?.former.is_empty()),
        }
    }

    fn known(&self, id: &KeyId) -> Result<PlatformKey> {
        let missing = || Error::internal("a key of the platform is not known", id.to_string());
        self.sealer.key(id).ok_or_else(missing)
    }

    async fn let_go_alone(&self, sealed_by: &KeyId) -> Result<()> {
        let _files = self.files().await?;
        self.let_go(sealed_by).await
    }

    /// The files of the key, for as long as the value lives: replicas on one machine may share them. Waits for less
    /// than it takes for this replica to be taken for dead.
    pub(super) async fn files(&self) -> Result<File> {
        let held = File::open(directory(&self.file)).map_err(|e| unusable(&self.file, &e))?;
        let locked = async {
            // Some file systems of a network know no locks: there each replica has its own files.
            while let Err(TryLockError::WouldBlock) = held.try_lock() {
                sleep(MOMENT).await;
            }
        };
        let late = |_| {
            let place = self.file.display();
            Error::unavailable(format!(
                "another replica holds the files of the platform's key in {place}"
            ))
            .remedy("it is tried again; end the process that holds them where it hangs")
        };
        timeout(BEAT, locked).await.map_err(late)?;
        Ok(held)
    }
}
