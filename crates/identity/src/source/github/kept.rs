//! What GitHub has listed before: shared with whoever asks the same a moment later, and else asked for again
//! only as far as it has changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kernel::{Error, Turns, outbound::Limits};
use url::Url;

use super::directory::{Member, Team};
use crate::clock::is_fresh;

/// Items on a page at the most: see [`super::PAGE`].
const FULL: usize = 100;
/// Answers that are kept at the most: some thousand teams.
const KEPT: usize = 20_000;
/// How long GitHub is left alone after it has not answered: each question may take as long as GitHub is waited
/// for, and all teams have one.
const AWAY: Duration = Duration::from_secs(5);

/// Whose answer it is, and from where: what one token is shown says nothing of what another is.
pub(super) type Key = (u64, Url);

/// What all who ask GitHub in an organization's name have in common, in memory alone.
#[derive(Default)]
pub(crate) struct Kept {
    pub(super) teams: Lists<Team>,
    pub(super) members: Lists<Member>,
    /// Which tokens have reached their limits.
    pub(super) limits: Limits,
    /// Which tokens were not answered, by account.
    missed: Mutex<HashMap<u64, Missed>>,
}

/// That GitHub did not answer.
struct Missed {
    at: Timestamp,
    why: Error,
}

impl Kept {
    /// Why GitHub is not asked with a token, where it has just not answered it.
    pub(super) fn missed(&self, account: u64, now: Timestamp) -> Option<Error> {
        let missed = lock(&self.missed);
        let missed = missed.get(&account)?;
        is_fresh(missed.at, AWAY, now).then(|| missed.why.clone())
    }

    /// Keeps in mind that GitHub has not answered a token; gives `error` back.
    pub(super) fn miss(&self, account: u64, now: Timestamp, error: Error) -> Error {
        let mut missed = lock(&self.missed);
        missed.retain(|_, missed| is_fresh(missed.at, AWAY, now));
        let why = error.clone();
        missed.insert(account, Missed { at: now, why });
        error
    }
}

/// Lists of one sort.
pub(super) struct Lists<T> {
    /// Single pages, with what asks whether they still hold.
    pages: Mutex<HashMap<Key, Page<T>>>,
    /// Whole lists, as long as they are shared.
    whole: Mutex<HashMap<Key, Listed<T>>>,
    /// Those who ask for one list at the same moment wait for one answer.
    pub(super) turns: Turns<Key>,
}

/// A page of a list.
#[derive(Clone)]
pub(super) struct Page<T> {
    /// Asks whether it still holds; empty where nothing does.
    pub(super) etag: String,
    pub(super) items: Vec<T>,
    pub(super) next: Option<Url>,
}

/// All of a list.
pub(super) struct Listed<T> {
    /// Before it was asked for: what has happened since, it may not know.
    pub(super) asked: Timestamp,
    /// None where there is no such list.
    pub(super) items: Option<Arc<Vec<T>>>,
}

impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self {
            asked: self.asked,
            items: self.items.clone(),
        }
    }
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            pages: Mutex::default(),
            whole: Mutex::default(),
            turns: Turns::default(),
        }
    }
}

impl<T: Clone> Lists<T> {
    /// The list at `key`, where it was asked for after `since`. A clock that was put back makes nothing last.
    pub(super) fn shared(&self, key: &Key, since: Timestamp, now: Timestamp) -> Option<Listed<T>> {
        let whole = lock(&self.whole);
        let listed = whole.get(key)?;
        (since < listed.asked && listed.asked <= now).then(|| listed.clone())
    }

    /// Has a list shared for `fresh`.
    pub(super) fn share(&self, key: Key, listed: Listed<T>, fresh: Duration, now: Timestamp) {
        let mut whole = lock(&self.whole);
        // So that no more is kept than is asked for within that time.
        whole.retain(|_, listed| is_fresh(listed.asked, fresh, now));
        whole.insert(key, listed);
    }

    /// The page at `key`, as it was.
    pub(super) fn page(&self, key: &Key) -> Option<Page<T>> {
        lock(&self.pages).get(key).cloned()
    }

    /// Keeps a page, where it can be asked whether it still holds.
    pub(super) fn keep(&self, key: Key, page: &Page<T>) {
        let mut pages = lock(&self.pages);
        // One more on a page after it does not change a full one: that is asked for whole again.
        let is_full = page.next.is_none() && page.items.len() >= FULL;
        if page.etag.is_empty() || is_full {
            pages.remove(&key);
            return;
        }
        if pages.len() >= KEPT {
            pages.clear();
        }
        pages.insert(key, page.clone());
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
