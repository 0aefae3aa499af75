//! Who is in a group that the local source keeps.

use std::collections::BTreeMap;

use kernel::{Caller, Error, Resource, Result, anew};

use super::{Identity, Whom, access::of_platform};
use crate::model::{LocalGroup, LocalGroupSpec, LocalUser, parse_local_id};

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

    /// Makes a group of the local source with those of `people` that there are, where there is none: each is
    /// the part of a subject after the source, so that nobody stands for who had their name before. Answers
    /// whether it made it.
    pub async fn group_ensure(
        &self,
        caller: &Caller,
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
            // Where somebody has made it in between, it is theirs.
            match self.group_put(caller, name, spec, Some(0)).await {
                Err(error) if error.kind == kernel::ErrorKind::Conflict => Ok(false),
                made => made.map(|_| true),
            }
        })
        .await
    }

    /// The user with this part of a subject after the source.
    async fn local_user(&self, id: &str) -> Result<Option<Resource<LocalUser>>> {
        let Some((name, before)) = parse_local_id(id) else {
            return Ok(None);
        };
        let user = self.store.get::<LocalUser>("", name).await?;
        Ok(user.filter(|user| user.status.before == before))
    }

    /// Takes a user into a group, or out of it, from the next call on. Again is the same as once. Answers
    /// whether that changed anything.
    pub async fn group_member(
        &self,
        caller: &Caller,
        name: &str,
        user: &str,
        belongs: bool,
    ) -> Result<bool> {
        self.may_change(caller, &of_platform::<LocalGroup>(name))
            .await?;
        anew(|| async {
            let Some(group) = self.store.get::<LocalGroup>("", name).await? else {
                return if belongs {
                    Err(Error::not_found(format!("group `{name}`")))
                } else {
                    Ok(false)
                };
            };
            let Resource { meta, mut spec, .. } = group;
            if spec.members.iter().any(|member| member == user) == belongs {
                return Ok(false);
            }
            if belongs {
                spec.members.push(user.to_owned());
            } else {
                spec.members.retain(|member| member != user);
            }
            self.group_put(caller, name, spec, Some(meta.revision))
                .await?;
            self.view.current().await?;
            Ok(true)
        })
        .await
    }
}
