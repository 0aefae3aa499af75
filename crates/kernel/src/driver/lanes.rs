//! Keys that wait, taken in turns between those whose work they are.
//!
//! A lane is what one team has waiting ([`crate::Reconciler::lane`]). Lanes take turns, one key at each turn;
//! within a lane, first come, first served. So whoever has one key waits for one key of each other lane at the
//! most, however many those have. And no lane has all places: where each piece of work takes long, its turn
//! would otherwise come only as the first of them ends.

use std::collections::{HashMap, VecDeque};

use crate::Key;

/// What belongs to the platform as a whole, in nobody's share.
const PLATFORM: &str = "";

#[derive(Default)]
struct Lane {
    ready: VecDeque<Key>,
    running: usize,
}

/// The lanes of one reconciler. A lane that nothing waits or runs in has no place in memory.
pub(super) struct Lanes {
    by_name: HashMap<String, Lane>,
    /// Those that something waits in, whose turn is next first.
    turns: VecDeque<String>,
    waiting: usize,
    running: usize,
    places: usize,
}

impl Lanes {
    /// Lanes that share so many places to run at.
    pub(super) fn new(places: usize) -> Self {
        Self {
            by_name: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            running: 0,
            places: places.max(1),
        }
    }

    /// `key` waits, as the last of its lane.
    pub(super) fn push(&mut self, lane: &str, key: Key) {
        let waits = self.by_name.entry(lane.to_owned()).or_default();
        if waits.ready.is_empty() {
            self.turns.push_back(lane.to_owned());
        }
        waits.ready.push_back(key);
        self.waiting += 1;
    }

    /// The key whose turn it is, if one may run now, with its lane. It runs until [`Lanes::ended`].
    pub(super) fn take(&mut self) -> Option<(Key, String)> {
        if self.running >= self.places {
            return None;
        }
        let may = |name: &String| {
            let lane = self.by_name.get(name);
            lane.is_some_and(|lane| lane.running < self.most(name))
        };
        let turn = self.turns.iter().position(may)?;
        let name = self.turns.remove(turn)?;
        let lane = self.by_name.get_mut(&name)?;
        let key = lane.ready.pop_front()?;
        lane.running += 1;
        if !lane.ready.is_empty() {
            self.turns.push_back(name.clone());
        }
        self.waiting -= 1;
        self.running += 1;
        Some((key, name))
    }

    /// What ran in `name` has ended.
    pub(super) fn ended(&mut self, name: &str) {
        let Some(lane) = self.by_name.get_mut(name) else {
            return;
        };
        lane.running -= 1;
        self.running -= 1;
        if lane.running == 0 && lane.ready.is_empty() {
            self.by_name.remove(name);
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// How many of a lane may run at once: of a team three quarters of the places, rounded down, so that from two
    /// places on one is left to others. A single one is shared by turns alone.
    fn most(&self, name: &str) -> usize {
        match name {
            PLATFORM => self.places,
            _ => (self.places - self.places.div_ceil(4)).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(lanes: &mut Lanes, lane: &str, names: &[&str]) {
        for name in names {
            let key = Key {
                kind: "Thing".into(),
                scope: lane.into(),
                name: (*name).into(),
            };
            lanes.push(lane, key);
        }
    }

    fn taken(lanes: &mut Lanes) -> Option<String> {
        lanes.take().map(|(key, _)| key.name)
    }

    /// What runs when each piece of work ends before the next begins.
    fn order(lanes: &mut Lanes) -> String {
        let mut order = String::new();
        while let Some((key, lane)) = lanes.take() {
            order += &key.name;
            lanes.ended(&lane);
        }
        order
    }

    #[test]
    fn lanes_take_turns_and_each_keeps_its_order() {
        let mut lanes = Lanes::new(1);
        push(&mut lanes, "a", &["1", "2", "3", "4"]);
        push(&mut lanes, "b", &["x", "y"]);
        push(&mut lanes, "c", &["!"]);
        assert_eq!((lanes.waiting(), lanes.running()), (7, 0));
        assert_eq!(order(&mut lanes), "1x!2y34");
        assert_eq!((lanes.waiting(), lanes.running()), (0, 0));
        assert!(lanes.by_name.is_empty(), "nothing is remembered of them");
    }

    #[test]
    fn a_key_that_comes_late_is_behind_one_of_each_other_lane() {
        let mut lanes = Lanes::new(1);
        push(&mut lanes, "a", &["1", "2", "3", "4"]);
        push(&mut lanes, "b", &["x", "y", "z"]);
        assert_eq!(taken(&mut lanes).as_deref(), Some("1"));
        push(&mut lanes, "c", &["!"]);
        lanes.ended("a");
        assert_eq!(order(&mut lanes), "x2!y3z4");
    }

    #[test]
    fn no_team_has_all_places_and_the_platform_may() {
        let mut lanes = Lanes::new(4);
        push(&mut lanes, "a", &["1", "2", "3", "4"]);
        for _ in 0..3 {
            assert!(taken(&mut lanes).is_some());
        }
        assert_eq!(taken(&mut lanes), None);
        push(&mut lanes, "b", &["x", "y"]);
        assert_eq!(taken(&mut lanes).as_deref(), Some("x"));
        assert_eq!(taken(&mut lanes), None, "there is no further place");
        lanes.ended("b");
        assert_eq!(taken(&mut lanes).as_deref(), Some("y"));

        let mut lanes = Lanes::new(4);
        push(&mut lanes, PLATFORM, &["1", "2", "3", "4"]);
        for _ in 0..4 {
            assert!(taken(&mut lanes).is_some());
        }
        let mut alone = Lanes::new(1);
        push(&mut alone, "a", &["1"]);
        assert!(taken(&mut alone).is_some(), "one place is enough to work");
    }

    #[test]
    fn from_two_places_on_no_team_has_more_than_three_quarters() {
        let most = |places| Lanes::new(places).most("a");
        let all: Vec<usize> = (1..=9).map(most).collect();
        assert_eq!(all, [1, 1, 2, 3, 3, 4, 5, 6, 6]);
        assert_eq!((most(16), Lanes::new(2).most(PLATFORM)), (12, 2));
    }
}
