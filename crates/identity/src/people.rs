//! What upstreams have last said of their people, in memory: who has left a group is asked for each team at
//! each tick, of records that are sealed in the store.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use crate::{logins::Group, state::Person};

/// What upstreams have last said of their people.
#[derive(Default)]
pub(crate) struct People {
    /// Each until when it is remembered.
    by_name: HashMap<String, (Person, Timestamp)>,
    /// Those who are or were in a group, by source, and by name as by id.
    of_group: HashMap<(String, Group), BTreeSet<String>>,
    /// Upstreams that are being removed: what these have said counts no more, forgotten or not.
    going: BTreeSet<String>,
}

impl People {
    /// Takes in what is known of somebody by the name of their record, and until when; or that nothing is.
    pub(crate) fn put(&mut self, name: &str, person: Option<(Person, Timestamp)>) {
        if let Some((before, _)) = self.by_name.remove(name) {
            for key in groups(&before) {
                if let Some(names) = self.of_group.get_mut(&key) {
                    names.remove(name);
                    if names.is_empty() {
                        self.of_group.remove(&key);
                    }
                }
            }
        }
        let person = person.filter(|(person, _)| !self.going.contains(&person.source));
        if let Some((person, until)) = person {
            for key in groups(&person) {
                self.of_group
                    .entry(key)
                    .or_default()
                    .insert(name.to_owned());
            }
            self.by_name.insert(name.to_owned(), (person, until));
        }
    }

    /// Takes in whether an upstream is being removed.
    pub(crate) fn source(&mut self, source: &str, is_going: bool) {
        if !is_going {
            self.going.remove(source);
            return;
        }
        self.going.insert(source.to_owned());
        let theirs = self.by_name.iter();
        let theirs = theirs.filter(|(_, (person, _))| person.source == source);
        let names: Vec<String> = theirs.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.put(&name, None);
        }
    }

    /// What is known of this subject.
    pub(crate) fn of(&self, subject: &str) -> Option<&Person> {
        let (person, _) = self.by_name.get(&Person::name_of(subject))?;
        (person.subject == subject).then_some(person)
    }

    /// Those who were in a group of a source, by its id where that is known, else by its name, and are told
    /// to be out of it.
    pub(crate) fn left(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
        now: Timestamp,
    ) -> Vec<&Person> {
        self.concerned(source, name, id, now)
            .filter(|person| person.has_left(name, id, now))
            .collect()
    }

    /// Whether somebody was in it when the source last spoke of them, whether or not they are logged in.
    pub(crate) fn knows_of_some(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
        now: Timestamp,
    ) -> bool {
        self.concerned(source, name, id, now)
            .any(|person| person.is_in(name, id, now))
    }

    fn concerned(
        &self,
        source: &str,
        name: &str,
        id: Option<&str>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Person> {
        let listed = |group| self.of_group.get(&(source.to_owned(), group));
        let named = listed(Group::Named(name.to_owned()));
        let with_id = id.and_then(|id| listed(Group::WithId(id.to_owned())));
        let all: BTreeSet<&String> = named.into_iter().chain(with_id).flatten().collect();
        all.into_iter()
            .filter_map(|name| self.by_name.get(name))
            .filter(move |(_, until)| *until > now)
            .map(|(person, _)| person)
    }
}

/// The groups that somebody is or was in.
fn groups(person: &Person) -> impl Iterator<Item = (String, Group)> {
    let all = person.left.iter().chain(&person.groups);
    all.flat_map(|(name, id)| {
        let with_id = id.clone().map(Group::WithId);
        [Some(Group::Named(name.clone())), with_id]
    })
    .flatten()
    .map(|group| (person.source.clone(), group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Login;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn login(subject: &str, groups: &[(&str, &str)], hour: i64) -> Login {
        let name = |(name, _): &(&str, &str)| (*name).to_owned();
        let id = |(name, id): &(&str, &str)| ((*name).to_owned(), (*id).to_owned());
        Login {
            subject: subject.into(),
            name: subject.into(),
            email: None,
            source: "corp".into(),
            groups: groups.iter().map(name).collect(),
            group_ids: groups
                .iter()
                .filter(|(_, id)| !id.is_empty())
                .map(id)
                .collect(),
            evaluated: at(hour),
            log_place: 0,
            at: at(hour),
            logins: 0,
            upstream: None,
            browser: None,
            upstream_sid: None,
        }
    }

    struct Heard(People, Option<Person>);

    impl Heard {
        fn says(&mut self, groups: &[(&str, &str)], hour: i64) {
            self.is(Person::of(&login("corp:7", groups, hour), self.1.as_ref()));
        }

        fn is(&mut self, person: Person) {
            let name = Person::name_of(&person.subject);
            self.0.put(&name, Some((person.clone(), Timestamp::MAX)));
            self.1 = Some(person);
        }

        fn left(&self, name: &str, id: Option<&str>, hour: i64) -> bool {
            let left = !self.0.left("corp", name, id, at(hour)).is_empty();
            let is_in = self.0.knows_of_some("corp", name, id, at(hour));
            assert!(!(left && is_in));
            left
        }
    }

    #[test]
    fn who_is_told_to_be_out_has_left_and_who_returns_has_not() {
        let mut heard = Heard(People::default(), None);
        heard.says(&[("pay", ""), ("shop", "")], 1);
        assert!(!heard.left("pay", None, 2));
        heard.says(&[("shop", "")], 2);
        assert!(heard.left("pay", None, 2));
        assert!(!heard.left("shop", None, 2));
        assert!(!heard.left("other", None, 2));
        heard.says(&[("pay", "")], 3);
        assert!(!heard.left("pay", None, 3));
        assert!(heard.left("shop", None, 3));
        assert!(heard.0.of("corp:7").is_some());
        assert!(heard.0.of("corp:8").is_none());
    }

    #[test]
    fn a_group_that_is_renamed_is_not_left() {
        let mut heard = Heard(People::default(), None);
        heard.says(&[("acme/pay", "42")], 1);
        heard.says(&[("acme/money", "42")], 2);
        assert!(!heard.left("acme/pay", Some("42"), 2));
        assert!(!heard.left("acme/money", Some("42"), 2));
        // Another is made under the old name, and they are out of the one that they were in.
        heard.says(&[("acme/pay", "43")], 3);
        assert!(heard.left("acme/money", Some("42"), 3));
        assert!(!heard.left("acme/pay", Some("43"), 3));
    }

    #[test]
    fn who_is_refused_has_a_day_to_return() {
        let mut heard = Heard(People::default(), None);
        heard.says(&[("pay", "")], 1);
        let person = heard.1.clone().unwrap();
        heard.is(person.refused(at(2)));
        assert!(!heard.left("pay", None, 25));
        assert!(heard.left("pay", None, 26));
        // Refused again is refused since then.
        let person = heard.1.clone().unwrap();
        heard.is(person.refused(at(25)));
        assert!(heard.left("pay", None, 26));
        heard.says(&[("pay", "")], 27);
        assert!(!heard.left("pay", None, 60));
    }
}
