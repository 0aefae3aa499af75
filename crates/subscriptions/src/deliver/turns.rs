//! Places in which requests wait, shared between teams.
//!
//! A request to a receiver that is dead holds its place for as long as may be waited. So no team has
//! more places than it leaves free: one takes half of them at the most, a second half of the rest, and
//! whoever comes new finds one. What is free goes to those who wait, a team after the other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

use super::locked;

/// A number of places.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    teams: HashMap<String, Share>,
    /// Those who wait, in the order of their turns.
    order: VecDeque<String>,
}

#[derive(Default)]
struct Share {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// One place; it is free again when this is dropped.
pub(super) struct Place {
    turns: Turns,
    team: String,
    held: bool,
}

impl Turns {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: places.max(1),
            teams: HashMap::new(),
            order: VecDeque::new(),
        })))
    }

    /// Waits for a place of `team`.
    pub(super) async fn place(&self, team: &str) -> Place {
        loop {
            let (give, given) = oneshot::channel();
            {
                let mut state = locked(&self.0);
                let share = state.teams.entry(team.to_owned()).or_default();
                share.waiting.push_back(give);
                if share.waiting.len() == 1 {
                    state.order.push_back(team.to_owned());
                }
                self.hand_out(&mut state);
            }
            // Whoever waits is in the queue until it is given a place.
            if let Ok(place) = given.await {
                return place;
            }
        }
    }

    /// Gives what is free to those whose turn it is.
    fn hand_out(&self, state: &mut State) {
        let mut passed_over = 0;
        while state.free > 0 && passed_over < state.order.len() {
            let Some(team) = state.order.pop_front() else {
                return;
            };
            let free = state.free;
            let Some(share) = state.teams.get_mut(&team) else {
                continue;
            };
            if share.held >= free {
                passed_over += 1;
                state.order.push_back(team);
                continue;
            }
            if let Some(give) = share.waiting.pop_front() {
                let place = Place {
                    turns: self.clone(),
                    team: team.clone(),
                    held: true,
                };
                match give.send(place) {
                    Ok(()) => {
                        share.held += 1;
                        state.free -= 1;
                        passed_over = 0;
                    }
                    // It no longer waits. The lock is held: what is dropped here must not ask for it.
                    Err(mut place) => place.held = false,
                }
            }
            if share.waiting.is_empty() {
                if share.held == 0 {
                    state.teams.remove(&team);
                }
            } else {
                state.order.push_back(team);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let mut state = locked(&self.turns.0);
        state.free += 1;
        if let Some(share) = state.teams.get_mut(&self.team) {
            share.held -= 1;
            if share.held == 0 && share.waiting.is_empty() {
                state.teams.remove(&self.team);
            }
        }
        self.turns.hand_out(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// A place, where there is one at once.
    fn at_once(turns: &Turns, team: &str) -> Option<Place> {
        turns.place(team).now_or_never()
    }

    fn all_at_once(turns: &Turns, team: &str) -> Vec<Place> {
        std::iter::from_fn(|| at_once(turns, team)).collect()
    }

    #[test]
    fn a_team_leaves_as_many_places_as_it_takes() {
        let turns = Turns::new(128);
        let one = all_at_once(&turns, "one");
        assert_eq!(one.len(), 64);
        let two = all_at_once(&turns, "two");
        assert_eq!(two.len(), 32);
        assert!(at_once(&turns, "one").is_none() && at_once(&turns, "three").is_some());
        drop((one, two));
        assert_eq!(all_at_once(&turns, "three").len(), 64);
    }

    #[test]
    fn the_only_place_is_a_place() {
        let turns = Turns::new(0);
        let place = at_once(&turns, "one");
        assert!(place.is_some() && at_once(&turns, "two").is_none());
        drop(place);
        assert!(at_once(&turns, "two").is_some());
    }

    #[tokio::test]
    async fn what_is_free_goes_to_one_team_after_the_other() {
        let turns = Turns::new(1);
        let place = turns.place("one").await;
        let (told, mut came) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = tokio::task::JoinSet::new();
        for team in ["one", "one", "one", "two", "three"] {
            let (turns, told) = (turns.clone(), told.clone());
            tasks.spawn(async move {
                let place = turns.place(team).await;
                told.send(team).unwrap();
                drop(place);
            });
            tokio::task::yield_now().await;
        }
        drop((place, told));
        let mut order = Vec::new();
        while let Some(team) = came.recv().await {
            order.push(team);
        }
        assert_eq!(order, ["one", "two", "three", "one", "one"]);
    }

    #[test]
    fn one_that_no_longer_waits_takes_nothing() {
        for given_first in [false, true] {
            let turns = Turns::new(1);
            let place = at_once(&turns, "one");
            let mut waits = Box::pin(turns.place("one"));
            assert!((&mut waits).now_or_never().is_none());
            if given_first {
                drop(place);
                drop(waits);
            } else {
                drop(waits);
                drop(place);
            }
            assert!(at_once(&turns, "two").is_some());
            let state = locked(&turns.0);
            assert_eq!((state.free, state.teams.len()), (1, 0));
        }
    }
}
