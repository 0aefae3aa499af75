//! What is left of a team that is a customer no longer: its environments, which end with it.

use std::collections::BTreeSet;

use kernel::{Caller, Change, Key, Kind, NewEvent, Query, Result};
use serde_json::json;
use teams::model::Namespace;

use super::Delivery;
use crate::model::Environment;

impl Delivery {
    /// Asks for the end of all environments of `team` that back no namespace, with what is in them; of
    /// those whose role is protected where that is said. Says what is left, why, and whether it stays.
    pub async fn team_remove(
        &self,
        caller: &Caller,
        team: &str,
        protected: bool,
    ) -> Result<Vec<(String, bool)>> {
        let namespaces = self.store.keys(Namespace::KIND, Some(team)).await?;
        let backing: BTreeSet<Key> = namespaces
            .into_iter()
            .map(|key| Key::of::<Environment>("", key.name))
            .collect();
        let all = self
            .store
            .list_all::<Environment>(&Query::default())
            .await?;
        let mut left = Vec::new();
        for environment in all {
            if environment.spec.team != team || backing.contains(&environment.key()) {
                continue;
            }
            let name = environment.meta.name.clone();
            if environment.is_deleting() {
                let waits = environment.status.remaining.join(", ");
                left.push((
                    format!("environment {name} is being removed: {waits}"),
                    false,
                ));
                continue;
            }
            let role = environment.spec.role.clone();
            let place = self.place(environment.clone()).await?;
            if place.is_protected() && !protected {
                left.push((
                    format!("environment {name} is kept: its role `{role}` is protected"),
                    true,
                ));
                continue;
            }
            let mut change = Change::new().by(caller);
            change.delete(&environment)?;
            change.event(NewEvent::caused(
                "environment.deletion-requested",
                environment.key(),
                team,
                caller,
                None,
                json!({ "withData": true, "because": format!("team {team} was offboarded") }),
            ));
            self.store.commit(change).await?;
            left.push((format!("environment {name} is being removed"), false));
        }
        Ok(left)
    }
}
