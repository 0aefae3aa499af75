//! Whose login is waited for, and why a team is looked at, in memory: so that a login concerns the teams of whoever
//! logs in, no team asks the log at each look who of its people did, and no source is asked who is in a team
//! because that has deployed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Without anything being told of a team, its sources are asked no more often than this.
const OFTEN: Duration = Duration::from_mins(5);

/// However much is told of it that is about something else, they are asked as often as this.
const SELDOM: Duration = Duration::from_hours(1);

/// Hints and no more: what is not in it is asked of the log and of the sources.
#[derive(Default)]
pub(super) struct Awaited(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The term of the lease that this is of. What was told between it and another nobody here has heard.
    term: i64,
    /// Whose login is waited for, and by which teams.
    by_subject: HashMap<String, BTreeSet<String>>,
    /// Of each team that was looked at in this term, who is waited for, and who may have come.
    by_team: BTreeMap<String, OfTeam>,
    /// Teams of which something was told that is about who is in them. Apart from `by_team`, so that what is told
    /// during a first look is known by the next.
    changed: BTreeSet<String>,
    /// Teams of which something else was told.
    told: BTreeSet<String>,
}

#[derive(Default)]
struct OfTeam {
    waits_for: BTreeSet<String>,
    came: BTreeSet<String>,
    /// Whether anybody may have come.
    anybody: bool,
    /// When its sources were asked who is in it.
    asked: Option<Instant>,
}

/// What a look at a team has to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hints {
    /// Who may have logged in since the last look; none: anybody.
    pub(super) came: Option<BTreeSet<String>>,
    /// Whether its sources are to be asked who is in it.
    pub(super) asks: bool,
    /// When the look began.
    at: Instant,
}

impl Awaited {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody logs in; answers the teams that wait for that.
    pub(super) fn came(&self, subject: &str) -> BTreeSet<String> {
        let waiting = &mut *self.waiting();
        let teams = waiting.by_subject.get(subject).cloned().unwrap_or_default();
        for team in &teams {
            let of_team = waiting.by_team.entry(team.clone()).or_default();
            of_team.came.insert(subject.to_owned());
        }
        waiting.told.extend(teams.iter().cloned());
        teams
    }

    /// Who is in a team may be another than before.
    pub(super) fn changed(&self, team: &str) {
        self.waiting().changed.insert(team.to_owned());
    }

    /// Something is told of a team that is not about who is in it.
    pub(super) fn told(&self, team: &str) {
        self.waiting().told.insert(team.to_owned());
    }

    /// What a look at a team in term `term` of the lease, now, has to go by. Whoever asks says what came of it.
    pub(super) fn asked(&self, term: i64, team: &str, at: Instant) -> Hints {
        let waiting = &mut *self.waiting();
        if waiting.term != term {
            // What happened since the last term here was told to another replica, or to nobody: all teams are
            // looked at in the beginning, and nothing of before says what need not be asked.
            *waiting = Waiting {
                term,
                ..Waiting::default()
            };
        }
        let is_changed = waiting.changed.remove(team);
        let is_told = waiting.told.remove(team);
        let Some(of_team) = waiting.by_team.get_mut(team) else {
            return Hints {
                came: None,
                asks: true,
                at,
            };
        };
        let came = std::mem::take(&mut of_team.came);
        let every = if is_told { SELDOM } else { OFTEN };
        let is_due = |asked: Instant| at.saturating_duration_since(asked) >= every;
        Hints {
            came: (!std::mem::take(&mut of_team.anybody)).then_some(came),
            asks: is_changed || of_team.asked.is_none_or(is_due),
            at,
        }
    }

    /// What came of it could not be kept: it is to be asked again.
    pub(super) fn again(&self, team: &str, hints: Hints) {
        let waiting = &mut *self.waiting();
        let why = if hints.asks {
            &mut waiting.changed
        } else {
            &mut waiting.told
        };
        why.insert(team.to_owned());
        let Some(of_team) = waiting.by_team.get_mut(team) else {
            return;
        };
        match hints.came {
            Some(came) => of_team.came.extend(came),
            None => of_team.anybody = true,
        }
    }

    /// These are waited for by `team` from now on, and nobody else. Whether some of them were not before: they may
    /// have come between the look and this, and are to be asked for soon.
    pub(super) fn settle(&self, team: &str, hints: &Hints, waits_for: BTreeSet<String>) -> bool {
        let waiting = &mut *self.waiting();
        let is_new = waiting.wait(team, waits_for);
        if hints.asks
            && let Some(of_team) = waiting.by_team.get_mut(team)
        {
            of_team.asked = Some(hints.at);
        }
        is_new
    }

    /// There is no such team any more.
    pub(super) fn forget(&self, team: &str) {
        let waiting = &mut *self.waiting();
        waiting.wait(team, BTreeSet::new());
        waiting.by_team.remove(team);
        waiting.changed.remove(team);
        waiting.told.remove(team);
    }
}

impl Waiting {
    fn wait(&mut self, team: &str, waits_for: BTreeSet<String>) -> bool {
        let of_team = self.by_team.entry(team.to_owned()).or_default();
        let before = std::mem::take(&mut of_team.waits_for);
        let new: Vec<String> = waits_for.difference(&before).cloned().collect();
        for subject in &new {
            let teams = self.by_subject.entry(subject.clone()).or_default();
            teams.insert(team.to_owned());
        }
        for subject in before.difference(&waits_for) {
            if let Some(teams) = self.by_subject.get_mut(subject) {
                teams.remove(team);
                if teams.is_empty() {
                    self.by_subject.remove(subject);
                }
            }
        }
        let some = !new.is_empty();
        of_team.came.extend(new);
        of_team.came.retain(|subject| waits_for.contains(subject));
        of_team.waits_for = waits_for;
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i64 = 1;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    impl Awaited {
        fn look(&self, team: &str) -> Hints {
            self.asked(TERM, team, Instant::now())
        }

        /// A look of which these are waited for.
        fn found(&self, team: &str, waits_for: &[&str]) -> Hints {
            let hints = self.look(team);
            self.settle(team, &hints, set(waits_for));
            hints
        }
    }

    #[test]
    fn a_login_concerns_the_teams_that_wait_for_it() {
        let awaited = Awaited::default();
        let first = awaited.found("payments", &["local:ada"]);
        assert_eq!(first.came, None, "anybody may have come");
        awaited.found("search", &["local:ada", "local:bob"]);
        assert_eq!(awaited.came("local:ada"), set(&["payments", "search"]));
        assert_eq!(awaited.came("local:zoe"), set(&[]));
        let second = awaited.found("payments", &[]);
        assert_eq!(second.came, Some(set(&["local:ada"])));
        assert_eq!(awaited.came("local:ada"), set(&["search"]));
        assert_eq!(awaited.look("payments").came, Some(set(&[])));
    }

    #[test]
    fn whoever_comes_during_a_look_is_asked_for_in_the_next() {
        let awaited = Awaited::default();
        let first = awaited.found("payments", &["local:ada"]);
        assert_eq!(first.came, None);
        // They may have come before anybody waited for them.
        let second = awaited.found("payments", &["local:ada"]);
        assert_eq!(second.came, Some(set(&["local:ada"])));
        assert_eq!(awaited.look("payments").came, Some(set(&[])));
        awaited.came("local:ada");
        let failed = awaited.look("payments");
        awaited.again("payments", failed);
        let again = awaited.look("payments");
        assert_eq!(again.came, Some(set(&["local:ada"])));
    }

    #[test]
    fn a_first_look_that_failed_asks_for_anybody_again() {
        let awaited = Awaited::default();
        let failed = awaited.look("payments");
        awaited.again("payments", failed);
        let again = awaited.look("payments");
        assert_eq!((again.came, again.asks), (None, true));
    }

    #[test]
    fn in_another_term_anybody_may_have_come() {
        let awaited = Awaited::default();
        awaited.found("payments", &["local:ada"]);
        awaited.found("payments", &["local:ada"]);
        assert_eq!(awaited.look("payments").came, Some(set(&[])));
        let next = awaited.asked(TERM + 2, "payments", Instant::now());
        assert_eq!((next.came, next.asks), (None, true));
        assert_eq!(awaited.came("local:ada"), set(&[]));
    }

    #[test]
    fn sources_are_asked_for_what_is_about_people_and_now_and_then() {
        let awaited = Awaited::default();
        let begun = Instant::now();
        let asks = |after: Duration| {
            let hints = awaited.asked(TERM, "payments", begun + after);
            awaited.settle("payments", &hints, set(&["local:ada"]));
            hints.asks
        };
        assert!(asks(Duration::ZERO), "a first look");
        assert!(!asks(OFTEN / 2), "it was just asked");
        awaited.told("payments");
        assert!(!asks(OFTEN), "a deployment says nothing of people");
        assert!(asks(OFTEN), "a resync");
        awaited.came("local:ada");
        assert!(!asks(3 * OFTEN), "a login is in the log");
        awaited.changed("payments");
        assert!(asks(OFTEN + OFTEN / 2), "who is in it has changed");
        awaited.told("payments");
        assert!(asks(OFTEN * 2 + SELDOM), "it deploys all the time");
        // What is told during a look is of the next, and what failed is not done.
        let failed = {
            awaited.changed("payments");
            awaited.asked(TERM, "payments", begun)
        };
        awaited.again("payments", failed);
        assert!(asks(Duration::ZERO));
        let first = awaited.asked(TERM, "search", begun);
        awaited.changed("search");
        awaited.settle("search", &first, set(&[]));
        assert!(awaited.asked(TERM, "search", begun).asks);
    }
}
