//! Who of an upstream's people is logged in, in memory: asked for each team at each tick, of sessions that
//! are sealed in the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use crate::state::Login;

/// The logins of all sessions of upstreams' people.
#[derive(Default)]
pub(crate) struct Logins {
    by_sid: HashMap<String, Seen>,
    /// The sessions of each group, by source, and by name as by id.
    of_group: HashMap<(String, Group), BTreeSet<String>>,
}

/// What a session told of somebody.
struct Seen {
    login: Login,
    /// When the session is over, unless it was used since: then it has to be read again.
    expires: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Group {
    /// By its name, whatever else has that by now.
    Named(String),
    /// By its lasting id.
    WithId(String),
}

impl Logins {
    /// Takes in a session as it is now, or that it has ended.
    pub(crate) fn put(&mut self, sid: &str, session: Option<(Login, Timestamp)>) {
        if let Some(before) = self.by_sid.remove(sid) {
            for key in groups(&before.login) {
                if let Some(sids) = self.of_group.get_mut(&key) {
                    sids.remove(sid);
                    if sids.is_empty() {
                        self.of_group.remove(&key);
                    }
                }
            }
        }
        if let Some((login, expires)) = session {
            for key in groups(&login) {
                self.of_group.entry(key).or_default().insert(sid.to_owned());
            }
            self.by_sid.insert(sid.to_owned(), Seen { login, expires });
        }
    }

    /// What a session says of whose it is.
    pub(crate) fn login(&self, sid: &str) -> Option<&Login> {
        self.by_sid.get(sid).map(|seen| &seen.login)
    }

    /// Those in a group, by its id where that is known, else by its name: what they are called, by
    /// subject; and sessions that may have ended.
    pub(crate) fn members(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
        now: Timestamp,
    ) -> (BTreeMap<String, String>, Vec<String>) {
        let (mut members, mut stale) = (BTreeMap::new(), Vec::new());
        for (sid, seen) in self.of(source, name, id) {
            if seen.expires <= now {
                stale.push(sid.to_owned());
            } else {
                members.insert(seen.login.subject.clone(), seen.login.name.clone());
            }
        }
        (members, stale)
    }

    /// The sessions of those in that group of whom `is` is true.
    pub(crate) fn sids(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
        is: impl Fn(&Login) -> bool,
    ) -> Vec<String> {
        self.of(source, name, id)
            .filter(|(_, seen)| is(&seen.login))
            .map(|(sid, _)| sid.to_owned())
            .collect()
    }

    /// The sessions of a group, by its id where that is known, else by its name.
    fn of(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
    ) -> impl Iterator<Item = (&str, &Seen)> {
        let named = self.sessions(source, Group::Named(name.to_owned()));
        // A name may be another group's by now: where both are known, the id decides.
        let named =
            named.filter(move |(_, seen)| id.is_none() || !seen.login.group_ids.contains_key(name));
        let with_id = id.map(|id| self.sessions(source, Group::WithId(id.to_owned())));
        named.chain(with_id.into_iter().flatten())
    }

    /// The id of a group, and what it was called when it was last seen: of the group with `id`, where one is
    /// given, else of that of this name.
    pub(crate) fn group(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
    ) -> Option<(String, String)> {
        let group = match id {
            Some(id) => Group::WithId(id.to_owned()),
            None => Group::Named(name.to_owned()),
        };
        let (_, newest) = self
            .sessions(source, group)
            .max_by_key(|(_, seen)| seen.login.evaluated)?;
        let mut ids = newest.login.group_ids.iter();
        let (name, id) = ids.find(|(known, of)| match id {
            Some(id) => *of == id,
            None => *known == name,
        })?;
        Some((id.clone(), name.clone()))
    }

    fn sessions(
        &self,
        source: &str,
        group: Group,
    ) -> impl Iterator<Item = (&str, &Seen)> + use<'_> {
        let sids = self.of_group.get(&(source.to_owned(), group));
        let sids = sids.into_iter().flatten();
        sids.filter_map(|sid| Some((sid.as_str(), self.by_sid.get(sid)?)))
    }
}

fn groups(login: &Login) -> impl Iterator<Item = (String, Group)> {
    let named = login.groups.iter().cloned().map(Group::Named);
    let with_id = login.group_ids.values().cloned().map(Group::WithId);
    named
        .chain(with_id)
        .map(|group| (login.source.clone(), group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(subject: &str, groups: &[(&str, &str)], minute: i64) -> (Login, Timestamp) {
        let at = Timestamp::from_second(minute * 60).unwrap();
        let name = |(name, _): &(&str, &str)| (*name).to_owned();
        let id = |(name, id): &(&str, &str)| ((*name).to_owned(), (*id).to_owned());
        let login = Login {
            subject: subject.into(),
            name: subject.into(),
            email: None,
            source: "github".into(),
            groups: groups.iter().map(name).collect(),
            group_ids: groups
                .iter()
                .filter(|(_, id)| !id.is_empty())
                .map(id)
                .collect(),
            evaluated: at,
            log_place: 0,
            at,
            logins: 0,
            upstream: None,
            browser: None,
            upstream_sid: None,
        };
        (login, Timestamp::MAX)
    }

    fn names(logins: &Logins, name: &str, id: Option<&str>) -> Vec<String> {
        let (members, stale) = logins.members("github", name, id, Timestamp::UNIX_EPOCH);
        assert!(stale.is_empty());
        members.into_keys().collect()
    }

    #[test]
    fn a_group_is_followed_by_its_id() {
        let mut logins = Logins::default();
        logins.put("1", Some(login("ada", &[("acme/pay", "42")], 1)));
        let old = Some(("42".to_owned(), "acme/pay".to_owned()));
        assert_eq!(logins.group("github", "acme/pay", None), old);
        // Renamed, and another made under the old name.
        logins.put("2", Some(login("bob", &[("acme/money", "42")], 2)));
        logins.put("3", Some(login("eve", &[("acme/pay", "43")], 3)));
        let new = Some(("42".to_owned(), "acme/money".to_owned()));
        assert_eq!(logins.group("github", "acme/pay", Some("42")), new);
        assert_eq!(names(&logins, "acme/pay", Some("42")), ["ada", "bob"]);
        assert_eq!(names(&logins, "acme/pay", None), ["ada", "eve"]);
        assert_eq!(logins.group("corp", "acme/pay", None), None);
        // Of a session from before ids were known the name is all there is.
        logins.put("4", Some(login("max", &[("acme/pay", "")], 4)));
        assert_eq!(
            names(&logins, "acme/pay", Some("42")),
            ["ada", "bob", "max"]
        );
        logins.put("1", None);
        logins.put("4", None);
        assert_eq!(names(&logins, "acme/pay", Some("42")), ["bob"]);
    }

    #[test]
    fn what_may_be_over_is_read_again() {
        let mut logins = Logins::default();
        let (login, _) = login("ada", &[("acme/pay", "42")], 1);
        let ends = Timestamp::from_second(100).unwrap();
        logins.put("1", Some((login, ends)));
        let (members, stale) = logins.members("github", "acme/pay", None, ends);
        assert!(members.is_empty());
        assert_eq!(stale, ["1"]);
    }
}
