//! Policy, asked again: once for all lanes of a team, and beside the thread that passes events on.
//!
//! A rule that takes too long holds up whoever waits for it, for as long as it may take: that is to be none but
//! those whose events it is about, however many subscriptions a team has.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use kernel::{Error, Event, Guard, Turns};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::locked;
use crate::service::access;

/// Questions that are being decided at once: one of each team, which has its turn after the others.
const AT_ONCE: usize = 2;
/// Answers that are kept. Beyond that all go, and lanes ask for themselves.
const ANSWERS: usize = 1000;

/// What was answered.
pub(super) struct Asked {
    /// By team.
    turns: Turns<String>,
    places: Arc<Semaphore>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    /// How many there have been.
    count: u64,
    /// By team and place in the log, with its number.
    last: HashMap<(String, i64), Answer>,
}

/// An answer, as one lane has it.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    /// Counts up with each that is given to anybody.
    pub(super) number: u64,
    /// Whether those of the team may see the event; none where that is not decided.
    pub(super) sees: Option<bool>,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            turns: Turns::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            answers: Mutex::default(),
        }
    }
}

impl Asked {
    /// The number of the last answer to anybody: later ones are news.
    pub(super) fn number(&self) -> u64 {
        locked(&self.answers).count
    }

    /// Whether the subscriptions of `team` may see `event`: what another lane was answered since the answer with
    /// the number `known`, else what policy says now.
    pub(super) async fn sees(&self, guard: &Guard, team: &str, event: Event, known: u64) -> Answer {
        let key = (team.to_owned(), event.seq);
        let turn = self.turns.of(&key.0).await;
        if let Some(answer) = self.since(&key, known) {
            return answer;
        }
        // Never closed.
        let place = self.places.clone().acquire_owned().await;
        let (guard, owner, seq) = (guard.clone(), key.0.clone(), event.seq);
        let deciding = spawn_blocking(move || {
            let sees = access::sees(&guard, &owner, &event);
            // Not before, also where the lane has ended meanwhile.
            drop(place);
            (turn, sees)
        });
        let (_turn, sees) = match deciding.await {
            Ok((turn, sees)) => (Some(turn), sees),
            Err(error) => (None, Err(Error::internal("policy was not asked", error))),
        };
        if let Err(error) = &sees {
            tracing::warn!(
                error = error.chain(),
                seq,
                team,
                "an event is held: who may see it could not be decided"
            );
        }
        self.keep(key, sees.ok())
    }

    fn since(&self, key: &(String, i64), known: u64) -> Option<Answer> {
        let answers = locked(&self.answers);
        let answer = answers.last.get(key).copied();
        answer.filter(|answer| answer.number > known)
    }

    fn keep(&self, key: (String, i64), sees: Option<bool>) -> Answer {
        let mut answers = locked(&self.answers);
        answers.count += 1;
        let answer = Answer {
            number: answers.count,
            sees,
        };
        if answers.last.len() >= ANSWERS {
            answers.last.clear();
        }
        answers.last.insert(key, answer);
        answer
    }
}
