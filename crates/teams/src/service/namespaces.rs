//! A team's namespaces: those that it asks for, within its allowance, and their quotas.

mod fields;

use kernel::{
    Caller, Change, Error, ErrorKind, Key, Name, NewEvent, Outcome, Problem, Query, Resource,
    Result, anew,
};
use serde_json::json;

use self::fields::{fill, says_other_amounts};
use super::{
    Teams,
    access::{
        NAMESPACE_CHANGE, NAMESPACE_CREATE, NAMESPACE_DELETE, NAMESPACE_QUOTA, TEAM_UNPROTECT,
        of_namespace, of_team,
    },
    differences::differences,
    offboard::{Goes, unconfirmed},
};
use crate::{
    api::{NamespaceFields, NewNamespace},
    model::{Namespace, NamespaceSpec, Taken, Team},
};

/// The role of what backs a namespace where nothing is said.
const DEFAULT_ROLE: &str = "dev";

/// A team with its namespaces, as they are read and as they will be.
pub(super) struct Rooms {
    pub(super) team: Resource<Team>,
    pub(super) namespaces: Vec<Resource<Namespace>>,
    /// Whether the team itself is written by the same change.
    is_written: bool,
    /// Whether it is made by that: whoever may make the team may make what it begins with.
    is_made: bool,
}

impl Rooms {
    /// Whether they are those of `team`, which is made by the same change.
    pub(super) fn are_made_with(&self, team: &str) -> bool {
        self.is_made && self.team.meta.name == team
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.namespaces.iter().position(|one| one.meta.name == name)
    }

    /// What they take of the allowance. Those that are going no longer do; standard ones that are yet to be
    /// made do already.
    fn taken(&self) -> Taken {
        let (team, roles) = (&self.team.meta.name, &self.team.spec.environments);
        let missing = roles
            .iter()
            .filter(|role| self.position(&format!("{team}-{role}")).is_none());
        let yet_to_be: Vec<_> = missing
            .map(|role| NamespaceSpec {
                role: role.clone(),
                standard: true,
                ..NamespaceSpec::default()
            })
            .collect();
        let stay = self.namespaces.iter().filter(|one| !one.is_deleting());
        let all = stay.map(|one| &one.spec);
        Taken::by(roles, all.chain(&yet_to_be))
    }

    /// Refuses other roles of standard namespaces than there are where they take more than the allowance, or
    /// where what was one before is one too many now.
    pub(super) fn refuse_environments(mut self, environments: &[String]) -> Result<()> {
        let before = self.taken();
        let there = std::mem::replace(&mut self.team.spec.environments, environments.to_vec());
        if environments.iter().all(|role| there.contains(role)) {
            return Ok(());
        }
        let (name, most) = (&self.team.meta.name, self.team.spec.allowance.namespaces);
        let own = self.taken().namespaces;
        if own > most {
            return Err(Error::conflict(format!(
                "team `{name}` would have {own} of {most} namespaces of its own, with those whose role is no \
                 longer in `environments`"
            ))
            .remedy("remove those that are not needed first"));
        }
        self.refuse_beyond(&before)
    }

    /// Writes into `change` what is taken of the allowance now.
    pub(super) fn take(&mut self, change: &mut Change) -> Result<()> {
        if self.is_written {
            // Nobody takes of it beside this: what is taken its reconciler writes down.
            return Ok(());
        }
        let taken = self.taken();
        if self.team.status.taken == taken {
            return change.require(&self.team);
        }
        self.team.status.taken = taken;
        change.status(&self.team)
    }

    /// Refuses what is beyond the allowance, where it is more than was taken before.
    fn refuse_beyond(&self, before: &Taken) -> Result<()> {
        let name = &self.team.meta.name;
        let (taken, most) = (self.taken(), &self.team.spec.allowance);
        let remedy = |what: &str| {
            format!(
                "{what}, or have a platform engineer raise the allowance of team `{name}` (spec.allowance)"
            )
        };
        if taken.namespaces > most.namespaces && taken.namespaces > before.namespaces {
            return Err(Error::conflict(format!(
                "team `{name}` has {} of {} namespaces of its own",
                before.namespaces, most.namespaces
            ))
            .remedy(remedy("remove one that is not needed")));
        }
        let was = before.quota.parts();
        let more = |part: &str| {
            let now = taken.quota.parts().into_iter().find(|one| one.0 == part);
            let then = was.iter().find(|one| one.0 == part);
            now.map(|one| one.1) > then.map(|one| one.1)
        };
        let beyond = taken.quota.beyond(&most.quota).into_iter();
        let problems: Vec<_> = beyond
            .filter(|(part, ..)| more(part))
            .map(|(part, asked, most)| {
                Problem::new(
                    "namespace/allowance",
                    format!("quota.{part}"),
                    format!("the namespaces of team `{name}` would have {asked} of {part} together; its allowance is {most}"),
                )
                .remedy(remedy("lower the quota of this one or another"))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        let mut error = Error::conflict("the team's allowance does not reach that far");
        error.problems = problems;
        Err(error)
    }
}

impl Teams {
    pub(super) async fn rooms(&self, team: &str) -> Result<Rooms> {
        // Whoever may not see it has been refused before.
        let found = self.store.get::<Team>("", team).await?;
        let found = found.filter(|found| found.spec.is_registered());
        Ok(Rooms {
            team: found.ok_or_else(|| {
                Error::conflict(format!("team `{team}` is not registered"))
                    .remedy(format!("onboard it: `towpath team onboard {team}`"))
            })?,
            namespaces: self.store.list_all(&Query::scope(team)).await?,
            is_written: false,
            is_made: false,
        })
    }

    /// The rooms of a team that is in the change already which they are to be written with, and whether it is made
    /// by that.
    pub(super) async fn rooms_of_written(
        &self,
        team: Resource<Team>,
        is_made: bool,
    ) -> Result<Rooms> {
        let query = Query::scope(team.meta.name.as_str());
        Ok(Rooms {
            namespaces: self.store.list_all(&query).await?,
            team,
            is_written: true,
            is_made,
        })
    }

    /// Makes a namespace that a team asks for.
    pub async fn namespace_create(
        &self,
        caller: &Caller,
        team: &str,
        new: NewNamespace,
    ) -> Result<Resource<Namespace>> {
        self.require_create(caller, team, &new, false).await?;
        if let Some(role) = &new.fields.role {
            self.refuse_unknown_roles("role", std::slice::from_ref(role))
                .await?;
        }
        anew(|| async {
            let mut change = Change::new().by(caller);
            let mut rooms = self.rooms(team).await?;
            self.room_create_into(&mut change, caller, &mut rooms, &new)?;
            self.refuse_taken(team, &new.name).await?;
            rooms.take(&mut change)?;
            self.store
                .commit(change)
                .await?
                .resource(&Key::of::<Namespace>(team, &*new.name))
        })
        .await
    }

    /// Refuses who may not make it. `with_team`: the team is made with it, by whoever was granted that.
    pub(super) async fn require_create(
        &self,
        caller: &Caller,
        team: &str,
        new: &NewNamespace,
        with_team: bool,
    ) -> Result<()> {
        let role = new.fields.role.as_deref().unwrap_or(DEFAULT_ROLE);
        let target = of_namespace(team, &new.name, role);
        if !with_team {
            self.require(caller, NAMESPACE_CREATE, &target, team)
                .await?;
        }
        // Another quota than the first is a change of it.
        let first = NamespaceSpec::default();
        if says_other_amounts(&first, &new.fields) {
            self.require(caller, NAMESPACE_QUOTA, &target, team).await?;
        }
        Ok(())
    }

    /// Writes a new namespace into `change`, and among `rooms`.
    pub(super) fn room_create_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        rooms: &mut Rooms,
        new: &NewNamespace,
    ) -> Result<()> {
        let team = rooms.team.meta.name.clone();
        self.check_name(&rooms.team, &new.name)?;
        if rooms.position(&new.name).is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("team `{team}` has a namespace `{}`", new.name),
            ));
        }
        if rooms.team.status.credentials.contains_key(&new.name) {
            return Err(Error::conflict(format!(
                "what deploys to the former namespace `{}` has not ended yet",
                new.name
            ))
            .remedy("try again in a moment"));
        }
        let before = rooms.taken();
        let role = new.fields.role.clone();
        let mut spec = NamespaceSpec {
            role: role.unwrap_or_else(|| DEFAULT_ROLE.into()),
            ..NamespaceSpec::default()
        };
        fill(&mut spec, &new.fields)?;
        let namespace = made(&team, &new.name, spec);
        rooms.namespaces.push(namespace.clone());
        rooms.refuse_beyond(&before)?;
        change.create(&namespace)?;
        change.event(NewEvent::caused(
            "namespace.created",
            namespace.key(),
            &team,
            caller,
            Some(Outcome::Pass),
            json!({ "quota": namespace.spec.quota }),
        ));
        Ok(())
    }

    /// Changes what is said of a namespace, and nothing else.
    pub async fn namespace_change(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        fields: &NamespaceFields,
        revision: Option<i64>,
    ) -> Result<Resource<Namespace>> {
        let target = of_namespace(team, name, "");
        self.require(caller, NAMESPACE_CHANGE, &target, team)
            .await?;
        anew(|| async {
            let mut rooms = self.rooms(team).await?;
            let missing = || <Namespace as kernel::Kind>::not_found(team, name);
            let index = rooms.position(name).ok_or_else(missing)?;
            // Of the namespace as it is written.
            self.require_namespace_change(caller, &rooms.namespaces[index], fields)
                .await?;
            rooms.namespaces[index].meta.require_revision(revision)?;
            let key = rooms.namespaces[index].key();
            let mut change = Change::new().by(caller);
            if !Self::room_change_into(&mut change, caller, &mut rooms, index, fields)? {
                return Ok(rooms.namespaces.swap_remove(index));
            }
            rooms.take(&mut change)?;
            self.store.commit(change).await?.resource(&key)
        })
        .await
    }

    /// Refuses who may not change of the namespace what `fields` says otherwise than it is.
    pub(super) async fn require_namespace_change(
        &self,
        caller: &Caller,
        namespace: &Resource<Namespace>,
        fields: &NamespaceFields,
    ) -> Result<()> {
        let team = namespace.meta.scope.as_str();
        let target = of_namespace(team, &namespace.meta.name, "");
        self.require(caller, NAMESPACE_CHANGE, &target, team)
            .await?;
        if !says_other_amounts(&namespace.spec, fields) {
            return Ok(());
        }
        self.require(caller, NAMESPACE_QUOTA, &target, team).await
    }

    /// Writes into `change` what `fields` changes of a namespace among `rooms`; says whether it does.
    pub(super) fn room_change_into(
        change: &mut Change,
        caller: &Caller,
        rooms: &mut Rooms,
        index: usize,
        fields: &NamespaceFields,
    ) -> Result<bool> {
        let before = rooms.taken();
        let namespace = &mut rooms.namespaces[index];
        if namespace.is_deleting() {
            return Err(Error::conflict(format!(
                "namespace `{}` is being removed",
                namespace.meta.name
            ))
            .remedy("wait until it is gone, then make it anew"));
        }
        let spec = namespace.spec.clone();
        if fields.role.as_ref().is_some_and(|role| *role != spec.role) {
            return Err(Error::conflict(format!(
                "the role of namespace `{}` is `{}`, for as long as it lives",
                namespace.meta.name, spec.role
            ))
            .remedy("leave it as it is, or remove the namespace and make it anew"));
        }
        fill(&mut namespace.spec, fields)?;
        let namespace = namespace.clone();
        if namespace.spec == spec {
            return Ok(false);
        }
        rooms.refuse_beyond(&before)?;
        change.spec(&namespace)?;
        change.event(NewEvent::caused(
            "namespace.changed",
            namespace.key(),
            &namespace.meta.scope,
            caller,
            Some(Outcome::Pass),
            json!({
                "quota": namespace.spec.quota,
                "changed": differences(&spec, &namespace.spec, &[])?,
            }),
        ));
        Ok(true)
    }

    /// Removes a namespace that a team asked for, and all that is in it.
    pub async fn namespace_delete(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        confirm: Option<&str>,
        revision: Option<i64>,
    ) -> Result<Resource<Namespace>> {
        let target = of_namespace(team, name, "");
        self.require(caller, NAMESPACE_DELETE, &target, team)
            .await?;
        anew(|| async {
            let mut rooms = self.rooms(team).await?;
            let missing = || <Namespace as kernel::Kind>::not_found(team, name);
            let index = rooms.position(name).ok_or_else(missing)?;
            let roles = rooms.team.spec.environments.clone();
            let namespace = &mut rooms.namespaces[index];
            // Of the namespace as it is written: it may have been backed since it was looked at.
            let status = &namespace.status;
            let unprotects = status.environment.is_some() && status.protected != Some(false);
            if unprotects {
                self.require(caller, TEAM_UNPROTECT, &of_team(team), team)
                    .await?;
            }
            namespace.meta.require_revision(revision)?;
            if namespace.spec.standard && roles.contains(&namespace.spec.role) {
                return Err(Error::conflict(format!(
                    "`{name}` is one of the standard namespaces of team `{team}`"
                ))
                .remedy("take its role out of the team's `environments` first"));
            }
            if confirm != Some(name) {
                let goes = Goes {
                    data: self.held(team, Some(name)).await?,
                    made: self.made(team, Some(name), true).await?,
                };
                let what = format!("namespace `{name}`");
                return Err(unconfirmed(&what, name, confirm, &goes, None));
            }
            // One that goes, and waits as what backs it is protected, is told that this goes too.
            if namespace.is_deleting() && (!unprotects || namespace.spec.include_protected) {
                return Ok(rooms.namespaces.swap_remove(index));
            }
            let mut change = Change::new().by(caller);
            if unprotects {
                namespace.spec.include_protected = true;
                change.spec(namespace)?;
            }
            change.delete(namespace)?;
            change.event(NewEvent::caused(
                "namespace.deletion-requested",
                namespace.key(),
                team,
                caller,
                None,
                json!({}),
            ));
            namespace.meta.deleting = Some(jiff::Timestamp::now());
            let key = namespace.key();
            rooms.take(&mut change)?;
            self.store.commit(change).await?.resource(&key)
        })
        .await
    }

    /// A namespace that a team asks for bears its name, and no other team's.
    fn check_name(&self, team: &Resource<Team>, name: &str) -> Result<()> {
        Name::new(name)?;
        let own = format!("{}-", team.meta.name);
        let Some(suffix) = name.strip_prefix(&own) else {
            return Err(Error::invalid(format!(
                "the namespaces of team `{}` have names that begin with `{own}`",
                team.meta.name
            ))
            .remedy(format!("call it `{own}{name}`")));
        };
        let is_standard = team.spec.environments.iter().any(|role| role == suffix);
        if is_standard {
            return Err(Error::conflict(format!(
                "`{name}` is one of the team's standard namespaces"
            ))
            .remedy("choose another name"));
        }
        // `a-b-c` is for team `a-b` to have, where there is one.
        let other = self.registry.longest_named(name);
        if let Some(other) = other.filter(|other| other.len() > team.meta.name.len()) {
            return Err(Error::conflict(format!(
                "names that begin with `{other}-` are another team's"
            ))
            .remedy("choose another name"));
        }
        Ok(())
    }
}

/// A namespace of `team` that is yet to be written.
pub(crate) fn made(team: &str, name: &str, spec: NamespaceSpec) -> Resource<Namespace> {
    let mut namespace = Resource::<Namespace>::new(team, name, spec);
    let labels = &mut namespace.meta.labels;
    labels.insert(kernel::Meta::TEAM.into(), team.into());
    namespace
}
