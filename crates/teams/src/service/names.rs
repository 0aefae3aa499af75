//! Which names and groups are a team's alone.

use std::time::Duration;

use jiff::Timestamp;
use kernel::{Change, Error, Problem, Record, Resource, Result, Transient};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Teams;
use crate::{
    model::{Namespace, Team, TeamSpec},
    port::Role,
};

/// How long it is remembered for whom a group was asked last: until every replica knows the team.
const REMEMBERED: Duration = Duration::from_mins(1);

/// For whom a group was asked last. Who gives a group to a team writes this over what they have read: of
/// two who do at once, one does.
#[derive(Debug, Serialize, Deserialize)]
struct GroupClaim {
    team: String,
}

impl Transient for GroupClaim {
    const KIND: &'static str = "team-group";
}

/// A group as it is about to be given to a team.
pub(crate) struct Claiming {
    record: Record<GroupClaim>,
    /// The other team whose it is.
    pub(crate) other: Option<String>,
}

impl Claiming {
    /// Gives the group to the team with `change`, or not at all.
    pub(crate) fn write(&self, change: &mut Change) -> Result<()> {
        change.keep(&self.record)
    }
}

impl Teams {
    /// Begins to give `group` to the team `name`: to be written with what depends on it.
    pub(crate) async fn claim_group(&self, name: &str, group: &str) -> Result<Claiming> {
        let digest = kernel::bytes::hex(&Sha256::digest(group.as_bytes()));
        // Read first: what is committed from here on makes the write fail.
        let before = self.store.record::<GroupClaim>(&digest).await?;
        self.registry.current().await?;
        let mut others = self.registry.of_group(group);
        others.retain(|other| other != name);
        let mut other = others.pop();
        if let Some(before) = &before
            && other.is_none()
            && before.value.team != name
        {
            // Another replica may have made that team a moment ago.
            let last = self.store.get::<Team>("", &before.value.team).await?;
            let has_it =
                |team: &Resource<Team>| team.spec.is_registered() && team.spec.group == group;
            other = last.filter(has_it).map(|team| team.meta.name);
        }
        let expires = Timestamp::now()
            .checked_add(REMEMBERED)
            .map_err(|error| Error::internal("the clock is at its end", error))?;
        let claim = GroupClaim { team: name.into() };
        let mut record = Record::new(digest, expires, claim);
        record.version = before.map_or(0, |before| before.version);
        Ok(Claiming { record, other })
    }

    /// Of the standard namespaces that the team `name` does not have yet: those whose names are somebody
    /// else's.
    pub(super) async fn wrong_names(&self, name: &str, spec: &TeamSpec) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (index, role) in spec.environments.iter().enumerate() {
            let namespace = format!("{name}-{role}");
            if self
                .store
                .get::<Namespace>(name, &namespace)
                .await?
                .is_some()
            {
                continue;
            }
            if let Some((why, remedy)) = self.taken(name, &namespace).await? {
                let path = format!("environments[{index}]");
                let remedy = format!("{remedy}, or leave `{role}` out");
                problems.push(Problem::new("team/name-taken", path, why).remedy(remedy));
            }
        }
        Ok(problems)
    }

    /// Refuses a namespace of the team `name` whose name is somebody else's.
    pub(super) async fn refuse_taken(&self, name: &str, namespace: &str) -> Result<()> {
        match self.taken(name, namespace).await? {
            Some((why, remedy)) => Err(Error::conflict(why).remedy(remedy)),
            None => Ok(()),
        }
    }

    async fn roles(&self) -> Result<Vec<Role>> {
        let mut known = Vec::new();
        for belongings in &self.ports.belongings {
            known.extend(belongings.roles().await?.into_iter().flatten());
        }
        Ok(known)
    }

    /// The roles of which a new team has a namespace where nothing is said, the usual ones first.
    pub(super) async fn standard_roles(&self) -> Result<Vec<String>> {
        let usual = TeamSpec::default_environments();
        let known = self.roles().await?;
        if known.is_empty() {
            return Ok(usual);
        }
        let standard = known.into_iter().filter(|role| role.standard);
        let mut names: Vec<String> = standard.map(|role| role.name).collect();
        names.sort_by_key(|name| {
            let place = usual.iter().position(|one| one == name);
            (place.unwrap_or(usual.len()), name.clone())
        });
        Ok(names)
    }

    /// Refuses roles that there are not: what has one of them would be waited for in vain.
    pub(super) async fn refuse_unknown_roles(&self, field: &str, roles: &[String]) -> Result<()> {
        let known = self.roles().await?.into_iter();
        let known: Vec<String> = known.map(|role| role.name).collect();
        if known.is_empty() {
            return Ok(());
        }
        let unknown = roles.iter().filter(|role| !known.contains(role));
        let problems: Vec<_> = unknown
            .map(|role| {
                let why = format!("there is no environment role `{}`", role.escape_debug());
                Problem::new("team/role", field, why)
                    .remedy(format!("name one of {}", known.join(", ")))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::problems(
            "namespaces have environments of roles that there are",
            problems,
        ))
    }

    /// Why the team `name` cannot have a namespace of this name, and what to do. Whose it is, is not said:
    /// who asks may not know of them.
    async fn taken(&self, name: &str, namespace: &str) -> Result<Option<(String, String)>> {
        if let Some(other) = self.registry.longest_named(namespace)
            && other.len() > name.len()
        {
            return Ok(Some((
                format!(
                    "`{namespace}` is not to be had: names that begin with `{other}-` are another team's"
                ),
                "choose another name".into(),
            )));
        }
        for belongings in &self.ports.belongings {
            let holder = belongings.holder(namespace).await?;
            if holder.is_some_and(|holder| holder != name) {
                return Ok(Some((
                    format!("the name `{namespace}` is taken by an environment of somebody else"),
                    format!("have a platform engineer remove environment `{namespace}`"),
                )));
            }
        }
        // A team with a shorter name may have made it before.
        for (at, _) in namespace.match_indices('-') {
            let shorter = &namespace[..at];
            let found = self.store.get::<Namespace>(shorter, namespace).await?;
            if shorter != name && found.is_some() {
                return Ok(Some((
                    format!("the name `{namespace}` is that of a namespace of somebody else"),
                    format!("have a platform engineer remove namespace `{namespace}`"),
                )));
            }
        }
        Ok(None)
    }
}
