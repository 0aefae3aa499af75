//! The keys of other issuers: kept for a while, asked for by one at a time, and not of whoever has just not answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use kernel::{Error, Result, Turns};
use serde::{Deserialize, de::DeserializeOwned};

use super::Identity;
use crate::{
    clock::{after, is_fresh},
    outbound::Outbound,
    refusal::{Refusal, RefusalCode},
};

/// How long an issuer's keys are kept.
const KEPT: Duration = Duration::from_mins(10);
/// How long after that an unknown key has them asked for again, and an issuer that has not answered is left
/// alone: whoever makes up keys does not make us ask at each try, nor wait for it.
const PAUSE: Duration = Duration::from_secs(30);
/// How long keys are good of an issuer that does not answer any more.
const STALE: Duration = Duration::from_hours(1);
/// Issuers of which something is kept at the most.
const ISSUERS: usize = 256;

/// An issuer's keys, and when they were asked for.
type Kept = (Timestamp, Arc<JwkSet>);

/// What is known of other issuers, in memory alone.
#[derive(Default)]
pub(super) struct Issuers {
    known: Mutex<HashMap<String, Known>>,
    /// Those who ask for the keys of one issuer at the same moment wait for one answer.
    turns: Turns<String>,
}

/// What is known of one issuer.
#[derive(Default)]
struct Known {
    /// What it gave last.
    keys: Option<Kept>,
    /// When it was asked since and has not given any, and why.
    missed: Option<(Timestamp, Error)>,
}

impl Known {
    /// When it was asked last.
    fn asked(&self) -> Option<Timestamp> {
        let given = self.keys.as_ref().map(|(at, _)| *at);
        given.max(self.missed.as_ref().map(|(at, _)| *at))
    }
}

impl Issuers {
    /// The keys of an issuer for a token that names `kid`, or why there are none; none where it is to be asked.
    fn answer(&self, issuer: &str, kid: Option<&str>, now: Timestamp) -> Option<Result<Kept>> {
        let known = self.lock();
        let known = known.get(issuer)?;
        if let Some(kept) = &known.keys {
            let (at, keys) = kept;
            let names = kid.is_some_and(|kid| keys.find(kid).is_some());
            if is_fresh(*at, if names { KEPT } else { PAUSE }, now) {
                return Some(Ok(kept.clone()));
            }
        }
        let (at, why) = known.missed.as_ref()?;
        if !is_fresh(*at, PAUSE, now) {
            return None;
        }
        // Of a key that is not among them nobody can tell whether it is new, or made up.
        let is_among = |keys: &JwkSet| kid.is_none_or(|kid| keys.find(kid).is_some());
        Some(match &known.keys {
            Some(kept) if is_fresh(kept.0, STALE, now) && is_among(&kept.1) => Ok(kept.clone()),
            _ => Err(why.clone()),
        })
    }

    /// Keeps what an issuer that was asked at `at` has answered. Where there is no more room, that goes which was
    /// asked for the longest ago.
    fn keep(&self, issuer: &str, at: Timestamp, found: Result<JwkSet>) {
        let mut all = self.lock();
        if !all.contains_key(issuer) && all.len() >= ISSUERS {
            let oldest = all.iter().min_by_key(|(_, known)| known.asked());
            if let Some(oldest) = oldest.map(|(issuer, _)| issuer.clone()) {
                all.remove(&oldest);
            }
        }
        let known = all.entry(issuer.to_owned()).or_default();
        match found {
            Ok(keys) => {
                known.keys = Some((at, Arc::new(keys)));
                known.missed = None;
            }
            Err(error) => known.missed = Some((at, error)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// The keys of an issuer, among them that of this name where it has one. Where its keys were asked for before
    /// the token came, and are not yet again, nobody can tell whether a key that is not among them is new, or made
    /// up: whoever makes some up must not have those refused that an issuer has just begun to sign with.
    pub(super) async fn foreign_keys(
        &self,
        issuer: &str,
        kid: Option<&str>,
    ) -> Result<Arc<JwkSet>, Refusal> {
        let came = self.clock.now();
        let (asked, keys) = self.kept_or_asked_for(issuer, kid).await?;
        if asked >= came || kid.is_none_or(|kid| keys.find(kid).is_some()) {
            return Ok(keys);
        }
        let wait = after(asked, PAUSE).duration_since(self.clock.now());
        Err(Refusal {
            retry_after: Some(Duration::try_from(wait).unwrap_or_default()),
            ..Refusal::new(
                RefusalCode::TemporarilyUnavailable,
                format!(
                    "the token names a key that is not among those that {issuer} gave last, and may be new: try \
                     again when it has been asked anew"
                ),
            )
        })
    }

    async fn kept_or_asked_for(&self, issuer: &str, kid: Option<&str>) -> Result<Kept> {
        if let Some(answer) = self.issuers.answer(issuer, kid, self.clock.now()) {
            return answer;
        }
        let issuer = issuer.to_owned();
        let turn = self.issuers.turns.of(&issuer).await;
        let now = self.clock.now();
        // Whoever had the turn before has asked for all who waited.
        if let Some(answer) = self.issuers.answer(&issuer, kid, now) {
            return answer;
        }
        let (issuers, outbound) = (self.issuers.clone(), self.outbound.clone());
        let asked = issuer.clone();
        // In a task of its own: what came of it is kept also where whoever has asked does not wait for it.
        let asking = tokio::spawn(async move {
            let found = keys_of(&outbound, &asked).await;
            if let Err(error) = &found {
                let error = error.chain();
                tracing::warn!(issuer = asked, error, "an issuer gives no keys");
            }
            issuers.keep(&asked, now, found);
            drop(turn);
        });
        asking
            .await
            .map_err(|error| Error::internal("an issuer was not asked to the end", error))?;
        let answer = self.issuers.answer(&issuer, kid, now);
        answer.unwrap_or_else(|| Err(Error::unavailable(format!("{issuer} gives no keys"))))
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

async fn keys_of(outbound: &Outbound, issuer: &str) -> Result<JwkSet> {
    let base = issuer.trim_end_matches('/');
    let url = format!("{base}/.well-known/openid-configuration");
    let found: Discovery = fetch(outbound, issuer, &url).await?;
    if found.issuer != issuer {
        return Err(Error::unavailable(format!(
            "{issuer} says that it is another issuer"
        )));
    }
    fetch(outbound, issuer, &found.jwks_uri).await
}

async fn fetch<T: DeserializeOwned>(outbound: &Outbound, who: &str, url: &str) -> Result<T> {
    let url = outbound.check(url)?;
    let answer = outbound.send(who, outbound.get(&url)?).await?;
    if answer.status != 200 {
        return Err(Error::unavailable(format!(
            "{who} answered {}",
            answer.status
        )));
    }
    answer.json(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn where_there_is_no_more_room_the_oldest_goes() {
        let issuers = Issuers::default();
        let name = |number: usize| format!("https://{number}.example");
        let none = || Ok(JwkSet { keys: vec![] });
        for number in 0..ISSUERS {
            issuers.keep(&name(number), at(1000), none());
        }
        // The first is asked again, so that the second is the oldest.
        for number in (0..ISSUERS).filter(|number| *number != 1) {
            issuers.keep(&name(number), at(1001), none());
        }
        issuers.keep(&name(ISSUERS), at(1002), none());
        let is_known = |number| issuers.answer(&name(number), None, at(1002)).is_some();
        let gone: Vec<_> = (0..=ISSUERS).filter(|number| !is_known(*number)).collect();
        assert_eq!(gone, [1]);
    }

    #[test]
    fn an_issuer_that_gives_no_keys_is_left_alone_and_what_it_gave_holds_for_a_while() {
        let issuers = Issuers::default();
        let away = || Err(Error::unavailable("it is away").remedy("wait"));
        issuers.keep("a", at(1000), away());
        let answer = |now| issuers.answer("a", None, at(now));
        let error = answer(1029).unwrap().unwrap_err();
        assert_eq!(error.message, "it is away");
        assert_eq!(error.remedy.as_deref(), Some("wait"));
        assert!(answer(1030).is_none());
        issuers.keep("a", at(1030), Ok(JwkSet { keys: vec![] }));
        assert!(answer(1059).unwrap().is_ok());
        assert!(answer(1060).is_none());
        issuers.keep("a", at(1060), away());
        assert!(answer(1089).unwrap().is_ok());
        // Of a key that is not among them nobody can tell.
        assert!(issuers.answer("a", Some("new"), at(1089)).unwrap().is_err());
        issuers.keep("a", at(4629), away());
        assert!(answer(4629).unwrap().is_ok());
        assert!(answer(4630).unwrap().is_err());
    }
}
