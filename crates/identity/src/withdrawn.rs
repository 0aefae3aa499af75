//! Who was taken out of a group of an upstream, in memory: tokens from before that name it in vain, until the
//! upstream says again in their session that they are in it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use kernel::Event;

use crate::{
    clock::after,
    jose::claims::AccessClaims,
    settings::SKEW,
    state::{Login, Withdrawal},
};

/// The one that an event of that type tells of.
pub(crate) fn told(event: &Event) -> Option<Withdrawal> {
    let text = |name: &str| event.data[name].as_str().unwrap_or_default().to_owned();
    let log_place = event.data["logPlace"].as_i64();
    Some(Withdrawal {
        subject: text("subject"),
        group: text("group"),
        at: text("at").parse().ok()?,
        log_place: log_place.unwrap_or_else(Withdrawal::unplaced),
    })
}

/// The newest of each subject and group.
#[derive(Default)]
pub(crate) struct Withdrawn(HashMap<String, BTreeMap<String, Withdrawal>>);

impl Withdrawn {
    /// Takes one in, and forgets those from `oldest` and before.
    pub(crate) fn put(&mut self, one: Withdrawal, oldest: Timestamp) {
        self.0.retain(|_, groups| {
            groups.retain(|_, one| one.at > oldest);
            !groups.is_empty()
        });
        let groups = self.0.entry(one.subject.clone()).or_default();
        groups.insert(one.group.clone(), one);
    }

    /// Whether a token that was signed at `signed` names `group` although its subject was taken out; `login` is what
    /// its session says now. The clock that signed may have been ahead, so a minute is added: whoever returns within
    /// it is known by what their source has said since. However late a token was signed, it says nothing new where its
    /// session's source was not asked since.
    pub(crate) fn is_out(
        &self,
        claims: &AccessClaims,
        group: &str,
        signed: Timestamp,
        login: Option<&Login>,
    ) -> bool {
        let of_subject = self.0.get(&claims.sub);
        let Some(one) = of_subject.and_then(|groups| groups.get(group)) else {
            return false;
        };
        // A name may be another group's by now.
        let is_same = |login: &Login| login.group_ids.get(group) == claims.group_ids.get(group);
        let is_back = login.is_some_and(|login| is_over(one, login) && is_same(login));
        let is_stale = login.is_some_and(|login| is_before(one, login));
        (signed <= after(one.at, SKEW) || is_stale) && !is_back
    }

    /// Whether somebody is told to be in a group that they were taken out of since `was` was said.
    pub(crate) fn is_back(&self, was: &Login, is: &Login) -> bool {
        let groups = self.0.get(&is.subject).into_iter();
        groups
            .flat_map(BTreeMap::values)
            .any(|one| is_over(one, is) && !is_over(one, was))
    }
}

/// Whether `login` says that they are in the group, by a question that was asked after the source had told them to be
/// out. Places in the log are compared, and no times: replicas have clocks of their own, and one log.
fn is_over(one: &Withdrawal, login: &Login) -> bool {
    login.log_place > one.log_place && login.groups.contains(&one.group)
}

/// Whether `login` says that they are in the group by a question that was asked before that. Of a withdrawal without a
/// place that is not known.
fn is_before(one: &Withdrawal, login: &Login) -> bool {
    let has_place = one.log_place != Withdrawal::unplaced();
    has_place && login.log_place <= one.log_place && login.groups.contains(&one.group)
}

#[cfg(test)]
mod tests {
    use kernel::CallerKind;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ids(id: &str) -> BTreeMap<String, String> {
        let id = Some(id).filter(|id| !id.is_empty());
        id.map(|id| ("pay".to_owned(), id.to_owned()))
            .into_iter()
            .collect()
    }

    fn login(groups: &[&str], id: &str, log_place: i64) -> Login {
        Login {
            subject: "corp:7".into(),
            name: "ada".into(),
            email: None,
            source: "corp".into(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            group_ids: ids(id),
            evaluated: at(0),
            log_place,
            at: at(0),
            logins: 0,
            upstream: None,
            browser: None,
            upstream_sid: None,
        }
    }

    fn claims(id: &str) -> AccessClaims {
        AccessClaims {
            iss: String::new(),
            sub: "corp:7".into(),
            aud: String::new(),
            client_id: String::new(),
            iat: 0,
            exp: 0,
            jti: String::new(),
            sid: String::new(),
            scope: String::new(),
            kind: CallerKind::Person,
            environment: None,
            preferred_username: None,
            groups: vec!["pay".into()],
            group_ids: ids(id),
        }
    }

    fn withdrawn(log_place: i64) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        let one = Withdrawal {
            subject: "corp:7".into(),
            group: "pay".into(),
            at: at(1000),
            log_place,
        };
        withdrawn.put(one, at(0));
        withdrawn
    }

    #[test]
    fn only_a_later_answer_of_the_source_ends_it() {
        let all = withdrawn(50);
        for (session, is_out, is_out_later) in [
            (None, true, false),
            (Some(login(&["pay"], "", 49)), true, true),
            // Asked while the source's other answer was written down: nobody can tell which is newer.
            (Some(login(&["pay"], "", 50)), true, true),
            (Some(login(&["web"], "", 51)), true, false),
            (Some(login(&["pay"], "", 51)), false, false),
        ] {
            for signed in [0, 1000, 1060] {
                let found = all.is_out(&claims(""), "pay", at(signed), session.as_ref());
                assert_eq!(found, is_out, "{session:?} {signed}");
            }
            let found = all.is_out(&claims(""), "pay", at(1061), session.as_ref());
            assert_eq!(found, is_out_later, "{session:?}");
            assert!(!all.is_out(&claims(""), "web", at(0), session.as_ref()));
        }
        // Of one that an older replica has told nothing is known but its time.
        let found = withdrawn(i64::MAX);
        let session = login(&["pay"], "", 51);
        assert!(found.is_out(&claims(""), "pay", at(0), Some(&session)));
        assert!(!found.is_out(&claims(""), "pay", at(1061), Some(&session)));
    }

    #[test]
    fn another_group_of_the_name_brings_nobody_back() {
        let all = withdrawn(50);
        for (token, session, is_out) in [
            ("42", "42", false),
            ("42", "43", true),
            ("42", "", true),
            ("", "43", true),
        ] {
            let session = login(&["pay"], session, 51);
            let found = all.is_out(&claims(token), "pay", at(0), Some(&session));
            assert_eq!(found, is_out, "{token} {session:?}");
        }
    }

    #[test]
    fn who_is_back_is_news_once() {
        let all = withdrawn(50);
        let (before, after) = (login(&["pay"], "", 49), login(&["pay"], "", 51));
        assert!(all.is_back(&before, &after));
        assert!(!all.is_back(&after, &login(&["pay"], "", 52)));
        assert!(!all.is_back(&before, &login(&["web"], "", 51)));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut all = withdrawn(50);
        let one = Withdrawal {
            subject: "corp:8".into(),
            group: "pay".into(),
            at: at(2000),
            log_place: 60,
        };
        all.put(one, at(1000));
        assert_eq!(all.0.keys().collect::<Vec<_>>(), ["corp:8"]);
    }
}
