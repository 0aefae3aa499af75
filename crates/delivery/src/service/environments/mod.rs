//! Environments: made on demand, changed, ended.

mod change;
mod names;
mod pins;
mod roles;
mod summary;

use std::collections::BTreeMap;

use kernel::{
    Action, Caller, Change, Error, ErrorKind, Name, NewEvent, Outcome, Query, Resource, Result,
    anew,
};
use serde_json::json;

pub(super) use self::change::Roles;
use self::change::{ends_in, refuse_protected_end};
use super::{
    Delivery,
    access::{ENVIRONMENT_CREATE, ENVIRONMENT_DELETE},
    resources::last_dumps,
};
use crate::{
    api::NewEnvironment,
    model::{Environment, EnvironmentRole, EnvironmentRoleSpec, EnvironmentSpec, default_team},
};

impl Delivery {
    /// Makes an environment. Fails with `AlreadyExists` where the name is taken.
    pub async fn environment_create(
        &self,
        caller: &Caller,
        request: NewEnvironment,
    ) -> Result<Resource<Environment>> {
        // Its role may be written in between.
        anew(|| async {
            let environment = self
                .environment_draft(caller, ENVIRONMENT_CREATE, request.clone(), &Roles::new())
                .await?;
            self.store
                .expect_free::<Environment>("", &environment.meta.name)
                .await?;
            let mut change = Change::new().by(caller);
            self.role_given(&mut change, &environment, &Roles::new())
                .await?;
            Self::environment_write(&mut change, caller, &environment)?;
            self.store
                .commit(change)
                .await?
                .resource(&environment.key())
        })
        .await
    }

    /// Checks `request` and makes the environment of it, without writing. `roles` are applied along
    /// with it; `may` is what the caller is here for: to make it, or to plan.
    pub(super) async fn environment_draft(
        &self,
        caller: &Caller,
        may: Action,
        request: NewEnvironment,
        roles: &Roles,
    ) -> Result<Resource<Environment>> {
        let name = Name::new(request.name)?;
        let source = match &request.clone_from {
            Some(source) => Some(self.environment_seen(caller, source).await?.environment),
            None => None,
        };
        let from_source = |f: fn(&EnvironmentSpec) -> String| source.as_ref().map(|s| f(&s.spec));
        let team = match request.team.or_else(|| from_source(|s| s.team.clone())) {
            Some(team) => team,
            None => team_of(caller, name.as_str())?,
        };
        let name_of_role = match request.role.or_else(|| from_source(|s| s.role.clone())) {
            Some(role) => role,
            None if request.ttl_seconds.is_some() => "ephemeral".into(),
            None => self.role_named_like(name.as_str(), roles).await?,
        };
        let role = self.role_spec(&name_of_role, roles).await?;
        let engine = request
            .engine
            .or_else(|| from_source(|s| s.engine.clone()))
            .unwrap_or_else(|| self.settings.default_engine.clone());
        let spec = EnvironmentSpec {
            role: name_of_role,
            team,
            engine,
            expires: None,
            ttl_seconds: None,
            created_by: caller.subject.clone(),
            cloned_from: source.as_ref().map(|s| s.meta.name.clone()),
            pinned_definitions: BTreeMap::new(),
        };
        let mut place = Self::place_of(name.as_str(), spec, role.protected);
        self.guard.require(caller, may, &place.itself()).await?;
        self.require_name(caller, &place).await?;
        let spec = &mut place.environment.spec;
        self.engine(&spec.engine)?;
        let ttl = request.ttl_seconds.or(role.default_ttl_seconds);
        spec.ttl_seconds = ttl;
        spec.expires = ttl.map(|ttl| ends_in(self.now(), ttl)).transpose()?;
        refuse_protected_end(&spec.role, &role, spec.expires)?;
        if let Some(source) = &source {
            spec.pinned_definitions = self.definitions_of(source).await?;
        }
        kernel::labels::check(&request.labels)?;
        let mut environment = place.environment;
        environment.meta.labels = request.labels;
        Ok(environment)
    }

    pub(crate) fn environment_write(
        change: &mut Change,
        caller: &Caller,
        environment: &Resource<Environment>,
    ) -> Result<()> {
        change.create(environment)?;
        change.event(written("environment.created", caller, environment));
        Ok(())
    }

    pub(super) async fn role(&self, name: &str) -> Result<EnvironmentRoleSpec> {
        self.role_spec(name, &Roles::new()).await
    }

    /// What a role says: as it is applied along with what asks, else as it is in the store.
    async fn role_spec(&self, name: &str, roles: &Roles) -> Result<EnvironmentRoleSpec> {
        if let Some(role) = roles.get(name) {
            return Ok(role.clone());
        }
        if let Some(role) = self.store.get::<EnvironmentRole>("", name).await? {
            return Ok(role.spec);
        }
        let known = self
            .store
            .list_all::<EnvironmentRole>(&Query::default())
            .await?;
        let known: Vec<_> = known.into_iter().map(|r| r.meta.name).collect();
        Err(
            Error::invalid(format!("there is no environment role `{name}`"))
                .remedy(format!("choose one of: {}", known.join(", "))),
        )
    }

    /// Has `change`, by which `environment` has its role, be committed only while there is that role; `roles` are
    /// applied along with it. Whoever removes one looks at what has it first.
    pub(super) async fn role_given(
        &self,
        change: &mut Change,
        environment: &Resource<Environment>,
        roles: &Roles,
    ) -> Result<()> {
        let name = &environment.spec.role;
        match self.store.get::<EnvironmentRole>("", name).await? {
            Some(role) => change.require(&role),
            None => self.role_spec(name, roles).await.map(drop),
        }
    }

    /// An environment named like a role has it (`qa`, `prod`); any other is for development.
    async fn role_named_like(&self, name: &str, roles: &Roles) -> Result<String> {
        let is_role = roles.contains_key(name)
            || self.store.get::<EnvironmentRole>("", name).await?.is_some();
        Ok(if is_role { name } else { "dev" }.into())
    }

    /// Asks for the end of an environment and everything in it. Refused for protected roles, and
    /// where data would go that the caller did not say to take.
    pub async fn environment_delete(
        &self,
        caller: &Caller,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        anew(|| self.environment_delete_once(caller, name, with_data, revision)).await
    }

    async fn environment_delete_once(
        &self,
        caller: &Caller,
        name: &str,
        with_data: bool,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        let place = self
            .environment_for::<Environment>(caller, ENVIRONMENT_DELETE, name, name)
            .await?;
        let environment = place.environment;
        environment.meta.require_revision(revision)?;
        if environment.is_deleting() {
            return Ok(environment);
        }
        self.refuse_if_protected(&environment, "be deleted").await?;
        let mut holding = self.instances(name).await?;
        holding.retain(|instance| instance.spec.holds_data);
        if !holding.is_empty() && !with_data {
            let nodes = holding
                .iter()
                .map(|instance| instance.spec.node.to_string());
            return Err(Error::conflict(format!(
                "environment `{name}` holds data: {}",
                nodes.collect::<Vec<_>>().join(", ")
            ))
            .remedy(last_dumps(
                &holding,
                "then delete it again with --with-data",
            )));
        }
        let mut change = Change::new().by(caller);
        change.delete(&environment)?;
        change.event(NewEvent::caused(
            "environment.deletion-requested",
            environment.key(),
            &environment.spec.team,
            caller,
            None,
            json!({ "withData": with_data }),
        ));
        self.store
            .commit(change)
            .await?
            .resource(&environment.key())
    }

    /// Data of protected roles is safe from deletion.
    pub(super) async fn refuse_if_protected(
        &self,
        environment: &Resource<Environment>,
        what: &str,
    ) -> Result<()> {
        let role = self.role(&environment.spec.role).await?;
        if !role.protected {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "environment `{}` has role `{}`, which is protected: it cannot {what}",
                environment.meta.name, environment.spec.role
            ),
        )
        .remedy("a platform engineer can give this environment another role: `towpath apply` it with another spec.role"))
    }
}

/// Whose an environment is that is made without saying so: the caller's, of several the one whose name its own begins
/// with; of who operates the platform, and of who is in no team, nobody's in particular.
fn team_of(caller: &Caller, name: &str) -> Result<String> {
    let is_its = |team: &&String| {
        let rest = name.strip_prefix(team.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let named = || {
        caller
            .teams
            .iter()
            .filter(is_its)
            .max_by_key(|team| team.len())
    };
    match caller.teams.as_slice() {
        [] => Ok(default_team()),
        [only] => Ok(only.clone()),
        several => match named() {
            Some(team) => Ok(team.clone()),
            None if caller.admin || several.contains(&default_team()) => Ok(default_team()),
            None => Err(Error::invalid(format!(
                "the new environment `{name}` needs a team, and you are in several teams: {}",
                several.join(", ")
            ))
            .remedy(format!(
                "name one, `towpath env create {name} --team TEAM`, or begin the environment's name with a team's"
            ))),
        },
    }
}

/// What became of an environment, and what it now is.
fn written(what: &str, caller: &Caller, environment: &Resource<Environment>) -> NewEvent {
    NewEvent::caused(
        what,
        environment.key(),
        &environment.spec.team,
        caller,
        Some(Outcome::Pass),
        json!({ "role": environment.spec.role, "expires": environment.spec.expires }),
    )
}
