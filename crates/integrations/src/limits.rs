//! When tools want to be left alone: said to one request, heeded by all that carry the same credential.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kernel::outbound::Answer;
use tokio::time::Instant;
use url::Url;

/// The longest that a tool is left alone on its word: the window in which GitHub counts.
const LONGEST: Duration = Duration::from_hours(1);
/// How long where it names no time.
const UNSAID: Duration = Duration::from_mins(1);

/// Which credentials have reached their limits at which servers. Shared by all tools.
#[derive(Clone, Default)]
pub(crate) struct Limits(Arc<Inner>);

#[derive(Default)]
struct Inner {
    until: Mutex<HashMap<u64, Instant>>,
    /// The key: the credential itself is not kept.
    hasher: RandomState,
}

impl Limits {
    /// What counts together: requests to one server with the same headers.
    pub(crate) fn account(&self, url: &Url, headers: &[(String, String)]) -> u64 {
        let server = (url.scheme(), url.host_str(), url.port_or_known_default());
        self.0.hasher.hash_one((server, headers))
    }

    /// How long an account is yet to be left alone.
    pub(crate) fn wait(&self, account: u64) -> Option<Duration> {
        let until = self.until();
        let left = until
            .get(&account)?
            .saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Hears what an answer says of the account's limit.
    pub(crate) fn hear(&self, account: u64, answer: &Answer) {
        let Some(wait) = limited(answer) else {
            return;
        };
        let now = Instant::now();
        let mut until = self.until();
        until.retain(|_, until| *until > now);
        let end = until.entry(account).or_insert(now);
        *end = (*end).max(now + wait.min(LONGEST));
    }

    fn until(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Instant>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a tool wants to be left alone, where it says so: by `Retry-After`; by GitHub's count of what
/// is left, which an answer may bring down to nothing that was given yet; or by its refusal alone.
fn limited(answer: &Answer) -> Option<Duration> {
    let number = |name: &str| -> Option<i64> {
        answer.headers.get(name)?.to_str().ok()?.trim().parse().ok()
    };
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let refused = matches!(answer.status, 403 | 429 | 503);
    if refused && let Some(wait) = number("retry-after") {
        return Some(seconds(wait));
    }
    if number("x-ratelimit-remaining") == Some(0)
        && let Some(reset) = number("x-ratelimit-reset")
    {
        return Some(seconds(reset - Timestamp::now().as_second()));
    }
    let secondary =
        || String::from_utf8_lossy(&answer.body).contains("exceeded a secondary rate limit");
    (answer.status == 429 || (answer.status == 403 && secondary())).then_some(UNSAID)
}
