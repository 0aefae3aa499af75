//! What is left of a team that is a customer no longer: its environments, which end with it.

use std::collections::BTreeSet;

use kernel::{Caller, Change, Key, Kind, NewEvent, Query, Resource, Result};
use serde_json::json;
use teams::model::Namespace;

use super::{Delivery, resources::dump_command};
use crate::model::{DUMPED, Environment};

/// What holds data of a team's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamData {
    /// Where it is.
    pub environment: String,
    /// What it is, in the graph of that environment.
    pub what: String,
    /// The command that keeps a copy of it; none: there is no dump of such a resource.
    pub dump: Option<String>,
    /// Whether the environment is protected.
    pub protected: bool,
}

impl Delivery {
    /// What holds data in the environments of `team`, or where one is named in the one that backs that
    /// namespace. Whoever calls has seen that it may be told.
    pub async fn team_data(&self, team: &str, namespace: Option<&str>) -> Result<Vec<TeamData>> {
        let all = self
            .store
            .list_all::<Environment>(&Query::default())
            .await?;
        let is_meant = |one: &Resource<Environment>| {
            one.spec.team == team && namespace.is_none_or(|name| one.meta.name == name)
        };
        let mut data = Vec::new();
        for environment in all.into_iter().filter(is_meant) {
            let name = environment.meta.name.clone();
            let protected = self.place(environment).await?.is_protected();
            for instance in self.instances(&name).await? {
                if instance.spec.holds_data {
                    data.push(TeamData {
                        environment: name.clone(),
                        what: instance.spec.node.to_string(),
                        dump: DUMPED
                            .contains(&instance.spec.node.resource_type.as_str())
                            .then(|| dump_command(&instance)),
                        protected,
                    });
                }
            }
        }
        Ok(data)
    }

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
