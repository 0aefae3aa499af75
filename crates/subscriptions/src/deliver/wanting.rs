//! Which lanes want an event: by team, then by type.

use std::{collections::HashMap, sync::Arc};

use kernel::Event;

use super::{hub::Hub, lane::Lane};
use crate::{pattern::patterns_of, service::access};

/// A lane that an event is for.
pub(super) struct Wants {
    pub(super) lane: Arc<Lane>,
    /// Whether policy could not say if it may see the event: the lane asks again before it sends anything.
    pub(super) is_undecided: bool,
}

#[derive(Default)]
pub(super) struct Wanting(HashMap<String, HashMap<String, Vec<Arc<Lane>>>>);

impl Wanting {
    pub(super) fn add(&mut self, lane: &Arc<Lane>) {
        let wanting = self.0.entry(lane.team.clone()).or_default();
        for pattern in &lane.config().patterns {
            let wants = wanting.entry(pattern.to_string()).or_default();
            wants.push(lane.clone());
        }
    }

    pub(super) fn remove(&mut self, lane: &Arc<Lane>) {
        let Some(wanting) = self.0.get_mut(&lane.team) else {
            return;
        };
        for pattern in &lane.config().patterns {
            if let Some(wants) = wanting.get_mut(pattern.as_str()) {
                wants.retain(|other| !Arc::ptr_eq(other, lane));
            }
        }
        wanting.retain(|_, wants| !wants.is_empty());
        if wanting.is_empty() {
            self.0.remove(&lane.team);
        }
    }

    /// The teams whose lanes these are; the platform's are the empty one's.
    pub(super) fn teams(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// The lanes that `event` is for. A lane that wants it by two patterns is there twice. Where it could not be
    /// decided whether those of a team may see it, they have it all the same, undecided: it holds up them, and
    /// nobody else.
    pub(super) fn lanes(&self, hub: &Hub, event: &Event) -> Vec<Wants> {
        let mut wanted = Vec::new();
        let mut patterns = Vec::new();
        let mut scopes = vec![""];
        if !event.team.is_empty() {
            scopes.push(&event.team);
        }
        for team in scopes {
            let Some(wanting) = self.0.get(team) else {
                continue;
            };
            if patterns.is_empty() {
                patterns = patterns_of(event);
            }
            let mut found = patterns
                .iter()
                .filter_map(|pattern| wanting.get(pattern))
                .flatten()
                .filter(|lane| !lane.is_about_itself(event) && lane.is_owned(hub))
                .peekable();
            // One question for all of a team.
            if found.peek().is_none() {
                continue;
            }
            let sees = access::sees(hub.service.guard(), team, event);
            let is_undecided = sees.is_err();
            if sees.unwrap_or(true) {
                wanted.extend(found.map(|lane| Wants {
                    lane: lane.clone(),
                    is_undecided,
                }));
            }
        }
        wanted
    }
}
