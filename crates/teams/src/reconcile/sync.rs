//! `team.sync`: on each change of a team or of who is in it, and again and again.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use kernel::{Change, Name, Resource};
use sha2::{Digest as _, Sha256};

use super::Pass;
use crate::{
    model::{Condition, Synced, Team, Truth},
    port::Group,
    service::change::sync_event,
};

/// What the local source says of a team's group.
pub(super) struct Found {
    /// Digest of who is in it; empty where nobody can say.
    members: String,
    /// Who is in it, by subject; none where nobody can say.
    pub(super) subjects: Option<BTreeSet<String>>,
    state: State,
}

enum State {
    /// The local source has it.
    Here,
    /// It had it, and has it no longer.
    Gone,
    /// It does not have it: others may.
    Elsewhere,
    /// It does not have it, and there is no other source that might.
    Nowhere,
    /// It could not be asked.
    Away(String),
}

impl Found {
    /// What was told of a team that nobody is in any more.
    pub(super) fn nobody(generation: i64, at: Timestamp) -> Synced {
        Synced {
            at,
            generation,
            members: String::new(),
        }
    }

    pub(super) fn condition(&self, team: &Resource<Team>) -> Condition {
        let (name, group) = (&team.meta.name, &team.spec.group);
        let (status, message) = match &self.state {
            State::Here => (
                Truth::True,
                format!("the local source has the group `{group}`"),
            ),
            State::Gone => (
                Truth::False,
                format!(
                    "the source has no group `{group}` any more: it was renamed or removed there. \
                     Nobody has the team's rights until `spec.group` names another; nothing is removed"
                ),
            ),
            State::Elsewhere => (
                Truth::Unknown,
                format!(
                    "the group `{group}` is another source's, which says who is in it when they log in"
                ),
            ),
            State::Nowhere if Name::new(group.as_str()).is_ok() => (
                Truth::False,
                format!(
                    "no source has the group `{group}`: name a lead who is a user, `towpath team change {name} \
                     --lead local:NAME`, and it is made with them"
                ),
            ),
            State::Nowhere => (
                Truth::False,
                format!(
                    "no source has the group `{group}`: name another, `towpath team change {name} --group GROUP`, \
                     or have a platform engineer make the upstream whose it is"
                ),
            ),
            State::Away(why) => (Truth::Unknown, why.clone()),
        };
        Condition::new(Condition::GROUP, status, message)
    }

    /// Why it could not be asked, where it could not.
    pub(super) fn away(&self) -> Option<&str> {
        match &self.state {
            State::Away(why) => Some(why),
            _ => None,
        }
    }
}

impl Pass<'_> {
    /// Asks the local source for the team's group, and has it have the group in the beginning, where
    /// the leads are its own people.
    pub(super) async fn look_at_group(&mut self) -> Found {
        let local = self.teams.ports().local.clone();
        let spec = &self.team.spec;
        let elsewhere = |state| Found {
            members: String::new(),
            subjects: None,
            state,
        };
        let counts = spec.counts(local.name());
        if !counts {
            return elsewhere(State::Elsewhere);
        }
        let seen_before = self
            .team
            .status
            .group_seen_at
            .iter()
            .any(|place| *place == seen(local.name(), &spec.group));
        if !seen_before
            && let Err(error) = self
                .teams
                .ensure_group(&self.caller, self.name(), spec)
                .await
        {
            return elsewhere(State::Away(error.message));
        }
        match local.group(&spec.group, None).await {
            Ok(Group::Found(members) | Group::Seen { members, .. }) => {
                let mut digest = Sha256::new();
                for member in &members {
                    digest.update(member.subject.as_bytes());
                    digest.update([0]);
                }
                let digest = digest.finalize();
                let place = seen(local.name(), &spec.group);
                if !seen_before {
                    self.team.status.group_seen_at = vec![place];
                }
                Found {
                    subjects: Some(members.iter().map(|one| one.subject.clone()).collect()),
                    members: kernel::bytes::hex(&digest[..8]),
                    state: State::Here,
                }
            }
            Ok(Group::Missing) if seen_before => elsewhere(State::Gone),
            Ok(Group::Missing) => {
                let upstreams = self.teams.ports().upstreams.sources(None).await;
                elsewhere(match upstreams {
                    Ok(all) if !all.iter().any(|one| spec.counts(one.name())) => State::Nowhere,
                    _ => State::Elsewhere,
                })
            }
            Err(error) => elsewhere(State::Away(error.message)),
        }
    }

    /// Adds `team.sync` to `change` where something has changed since the last one, or it was long ago;
    /// answers how long until the next.
    pub(super) fn tell_if_due(&mut self, change: &mut Change, found: &Found) -> Duration {
        let every = self.spread(self.teams.settings().sync_every);
        let now = self.teams.settings().clock.now();
        let generation = self.team.meta.generation;
        if let Some(last) = &self.team.status.synced {
            let age = Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
            // A source that cannot be asked says nothing of a change.
            let away = matches!(found.state, State::Away(_));
            let same = last.generation == generation && (away || last.members == found.members);
            let left = every.checked_sub(age).filter(|left| !left.is_zero());
            if let (true, Some(left)) = (same, left) {
                return left;
            }
        }
        change.event(sync_event(&self.team, &self.caller));
        self.team.status.synced = Some(Synced {
            at: now,
            generation,
            members: found.members.clone(),
        });
        every
    }

    /// `every`, a quarter more or less by the team: a thousand teams that were imported at once are not
    /// told of at once.
    fn spread(&self, every: Duration) -> Duration {
        let byte = self.team.meta.uid.as_bytes()[15];
        every.mul_f64(0.75 + f64::from(byte) / 512.0)
    }
}

/// A group of a source, as the status keeps it.
fn seen(source: &str, group: &str) -> String {
    format!("{source}:{group}")
}
