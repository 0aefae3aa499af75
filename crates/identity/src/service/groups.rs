//! Who is in a group that the local source keeps.

use kernel::{Caller, Error, Resource, Result, anew};

use super::{Identity, authorize_platform};
use crate::model::{LocalGroup, LocalGroupSpec, LocalUser};

impl Identity {
    /// The members of a group of the local source, by name; none where there is no such group.
    pub async fn group_members(&self, name: &str) -> Result<Option<Vec<String>>> {
        let group = self.store.get::<LocalGroup>("", name).await?;
        Ok(group.map(|group| group.spec.members))
    }

    /// Makes a group of the local source with those of `people` that there are, where there is none.
    /// Answers whether it made it.
    pub async fn group_ensure(
        &self,
        caller: &Caller,
        name: &str,
        people: &[String],
    ) -> Result<bool> {
        authorize_platform(caller, "make groups")?;
        anew(|| async {
            if self.store.get::<LocalGroup>("", name).await?.is_some() {
                return Ok(false);
            }
            let mut members = Vec::new();
            for person in people {
                if self.store.get::<LocalUser>("", person).await?.is_some() {
                    members.push(person.clone());
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

    /// Takes a user into a group, or out of it, from the next call on. Again is the same as once.
    pub async fn group_member(
        &self,
        caller: &Caller,
        name: &str,
        user: &str,
        belongs: bool,
    ) -> Result<()> {
        authorize_platform(caller, "change groups")?;
        anew(|| async {
            let Some(group) = self.store.get::<LocalGroup>("", name).await? else {
                return if belongs {
                    Err(Error::not_found(format!("group `{name}`")))
                } else {
                    Ok(())
                };
            };
            let Resource { meta, mut spec, .. } = group;
            if spec.members.iter().any(|member| member == user) == belongs {
                return Ok(());
            }
            if belongs {
                spec.members.push(user.to_owned());
            } else {
                spec.members.retain(|member| member != user);
            }
            self.group_put(caller, name, spec, Some(meta.revision))
                .await?;
            self.view.current().await
        })
        .await
    }
}
