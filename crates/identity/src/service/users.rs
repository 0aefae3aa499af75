//! The local source's users and groups.

use kernel::{Caller, Change, Error, Name, NewEvent, Outcome, Resource, Result, Secret, anew};
use serde_json::json;

use super::{Identity, access::of_platform};
use crate::{
    model::{
        LocalGroup, LocalGroupSpec, LocalUser, LocalUserSpec, UserName, UserNameSpec, local_id,
        may_be_issued,
    },
    source::local::{LOCAL, PASSWORD},
};

/// Who a user is, in tokens and everywhere else.
pub(super) fn subject(user: &Resource<LocalUser>) -> String {
    format!("{LOCAL}:{}", local_id(&user.meta.name, user.status.before))
}

/// A group that is yet to be written; with the team that it is made for, if it is one's.
pub(super) fn group_new(name: &str, team: Option<&str>) -> Resource<LocalGroup> {
    let mut new = Resource::<LocalGroup>::new("", name, LocalGroupSpec::default());
    if let Some(team) = team {
        let labels = &mut new.meta.labels;
        labels.insert(LocalGroup::MADE_FOR.into(), team.into());
    }
    new
}

impl Identity {
    /// Makes a user, or writes what one should be. A password that is given replaces the one before,
    /// and ends the sessions that were begun with it, as disabling the user does.
    pub async fn user_put(
        &self,
        caller: &Caller,
        name: &str,
        spec: LocalUserSpec,
        password: Option<Secret>,
        revision: Option<i64>,
    ) -> Result<Resource<LocalUser>> {
        self.may_change(caller, &of_platform::<LocalUser>(name))
            .await?;
        let name = Name::new(name)?;
        let hash = match &password {
            Some(password) => Some(self.local.hash(password).await?),
            None => None,
        };
        anew(|| self.user_put_once(caller, &name, spec.clone(), hash.clone(), revision)).await
    }

    async fn user_put_once(
        &self,
        caller: &Caller,
        name: &Name,
        spec: LocalUserSpec,
        hash: Option<Secret>,
        revision: Option<i64>,
    ) -> Result<Resource<LocalUser>> {
        let mut change = Change::new().by(caller);
        let before = self.store.get::<LocalUser>("", name.as_str()).await?;
        let is_new = before.is_none();
        let mut user =
            before.unwrap_or_else(|| Resource::new("", name.as_str(), LocalUserSpec::default()));
        user.meta.require_revision(revision)?;
        user.spec = spec;
        user.status.has_password |= hash.is_some();
        let ends_logins = !is_new && (hash.is_some() || user.spec.disabled);
        if is_new {
            user.status.before = self.name_taken(&mut change, name.as_str()).await?;
        }
        // Those in browsers, codes and devices are over, too.
        user.status.logins += u64::from(ends_logins);
        change.put(&user)?;
        if ends_logins {
            let reason = if user.spec.disabled {
                "disabled"
            } else {
                "password changed"
            };
            self.sessions_end(&mut change, caller, &subject(&user), reason)
                .await?;
        }
        if let Some(hash) = hash {
            change.seal(user.meta.uid, PASSWORD, hash);
        }
        change.event(NewEvent::caused(
            if is_new {
                "user.created"
            } else {
                "user.changed"
            },
            user.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({ "disabled": user.spec.disabled }),
        ));
        self.store.commit(change).await?.resource(&user.key())
    }

    /// Writes down that one more is called so; gives how many were before.
    async fn name_taken(&self, change: &mut Change, name: &str) -> Result<u64> {
        let known = self.store.get::<UserName>("", name).await?;
        let before = known.as_ref().map_or(0, |known| known.spec.users);
        let users = before + 1;
        match known {
            Some(mut known) => {
                known.spec.users = users;
                change.spec(&known)?;
            }
            None => change.create(&Resource::<UserName>::new("", name, UserNameSpec { users }))?,
        }
        Ok(before)
    }

    /// Removes a user: every session ends, and every group is without them.
    pub async fn user_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_platform::<LocalUser>(name))
            .await?;
        anew(|| self.user_delete_once(caller, name, revision)).await
    }

    async fn user_delete_once(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        let user = self.store.expect::<LocalUser>("", name).await?;
        user.meta.require_revision(revision)?;
        let mut change = Change::new().by(caller);
        change.remove(&user)?;
        for mut group in self
            .store
            .list_all::<LocalGroup>(&kernel::Query::default())
            .await?
        {
            let before = group.spec.members.len();
            group.spec.members.retain(|member| member != name);
            if group.spec.members.len() < before {
                change.spec(&group)?;
            }
        }
        self.sessions_end(&mut change, caller, &subject(&user), "removed")
            .await?;
        if self.store.get::<UserName>("", name).await?.is_none() {
            // Of one who was made before names were written down.
            let users = user.status.before + 1;
            change.create(&Resource::<UserName>::new("", name, UserNameSpec { users }))?;
        }
        change.event(NewEvent::caused(
            "user.removed",
            user.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({}),
        ));
        self.store.commit(change).await?;
        Ok(())
    }

    /// Makes a group, or writes who belongs to it. Whoever is no longer in it is refused from the
    /// next call on.
    pub async fn group_put(
        &self,
        caller: &Caller,
        name: &str,
        spec: LocalGroupSpec,
        revision: Option<i64>,
    ) -> Result<Resource<LocalGroup>> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        let name = Name::new(name)?;
        if !may_be_issued(name.as_str()) {
            return Err(Error::invalid(format!("a group cannot be called `{name}`")));
        }
        anew(|| async {
            let group = self.store.get::<LocalGroup>("", name.as_str()).await?;
            let group = group.unwrap_or_else(|| group_new(name.as_str(), None));
            group.meta.require_revision(revision)?;
            let mut change = Change::new().by(caller);
            let key = group.key();
            self.group_into(&mut change, caller, group, spec.clone())
                .await?;
            self.store.commit(change).await?.resource(&key)
        })
        .await
    }

    /// Writes into `change` that `group`, as it was read or as one that is made, becomes this.
    pub(super) async fn group_into(
        &self,
        change: &mut Change,
        caller: &Caller,
        mut group: Resource<LocalGroup>,
        mut spec: LocalGroupSpec,
    ) -> Result<()> {
        spec.members.sort();
        spec.members.dedup();
        let known = &group.spec.members;
        for member in spec.members.iter().filter(|member| !known.contains(member)) {
            // Required, so that a user who is removed at this moment is in no group.
            let user = self
                .store
                .get::<LocalUser>("", member)
                .await?
                .ok_or_else(|| {
                    Error::invalid(format!("there is no user `{member}`"))
                        .remedy(format!(
                            "name one that there is, or have a platform engineer make the user: `towpath user set {member}`"
                        ))
                })?;
            change.require(&user)?;
        }
        group.spec = spec;
        change.put(&group)?;
        change.event(NewEvent::caused(
            "group.changed",
            group.key(),
            &group.meta.name,
            caller,
            Some(Outcome::Pass),
            json!({ "members": group.spec.members.len() }),
        ));
        Ok(())
    }

    /// Removes a group; one that is a team's only where `confirm` is its name once more.
    pub async fn group_delete(
        &self,
        caller: &Caller,
        name: &str,
        confirm: Option<&str>,
        revision: Option<i64>,
    ) -> Result<()> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            let group = self.store.expect::<LocalGroup>("", name).await?;
            group.meta.require_revision(revision)?;
            self.require_confirmed(&group, confirm).await?;
            self.group_remove(caller, &group).await
        })
        .await
    }

    /// Removes a group that is as it was read.
    pub(super) async fn group_remove(
        &self,
        caller: &Caller,
        group: &Resource<LocalGroup>,
    ) -> Result<()> {
        let mut change = Change::new().by(caller);
        change.remove(group)?;
        change.event(NewEvent::caused(
            "group.removed",
            group.key(),
            &group.meta.name,
            caller,
            Some(Outcome::Pass),
            json!({}),
        ));
        self.store.commit(change).await?;
        Ok(())
    }
}
