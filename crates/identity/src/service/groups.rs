//! Who is in a group that the local source keeps.

use std::collections::BTreeMap;

use kernel::{Caller, Change, Error, Name, Resource, Result, anew};

use super::{
    Identity, Whom,
    access::of_platform,
    users::{group_new, subject},
};
use crate::{
    model::{LocalGroup, LocalGroupSpec, LocalUser, may_be_issued, parse_local_id},
    source::local::LOCAL,
};

impl Identity {
    /// The members of a group of the local source, by subject; none where there is no such group.
    pub async fn group_members(&self, name: &str) -> Result<Option<BTreeMap<String, Whom>>> {
        let Some(group) = self.store.get::<LocalGroup>("", name).await? else {
            return Ok(None);
        };
        self.view.current().await?;
        let known = self.view.known();
        let member = |name: String| {
            let email = known.local_email(&name);
            Some((known.local_subject(&name)?, Whom { name, email }))
        };
        Ok(Some(
            group.spec.members.into_iter().filter_map(member).collect(),
        ))
    }

    /// Makes a group of the local source for `team` with those of `people` that there are, where there is
    /// none: each is the part of a subject after the source, so that nobody stands for who had their name
    /// before. Answers whether it made it.
    pub async fn group_ensure(
        &self,
        caller: &Caller,
        team: &str,
        name: &str,
        people: &[String],
    ) -> Result<bool> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            if self.store.get::<LocalGroup>("", name).await?.is_some() {
                return Ok(false);
            }
            let mut members = Vec::new();
            for person in people {
                if let Some(user) = self.local_user(person).await? {
                    members.push(user.meta.name);
                }
            }
            let spec = LocalGroupSpec {
                members,
                ..LocalGroupSpec::default()
            };
            let mut change = Change::new().by(caller);
            let group = group_new(&issuable_name(name)?, Some(team));
            self.group_into(&mut change, caller, group, spec).await?;
            // Where somebody has made it in between, it is theirs: the next look finds it.
            self.store.commit(change).await?;
            Ok(true)
        })
        .await
    }

    /// Removes a group of the local source, where it was made for `team`: one that people have made stays.
    pub async fn group_end(&self, caller: &Caller, team: &str, name: &str) -> Result<()> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            let group = self.store.get::<LocalGroup>("", name).await?;
            let label =
                |group: &Resource<LocalGroup>| group.meta.labels.get(LocalGroup::MADE_FOR).cloned();
            match group.filter(|group| label(group).as_deref() == Some(team)) {
                Some(group) => self.group_remove(caller, &group).await,
                None => Ok(()),
            }
        })
        .await
    }

    /// Whether there is a user with this part of a subject after the source.
    pub async fn user_known(&self, id: &str) -> Result<bool> {
        Ok(self.local_user(id).await?.is_some())
    }

    /// The user with this part of a subject after the source.
    async fn local_user(&self, id: &str) -> Result<Option<Resource<LocalUser>>> {
        let Some((name, before)) = parse_local_id(id) else {
            return Ok(None);
        };
        let user = self.store.get::<LocalUser>("", name).await?;
        Ok(user.filter(|user| user.status.before == before))
    }

    /// Who is meant by `who`: a subject (`local:ada.2`) and the part of it after the source (`ada.2`) are one
    /// person's for ever, a name is whose it is now.
    async fn user_meant(&self, who: &str) -> Result<Option<Resource<LocalUser>>> {
        match who.split_once(':') {
            Some((LOCAL, id)) => self.local_user(id).await,
            Some(_) => Ok(None),
            None if who.contains('.') => self.local_user(who).await,
            None => self.store.get("", who).await,
        }
    }

    /// That nobody is meant by `who`, and who has that name by now.
    async fn nobody(&self, who: &str) -> Result<Error> {
        let error = Error::invalid(format!("there is no user `{who}`"));
        let id = who.strip_prefix(&format!("{LOCAL}:")).unwrap_or(who);
        let name = id.split('.').next().unwrap_or_default();
        let now = self.store.get::<LocalUser>("", name).await?;
        Ok(error.remedy(match now {
            Some(now) => format!(
                "`{name}` is somebody else by now: `{}`",
                subject(&now)
            ),
            None => format!(
                "name one that there is, or have a platform engineer make the user: `towpath user set {name}`"
            ),
        }))
    }

    /// Takes a user into a group, which is made where it is not there: the one user alone, whoever else is taken
    /// into it or out of it at this moment. `who` is a subject, the part of it after the source, or a name.
    pub async fn group_member_put(&self, caller: &Caller, name: &str, who: &str) -> Result<()> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let added = self
                .group_member_add(&mut change, caller, None, name, who)
                .await?;
            if added.is_some() {
                self.store.commit(change).await?;
            }
            Ok(())
        })
        .await
    }

    /// Takes a user out of a group: what they had by it ends at once.
    pub async fn group_member_delete(&self, caller: &Caller, name: &str, who: &str) -> Result<()> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            let mut change = Change::new().by(caller);
            let removed = self
                .group_member_remove(&mut change, caller, name, who)
                .await?;
            if removed.is_none() {
                return Err(Error::not_found(format!("`{who}` in group `{name}`"))
                    .remedy("see who is: `towpath group list`"));
            }
            self.store.commit(change).await.map(drop)
        })
        .await
    }

    /// Writes into `change` that `caller` takes a user into a group, from the next call on; the group is made
    /// where it is not there, for `team` where it is one's. `who` is a subject, the part of it after the source, or
    /// a name. Answers their subject; none where that changes nothing.
    ///
    /// Asks not whether `caller` may: whose group it is, whoever calls this knows.
    pub async fn group_member_add(
        &self,
        change: &mut Change,
        caller: &Caller,
        team: Option<&str>,
        name: &str,
        who: &str,
    ) -> Result<Option<String>> {
        let Some(user) = self.user_meant(who).await? else {
            return Err(self.nobody(who).await?);
        };
        let group = match self.store.get::<LocalGroup>("", name).await? {
            Some(group) => group,
            None => group_new(&issuable_name(name)?, team),
        };
        let mut spec = group.spec.clone();
        if spec.members.contains(&user.meta.name) {
            return Ok(None);
        }
        spec.members.push(user.meta.name.clone());
        change.require(&user)?;
        self.group_into(change, caller, group, spec).await?;
        Ok(Some(subject(&user)))
    }

    /// Writes into `change` that `caller` takes a user out of a group, from the next call on. Answers their
    /// subject; none where they are not in it. Asks not whether `caller` may, either.
    pub async fn group_member_remove(
        &self,
        change: &mut Change,
        caller: &Caller,
        name: &str,
        who: &str,
    ) -> Result<Option<String>> {
        let Some(user) = self.user_meant(who).await? else {
            return Ok(None);
        };
        let Some(group) = self.store.get::<LocalGroup>("", name).await? else {
            return Ok(None);
        };
        let mut spec = group.spec.clone();
        spec.members.retain(|member| *member != user.meta.name);
        if spec.members.len() == group.spec.members.len() {
            return Ok(None);
        }
        // Their name may become somebody else's in between.
        change.require(&user)?;
        self.group_into(change, caller, group, spec).await?;
        Ok(Some(subject(&user)))
    }
}

/// The name of a group that there may be.
pub(super) fn issuable_name(name: &str) -> Result<String> {
    let name = Name::new(name)?;
    if !may_be_issued(name.as_str()) {
        return Err(Error::invalid(format!("a group cannot be called `{name}`")));
    }
    Ok(name.to_string())
}
