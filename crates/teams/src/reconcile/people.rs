//! What is learnt of one person: told of the teams that it concerns, at once.

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{Caller, Change, Key, Next, Reconciler, Result, reconciler::Context};
use uuid::Uuid;

use crate::{Teams, model::Team, service::change::sync_event};

/// Whose name its events bear: not the name of what tells of teams again and again, for this is news.
const PEOPLE: &str = "people-changes";

/// Tells of the teams of whoever a source says something else of than before: that they are in a group, or out
/// of one. What is missed is made good by the next tick.
pub struct PeopleChanges {
    teams: Arc<Teams>,
    kind: &'static str,
}

impl PeopleChanges {
    /// `kind` is that of the subjects of the events that tell of people.
    pub fn new(teams: Arc<Teams>, kind: &'static str) -> Self {
        Self { teams, kind }
    }
}

#[async_trait]
impl Reconciler for PeopleChanges {
    fn name(&self) -> &'static str {
        PEOPLE
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn reconcile(&self, context: &Context, key: &Key) -> Result<Next> {
        let (teams, caller) = (&self.teams, Caller::system(PEOPLE, Uuid::now_v7()));
        let Some(groups) = teams.ports().upstreams.groups_of(&key.name).await? else {
            return Ok(Next::Idle);
        };
        teams.registry().current().await?;
        for name in teams.registry().of_groups(&groups) {
            let Some(team) = context.store.get::<Team>("", &name).await? else {
                continue;
            };
            let mut change = Change::new().by(&caller).fenced(context.fence.clone());
            change.event(sync_event(&team, &caller));
            context.store.commit(change).await?;
        }
        Ok(Next::Idle)
    }
}
