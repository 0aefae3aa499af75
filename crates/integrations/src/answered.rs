//! Answers that are asked for again only as far as they have changed (RFC 9110, 13.1.2). GitHub counts no
//! request that it answers by 304, so that teams that are in step cost nothing of its limit.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header};
use kernel::outbound::Answer;
use tokio::time::Instant;
use url::Url;

/// Bytes of answers that are kept at the most: some ten thousand teams of the usual size.
const MOST: usize = 64 * 1024 * 1024;
/// What nobody has asked for in this time makes room: several ticks of any length in use.
const IDLE: Duration = Duration::from_hours(1);

/// Whose answer it is, and from where: what one credential is shown says nothing of what another is.
type Key = (u64, String);

/// Answers by who asked and where. Shared by all that one tool is asked; in memory alone, so that another
/// replica asks for all of it once.
#[derive(Clone, Default)]
pub(crate) struct Answered(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    by_key: HashMap<Key, Entry>,
    bytes: usize,
}

struct Entry {
    tag: HeaderValue,
    link: Option<HeaderValue>,
    body: Vec<u8>,
    used: Instant,
}

impl Answered {
    /// What to send along so that what is kept is not sent again; none where nothing is kept.
    pub(crate) fn tag(&self, account: u64, url: &Url) -> Option<HeaderValue> {
        let answers = self.answers();
        let entry = answers.by_key.get(&(account, url.to_string()))?;
        Some(entry.tag.clone())
    }

    /// Takes in an answer, and gives what it stands for: for a 304 the one that is kept. One that cannot be
    /// asked for again is given as it is.
    pub(crate) fn hear(&self, account: u64, url: &Url, answer: Answer) -> Answer {
        let key = (account, url.to_string());
        let mut answers = self.answers();
        match answer.status {
            304 => match answers.by_key.get_mut(&key) {
                Some(entry) => {
                    entry.used = Instant::now();
                    entry.answer(&answer.headers)
                }
                // Another made room for itself meanwhile: it is asked for anew the next time.
                None => answer,
            },
            200 => {
                answers.forget(&key);
                if let Some(tag) = answer.headers.get(header::ETAG) {
                    let entry = Entry {
                        tag: tag.clone(),
                        link: answer.headers.get(header::LINK).cloned(),
                        body: answer.body.clone(),
                        used: Instant::now(),
                    };
                    answers.keep(key, entry);
                }
                answer
            }
            _ => answer,
        }
    }

    /// Has an answer asked for whole the next time.
    pub(crate) fn forget(&self, account: u64, url: &Url) {
        self.answers().forget(&(account, url.to_string()));
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn forget(&mut self, key: &Key) {
        if let Some(gone) = self.by_key.remove(key) {
            self.bytes -= gone.body.len();
        }
    }

    /// Keeps an answer where there is room: of too many those that are kept stay. Each is asked for once in
    /// a round, and if the newest took the place of the oldest, none would be there when its turn came.
    fn keep(&mut self, key: Key, entry: Entry) {
        let bytes = entry.body.len();
        if self.bytes + bytes > MOST {
            self.by_key.retain(|_, entry| entry.used.elapsed() < IDLE);
            self.bytes = self.by_key.values().map(|entry| entry.body.len()).sum();
        }
        if self.bytes + bytes <= MOST {
            self.bytes += bytes;
            self.by_key.insert(key, entry);
        }
    }
}

impl Entry {
    /// As it was answered, with where the next page is now where that was said.
    fn answer(&self, newest: &HeaderMap) -> Answer {
        let mut headers = HeaderMap::new();
        let link = newest.get(header::LINK).or(self.link.as_ref());
        if let Some(link) = link {
            headers.insert(header::LINK, link.clone());
        }
        Answer {
            status: 200,
            headers,
            body: self.body.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, tag: &str, body: usize) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, tag.parse().unwrap());
        Answer {
            status,
            headers,
            body: vec![b'x'; body],
        }
    }

    fn at(path: &str) -> Url {
        Url::parse("https://api.github.com")
            .unwrap()
            .join(path)
            .unwrap()
    }

    #[test]
    fn what_has_not_changed_is_what_was_answered_to_the_same_credential() {
        let kept = Answered::default();
        kept.hear(1, &at("a"), answer(200, "\"one\"", 3));
        assert_eq!(kept.tag(1, &at("a")).unwrap(), "\"one\"");
        assert_eq!((kept.tag(2, &at("a")), kept.tag(1, &at("b"))), (None, None));
        let same = kept.hear(1, &at("a"), answer(304, "\"one\"", 0));
        assert_eq!((same.status, same.body.len()), (200, 3));
        kept.hear(1, &at("a"), answer(200, "\"two\"", 5));
        assert_eq!(kept.tag(1, &at("a")).unwrap(), "\"two\"");
        kept.forget(1, &at("a"));
        assert_eq!(kept.tag(1, &at("a")), None);
        assert_eq!(kept.answers().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_kept_than_there_is_room_and_what_nobody_asks_for_makes_room() {
        let kept = Answered::default();
        kept.hear(1, &at("a"), answer(200, "\"a\"", MOST - 1));
        kept.hear(1, &at("b"), answer(200, "\"b\"", 2));
        assert!(kept.tag(1, &at("a")).is_some() && kept.tag(1, &at("b")).is_none());
        tokio::time::advance(IDLE).await;
        kept.hear(1, &at("b"), answer(200, "\"b\"", 2));
        assert!(kept.tag(1, &at("a")).is_none() && kept.tag(1, &at("b")).is_some());
        assert_eq!(kept.answers().bytes, 2);
    }
}
