//! When servers want to be left alone: said to one request, heeded by all that carry the same credential.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

use super::Answer;

/// The longest that a server is left alone on its word: the window in which GitHub counts.
const LONGEST: Duration = Duration::from_hours(1);
/// How long where it names no time.
const UNSAID: Duration = Duration::from_mins(1);

/// Which credentials have reached their limits at which servers; cheap to clone, and shared by all who are to
/// heed the same. In memory alone.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    until: Mutex<HashMap<u64, Instant>>,
    /// The key: the credential itself is not kept.
    hasher: RandomState,
}

impl Limits {
    /// What counts together: requests to the server of `url` with the same `credential`, whatever carries it.
    pub fn account<C: Hash + ?Sized>(&self, url: &Url, credential: &C) -> u64 {
        let server = (url.scheme(), url.host_str(), url.port_or_known_default());
        self.0.hasher.hash_one((server, credential))
    }

    /// How long an account is yet to be left alone; none where it may be asked.
    pub fn wait(&self, account: u64) -> Option<Duration> {
        let until = self.until();
        let left = until
            .get(&account)?
            .saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Hears what an answer says of the account's limit.
    pub fn hear(&self, account: u64, answer: &Answer) {
        let Some(wait) = limited(answer) else {
            return;
        };
        let now = Instant::now();
        let mut until = self.until();
        until.retain(|_, until| *until > now);
        let end = until.entry(account).or_insert(now);
        *end = (*end).max(now + wait.min(LONGEST));
    }

    fn until(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a server wants to be left alone, where it says so: by `Retry-After`; by GitHub's count of what
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

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        Answer {
            status,
            headers: all,
            body: body.as_bytes().to_vec(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_left_alone_for_as_long_as_its_server_says() {
        let limits = Limits::default();
        let at = |url: &str| Url::parse(url).unwrap();
        let account = limits.account(&at("https://a.example/x"), "one");
        assert_eq!(account, limits.account(&at("https://a.example/y"), "one"));
        limits.hear(account, &answer(429, &[("retry-after", "30")], ""));
        for other in [
            limits.account(&at("https://a.example"), "two"),
            limits.account(&at("https://b.example"), "one"),
        ] {
            assert_eq!(limits.wait(other), None);
        }
        // What is said less of later does not shorten it.
        limits.hear(account, &answer(403, &[("retry-after", "1")], ""));
        assert_eq!(limits.wait(account), Some(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(limits.wait(account), None);
    }

    #[test]
    fn what_is_no_limit_holds_nobody_up() {
        for open in [
            answer(200, &[("x-ratelimit-remaining", "1")], ""),
            answer(403, &[], "it may not"),
            answer(404, &[("retry-after", "30")], ""),
        ] {
            assert_eq!(limited(&open), None, "{}", open.status);
        }
        let secondary = "You have exceeded a secondary rate limit.";
        assert_eq!(limited(&answer(403, &[], secondary)), Some(UNSAID));
        assert_eq!(limited(&answer(429, &[], "")), Some(UNSAID));
    }
}
