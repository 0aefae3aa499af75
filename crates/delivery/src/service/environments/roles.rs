//! Environment roles, taken away.

use kernel::{Caller, Change, Error, NewEvent, Outcome, Query, Resource, Result, anew};
use serde_json::json;
use teams::model::{Namespace, Team};

use super::super::{
    Delivery,
    access::{ROLE_DELETE, of_platform},
};
use crate::{
    definition::{self, Applicable},
    model::{Environment, EnvironmentRole},
};

impl Delivery {
    /// Removes an environment role that nothing has. One that came with the platform stays: environments of
    /// it are made without anybody naming it.
    pub async fn environment_role_delete(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        let target = of_platform::<EnvironmentRole>(name);
        self.guard.require(caller, ROLE_DELETE, &target).await?;
        anew(|| self.environment_role_delete_once(caller, name, revision)).await
    }

    async fn environment_role_delete_once(
        &self,
        caller: &Caller,
        name: &str,
        revision: Option<i64>,
    ) -> Result<()> {
        // Read before all that may have the role: what is given it after that is noticed.
        let head = self.store.head().await?;
        let held = self.store.expect::<EnvironmentRole>("", name).await?;
        held.meta.require_revision(revision)?;
        let is_default = definition::defaults().into_iter().any(|document| {
            matches!(document, Applicable::EnvironmentRole(role) if role.metadata.name.as_str() == name)
        });
        if is_default {
            return Err(Error::conflict(format!(
                "environment role `{name}` comes with the platform, which would bring it back"
            ))
            .remedy("change what it says with `towpath apply`, or leave it unused"));
        }
        let users = self.users_of_role(name).await?;
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "environment role `{name}` is used by {}",
                users.join(", ")
            ))
            .remedy("give each of them another role first (`towpath apply`), or delete it"));
        }
        let mut change = Change::new().by(caller);
        change.unless_written::<Environment>(head);
        change.unless_written::<Namespace>(head);
        change.unless_written::<Team>(head);
        change.remove(&held)?;
        change.event(NewEvent::caused(
            "environment-role.deleted",
            held.key(),
            "",
            caller,
            Some(Outcome::Pass),
            json!({}),
        ));
        self.store.commit(change).await?;
        Ok(())
    }

    /// What has the role, in people's words.
    async fn users_of_role(&self, role: &str) -> Result<Vec<String>> {
        let everywhere = Query::default();
        let environments: Vec<Resource<Environment>> = self.store.list_all(&everywhere).await?;
        let namespaces: Vec<Resource<Namespace>> = self.store.list_all(&everywhere).await?;
        let teams: Vec<Resource<Team>> = self.store.list_all(&everywhere).await?;
        let mut users = Vec::new();
        let environments = environments.iter().filter(|one| one.spec.role == role);
        users.extend(environments.map(|one| format!("environment `{}`", one.meta.name)));
        let namespaces = namespaces.iter().filter(|one| one.spec.role == role);
        users.extend(namespaces.map(|one| format!("namespace `{}`", one.meta.name)));
        let teams = teams
            .iter()
            .filter(|one| one.spec.environments.iter().any(|name| name == role));
        users.extend(teams.map(|one| format!("team `{}`", one.meta.name)));
        Ok(users)
    }
}
