//! What upstreams say of people who are logged in, asked again though nobody renews their login: few at a time, and
//! those who are due at one moment over several looks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::join_all;
use jiff::Timestamp;
use kernel::{Change, Record, Result, anew, lease::Fence};
use tokio_util::sync::CancellationToken;

use super::{
    Identity,
    sessions::{as_session, fenced},
};
use crate::{
    clock::after,
    settings::{LOOKS, Lifetimes, SPARE},
    source::SourceError,
    state::{Login, Session},
};

/// For how many one upstream is asked at the same moment.
const AT_ONCE: usize = 4;

/// When an upstream last did not answer for a login, by the name of what asks for it: whoever gets no answer waits
/// behind the others, and does not keep them from being asked for.
#[derive(Default)]
pub(super) struct Unanswered(Mutex<HashMap<String, Timestamp>>);

impl Unanswered {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sessions of one login at an upstream: they ask by one grant, and are asked for once.
struct Asked {
    grant: String,
    /// When the upstream last spoke of them, in the session of which that is longest ago.
    evaluated: Timestamp,
    sessions: Vec<Record<Session>>,
}

impl Asked {
    fn login(&self) -> Option<&Login> {
        self.sessions.first().map(|session| &session.value.login)
    }
}

/// The logins of people who are logged in by upstreams, by the upstream.
fn logins(sessions: Vec<Record<Session>>, now: Timestamp) -> BTreeMap<String, Vec<Asked>> {
    let mut by_grant: BTreeMap<(String, String), Asked> = BTreeMap::new();
    for session in sessions {
        let login = &session.value.login;
        let Some(grant) = login.upstream.clone().filter(|_| session.expires > now) else {
            continue;
        };
        let evaluated = login.evaluated;
        let key = (login.source.clone(), grant.clone());
        let asked = by_grant.entry(key).or_insert_with(|| Asked {
            grant,
            evaluated,
            sessions: vec![],
        });
        asked.evaluated = asked.evaluated.min(evaluated);
        asked.sessions.push(session);
    }
    let mut by_source: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
    for ((source, _), asked) in by_grant {
        by_source.entry(source).or_default().push(asked);
    }
    by_source
}

/// Those of one upstream's logins for which it is asked now: who has waited longest first, and no more than makes
/// all of them within the time of a recheck.
fn due(
    mut logins: Vec<Asked>,
    now: Timestamp,
    lifetimes: &Lifetimes,
    unanswered: &HashMap<String, Timestamp>,
) -> Vec<Asked> {
    // In fewer looks than there are: some come late, and then nobody waits for longer.
    let share = logins.len().div_ceil((LOOKS - SPARE) as usize);
    let share = share.max(AT_ONCE);
    // Before the next look it would be too late.
    let look = lifetimes.upstream_look();
    let age = lifetimes.upstream_recheck.saturating_sub(look);
    logins.retain(|asked| after(asked.evaluated, age) <= now);
    logins.sort_by_key(|asked| {
        let unanswered = unanswered.get(&asked.grant).copied();
        asked.evaluated.max(unanswered.unwrap_or(Timestamp::MIN))
    });
    logins.truncate(share);
    logins
}

impl Identity {
    /// Asks upstreams for the groups of those of their people who are logged in and were last asked for a while ago
    /// ([`Lifetimes::upstream_recheck`]): whoever has left loses here what they had by it although nobody renews
    /// their login, and whoever does not come back is known to have left. An upstream that is away is asked another
    /// time, and changes nothing.
    ///
    /// One upstream does not wait for another. `fence` is that of a reconciler. Ends early with `stop`.
    pub async fn people_ask(&self, fence: Option<&Fence>, stop: &CancellationToken) -> Result<()> {
        let now = self.clock.now();
        let sessions = self.store.records::<Session>("").await?;
        let logins = logins(sessions, now);
        {
            let mut unanswered = self.unanswered.lock();
            // No login lasts longer.
            let oldest = now.checked_sub(self.settings.lifetimes.session);
            let oldest = oldest.unwrap_or(Timestamp::MIN);
            unanswered.retain(|_, at| *at > oldest);
        }
        let mut asking = Vec::with_capacity(logins.len());
        for logins in logins.into_values() {
            let due = {
                let unanswered = self.unanswered.lock();
                due(logins, now, &self.settings.lifetimes, &unanswered)
            };
            asking.push(self.logins_recheck(due, fence, stop));
        }
        for asked in join_all(asking).await {
            asked?;
        }
        Ok(())
    }

    /// Asks one upstream for those who are due. Where it answers for nobody of those who are asked for at the same
    /// moment, it is away; where it answers for some of them, the others' trouble is their own.
    async fn logins_recheck(
        &self,
        due: Vec<Asked>,
        fence: Option<&Fence>,
        stop: &CancellationToken,
    ) -> Result<()> {
        for some in due.chunks(AT_ONCE) {
            if stop.is_cancelled() {
                return Ok(());
            }
            let mut asking = Vec::with_capacity(some.len());
            for asked in some {
                asking.push(self.login_recheck(asked, fence));
            }
            let mut is_away = true;
            for answered in join_all(asking).await {
                is_away &= !answered?;
            }
            if is_away {
                break;
            }
        }
        Ok(())
    }

    /// Asks an upstream for somebody, and heeds what it says in all sessions of their login. Answers whether it
    /// says something.
    async fn login_recheck(&self, asked: &Asked, fence: Option<&Fence>) -> Result<bool> {
        let Some(login) = asked.login() else {
            return Ok(true);
        };
        match self.membership(login).await {
            Ok(login) => {
                for session in &asked.sessions {
                    self.session_rechecked(session, &login, fence).await?;
                }
                self.person_heard(&login).await?;
            }
            Err(SourceError::Away(error)) => {
                tracing::warn!(source = login.source, chain = error.chain(), "an upstream");
                let now = self.clock.now();
                self.unanswered.lock().insert(asked.grant.clone(), now);
                return Ok(false);
            }
            Err(why) => {
                for session in &asked.sessions {
                    anew(|| async {
                        // Renewed meanwhile, or ended: the next look sees what it is.
                        if self.session_as_asked(session).await?.is_none() {
                            return Ok(());
                        }
                        self.session_refused(session, &why, fence).await
                    })
                    .await?;
                }
            }
        }
        Ok(true)
    }

    /// A session, where nobody has renewed or ended it since it was asked for.
    async fn session_as_asked(&self, asked: &Record<Session>) -> Result<Option<Record<Session>>> {
        let now = self.store.record::<Session>(&asked.name).await?;
        Ok(now.filter(|now| now.version == asked.version))
    }

    /// Writes down what a source says of somebody who is logged in.
    async fn session_rechecked(
        &self,
        asked: &Record<Session>,
        login: &Login,
        fence: Option<&Fence>,
    ) -> Result<()> {
        anew(|| async {
            // Whoever has refreshed it meanwhile knows better.
            let Some(mut record) = self.session_as_asked(asked).await? else {
                return Ok(());
            };
            let was = std::mem::replace(&mut record.value.login, login.clone());
            let caller = as_session(&record);
            let mut change = fenced(Change::new().by(&caller), fence);
            change.keep(&record)?;
            self.session_regrouped(&mut change, &caller, &record.name, (&was, login))
                .await?;
            self.store.commit(change).await.map(drop)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A session of the login `grant`, of which the upstream last spoke at this second.
    fn session(sid: &str, source: &str, grant: Option<&str>, evaluated: i64) -> Record<Session> {
        let login = Login {
            subject: format!("{source}:7"),
            name: "ada".into(),
            email: None,
            source: source.into(),
            groups: vec![],
            group_ids: BTreeMap::new(),
            evaluated: at(evaluated),
            log_place: 0,
            at: at(0),
            logins: 0,
            upstream: grant.map(str::to_owned),
            browser: None,
            upstream_sid: None,
        };
        let session = Session {
            login,
            client_id: "towpath-cli".into(),
            scope: String::new(),
            created: at(0),
            last_used: at(0),
            refreshable: true,
            counter: 1,
            seed: String::new(),
            rotated: at(0),
        };
        Record::new(sid, Timestamp::MAX, session)
    }

    fn names(asked: &[Asked]) -> Vec<&str> {
        asked.iter().map(|asked| asked.grant.as_str()).collect()
    }

    #[test]
    fn a_login_is_asked_for_once_and_none_that_nothing_asks_for() {
        let now = at(60 * MINUTE);
        let mut over = session("5", "corp", Some("over"), 0);
        over.expires = now;
        let sessions = vec![
            session("1", "corp", Some("a"), 50 * MINUTE),
            session("2", "corp", Some("a"), 20 * MINUTE),
            session("3", "acme", Some("b"), 20 * MINUTE),
            session("4", "local", None, 0),
            over,
        ];
        let logins = logins(sessions, now);
        assert_eq!(logins.keys().collect::<Vec<_>>(), ["acme", "corp"]);
        let corp = &logins["corp"];
        assert_eq!(names(corp), ["a"]);
        assert_eq!(corp[0].sessions.len(), 2);
        assert_eq!(corp[0].evaluated, at(20 * MINUTE));
    }

    #[test]
    fn those_who_are_due_at_once_are_asked_for_one_after_the_other() {
        let lifetimes = Lifetimes::default();
        let some = |number: usize, evaluated: i64| -> Vec<Asked> {
            let session = |one: usize| {
                let name = format!("{one:04}");
                session(&name, "corp", Some(&name), evaluated)
            };
            let all = logins((0..number).map(session).collect(), at(0));
            all.into_values().next().unwrap()
        };
        let nobody = HashMap::new();
        let asked = |logins, minute: i64, unanswered: &HashMap<_, _>| {
            due(logins, at(minute * MINUTE), &lifetimes, unanswered)
        };
        // Not before it is due, and no more than an eighth at one look.
        assert!(asked(some(1000, 0), 8, &nobody).is_empty());
        assert_eq!(asked(some(1000, 0), 9, &nobody).len(), 125);
        assert_eq!(asked(some(1, 0), 9, &nobody).len(), 1);
        // Who has waited longest is first, and who got no answer last.
        let mut mixed = some(50, MINUTE);
        mixed.extend(some(3, 0));
        let first = asked(mixed, 30, &nobody);
        assert_eq!(names(&first)[..3], ["0000", "0001", "0002"]);
        assert!(first[..3].iter().all(|asked| asked.evaluated == at(0)));
        let away = (0..46).map(|one| (format!("{one:04}"), at(29 * MINUTE)));
        let next = asked(some(50, 0), 30, &away.collect());
        assert_eq!(names(&next)[..4], ["0046", "0047", "0048", "0049"]);
    }
}
