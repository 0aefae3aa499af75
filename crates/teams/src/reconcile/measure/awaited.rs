//! Whose login is waited for, in memory: so that a login concerns the teams of whoever logs in, and no team asks
//! the log at each look who of its people did.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Hints and no more: what is not in it is asked of the log.
#[derive(Default)]
pub(super) struct Awaited(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Whose login is waited for, and by which teams.
    by_subject: HashMap<String, BTreeSet<String>>,
    /// Of each team that was looked at since the start, who is waited for, and who may have come.
    by_team: BTreeMap<String, OfTeam>,
}

#[derive(Default)]
struct OfTeam {
    waits_for: BTreeSet<String>,
    came: BTreeSet<String>,
    /// Whether anybody may have come.
    anybody: bool,
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
        teams
    }

    /// Who may have come since this was last asked of a team; none: anybody. Whoever asks says what came of it.
    pub(super) fn asked(&self, team: &str) -> Option<BTreeSet<String>> {
        let waiting = &mut *self.waiting();
        let of_team = waiting.by_team.get_mut(team)?;
        let came = std::mem::take(&mut of_team.came);
        (!std::mem::take(&mut of_team.anybody)).then_some(came)
    }

    /// What came of it could not be kept: it is to be asked again.
    pub(super) fn again(&self, team: &str, came: Option<BTreeSet<String>>) {
        let waiting = &mut *self.waiting();
        let Some(of_team) = waiting.by_team.get_mut(team) else {
            return;
        };
        match came {
            Some(came) => of_team.came.extend(came),
            None => of_team.anybody = true,
        }
    }

    /// These are waited for by `team` from now on, and nobody else. Whether some of them were not before: they may
    /// have come between the look and this, and are to be asked for soon.
    pub(super) fn settle(&self, team: &str, waits_for: BTreeSet<String>) -> bool {
        let waiting = &mut *self.waiting();
        let of_team = waiting.by_team.entry(team.to_owned()).or_default();
        let before = std::mem::take(&mut of_team.waits_for);
        let new: Vec<String> = waits_for.difference(&before).cloned().collect();
        for subject in &new {
            let teams = waiting.by_subject.entry(subject.clone()).or_default();
            teams.insert(team.to_owned());
        }
        for subject in before.difference(&waits_for) {
            if let Some(teams) = waiting.by_subject.get_mut(subject) {
                teams.remove(team);
                if teams.is_empty() {
                    waiting.by_subject.remove(subject);
                }
            }
        }
        let some = !new.is_empty();
        of_team.came.extend(new);
        of_team.came.retain(|subject| waits_for.contains(subject));
        of_team.waits_for = waits_for;
        some
    }

    /// There is no such team any more.
    pub(super) fn forget(&self, team: &str) {
        self.settle(team, BTreeSet::new());
        self.waiting().by_team.remove(team);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_login_concerns_the_teams_that_wait_for_it() {
        let awaited = Awaited::default();
        assert_eq!(awaited.asked("payments"), None, "anybody may have come");
        awaited.settle("payments", set(&["local:ada"]));
        awaited.settle("search", set(&["local:ada", "local:bob"]));
        assert_eq!(awaited.came("local:ada"), set(&["payments", "search"]));
        assert_eq!(awaited.came("local:zoe"), set(&[]));
        assert_eq!(awaited.asked("payments"), Some(set(&["local:ada"])));
        awaited.settle("payments", set(&[]));
        assert_eq!(awaited.came("local:ada"), set(&["search"]));
        assert_eq!(awaited.asked("payments"), Some(set(&[])));
    }

    #[test]
    fn whoever_comes_during_a_look_is_asked_for_in_the_next() {
        let awaited = Awaited::default();
        let seen = awaited.asked("payments");
        awaited.settle("payments", set(&["local:ada"]));
        assert_eq!(seen, None);
        // They may have come before anybody waited for them.
        assert_eq!(awaited.asked("payments"), Some(set(&["local:ada"])));
        awaited.settle("payments", set(&["local:ada"]));
        assert_eq!(awaited.asked("payments"), Some(set(&[])));
        awaited.came("local:ada");
        let seen = awaited.asked("payments");
        awaited.again("payments", seen);
        assert_eq!(awaited.asked("payments"), Some(set(&["local:ada"])));
    }

    #[test]
    fn a_first_look_that_failed_asks_for_anybody_again() {
        let awaited = Awaited::default();
        let seen = awaited.asked("payments");
        awaited.again("payments", seen);
        assert_eq!(awaited.asked("payments"), None);
    }
}
