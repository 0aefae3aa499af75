//! What may change in an environment that is there: its role, its end, its labels.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use kernel::{Action, Caller, Change, Error, Problem, Resource, Result, anew};

use super::super::{
    Delivery,
    access::{DEPLOYMENT_CREATE, ENVIRONMENT_CHANGE, ENVIRONMENT_UNPROTECT},
};
use super::written;
use crate::{
    api::{CreateEnvironment, End, EnvironmentChange},
    definition::document::{DocumentMeta, EnvironmentFields},
    model::{Environment, EnvironmentRoleSpec},
};

/// Roles that are applied along with what refers to them, by name.
pub(in crate::service) type Roles = BTreeMap<String, EnvironmentRoleSpec>;

impl Delivery {
    /// Changes what `request` names, and nothing else.
    pub async fn environment_change(
        &self,
        caller: &Caller,
        name: &str,
        request: &EnvironmentChange,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        anew(|| self.environment_change_once(caller, name, request, revision)).await
    }

    async fn environment_change_once(
        &self,
        caller: &Caller,
        name: &str,
        request: &EnvironmentChange,
        revision: Option<i64>,
    ) -> Result<Resource<Environment>> {
        let place = self
            .environment_for::<Environment>(caller, ENVIRONMENT_CHANGE, name, name)
            .await?;
        let mut environment = place.environment;
        environment.meta.require_revision(revision)?;
        let changed = self
            .amend(caller, &mut environment, request, &Roles::new())
            .await?;
        if !changed {
            return Ok(environment);
        }
        let mut change = Change::new().by(caller);
        self.role_given(&mut change, &environment, &Roles::new())
            .await?;
        Self::environment_rewrite(&mut change, caller, &environment)?;
        self.store
            .commit(change)
            .await?
            .resource(&environment.key())
    }

    /// Checks `request` and does it to `environment`, without writing, for a caller who may change it.
    /// Says whether it changed.
    pub(in crate::service) async fn amend(
        &self,
        caller: &Caller,
        environment: &mut Resource<Environment>,
        request: &EnvironmentChange,
        roles: &Roles,
    ) -> Result<bool> {
        let name = environment.meta.name.clone();
        if environment.is_deleting() {
            return Err(Error::invalid(format!(
                "environment `{name}` is being removed: it cannot be changed"
            ))
            .remedy("wait until it is gone, then make it anew"));
        }
        let (spec, labels) = (environment.spec.clone(), environment.meta.labels.clone());
        if let Some(role) = &request.role
            && *role != spec.role
        {
            if self.role_spec(&spec.role, roles).await?.protected {
                let place = self.place(environment.clone()).await?;
                self.guard
                    .require(caller, ENVIRONMENT_UNPROTECT, &place.itself())
                    .await?;
            }
            environment.spec.role.clone_from(role);
        }
        match request.end {
            None => {}
            Some(End::Never) => {
                environment.spec.expires = None;
                environment.spec.ttl_seconds = None;
            }
            Some(End::InSeconds(seconds)) => {
                environment.spec.expires = Some(ends_in(self.now(), seconds)?);
                environment.spec.ttl_seconds = Some(seconds);
            }
        }
        for (label, value) in &request.labels {
            match value {
                Some(value) => environment.meta.labels.insert(label.clone(), value.clone()),
                None => environment.meta.labels.remove(label),
            };
        }
        if environment.meta.labels != labels {
            kernel::labels::check(&environment.meta.labels)?;
        }
        let role = self.role_spec(&environment.spec.role, roles).await?;
        refuse_protected_end(&environment.spec.role, &role, environment.spec.expires)?;
        Ok(environment.spec != spec || environment.meta.labels != labels)
    }

    /// Writes an environment that [`Delivery::amend`] has changed.
    pub(in crate::service) fn environment_rewrite(
        change: &mut Change,
        caller: &Caller,
        environment: &Resource<Environment>,
    ) -> Result<()> {
        change.spec(environment)?;
        change.event(written("environment.changed", caller, environment));
        Ok(())
    }

    /// What a deployment that would make an environment asks of one that is there: its role must be
    /// the one named, and a time to live counts from now. An environment without an end does not
    /// get one this way: with it would go what nobody expected to lose. `may` is what the caller is here
    /// for: to deploy, or to plan, which changes nothing.
    pub(in crate::service) async fn amend_for_deployment(
        &self,
        caller: &Caller,
        may: Action,
        environment: &mut Resource<Environment>,
        wanted: &CreateEnvironment,
    ) -> Result<bool> {
        let (name, spec) = (&environment.meta.name, &environment.spec);
        if let Some(role) = &wanted.role
            && *role != spec.role
        {
            return Err(Error::conflict(format!(
                "environment `{name}` is there, and has role `{}`, not `{role}`",
                spec.role
            ))
            .remedy(
                "leave out the role, name another environment, or apply an Environment document \
                 with the new role",
            ));
        }
        let Some(seconds) = wanted.ttl_seconds else {
            return Ok(false);
        };
        if may == DEPLOYMENT_CREATE {
            let place = self.place(environment.clone()).await?;
            self.guard
                .require(caller, ENVIRONMENT_CHANGE, &place.itself())
                .await?;
        }
        if spec.expires.is_none() {
            return Err(Error::conflict(format!(
                "environment `{name}` is there, and has no end: a time to live would end it, with \
                 its data"
            ))
            .remedy(format!(
                "leave out the time to live, or give it an end with `towpath env extend {name} --ttl TIME`"
            )));
        }
        let request = EnvironmentChange {
            end: Some(End::InSeconds(seconds)),
            ..EnvironmentChange::default()
        };
        self.amend(caller, environment, &request, &Roles::new())
            .await
    }

    /// Has `environment` say what the document at `place` says; what it does not say stays. A time to
    /// live that the document said before changes nothing, so that applying it again does not move the
    /// end.
    pub(in crate::service) async fn amend_by_document(
        &self,
        caller: &Caller,
        environment: &mut Resource<Environment>,
        meta: DocumentMeta,
        fields: EnvironmentFields,
        place: &str,
        roles: &Roles,
    ) -> Result<bool> {
        refuse_fixed(environment, &fields, place)?;
        let mut labels = BTreeMap::new();
        if !meta.labels.is_empty() {
            // All of them: those that it does not say go.
            let held = environment.meta.labels.keys();
            labels.extend(held.map(|label| (label.clone(), None)));
            let said = meta.labels.into_iter();
            labels.extend(said.map(|(label, value)| (label, Some(value))));
        }
        let request = EnvironmentChange {
            role: fields.role,
            end: fields
                .ttl_seconds
                .filter(|seconds| environment.spec.ttl_seconds != Some(*seconds))
                .map(End::InSeconds),
            labels,
        };
        self.amend(caller, environment, &request, roles).await
    }
}

/// What is fixed while an environment lives.
fn refuse_fixed(
    environment: &Resource<Environment>,
    fields: &EnvironmentFields,
    place: &str,
) -> Result<()> {
    let (name, spec) = (&environment.meta.name, &environment.spec);
    let held = [
        ("team", fields.team.as_ref(), Some(&spec.team)),
        ("engine", fields.engine.as_ref(), Some(&spec.engine)),
        (
            "cloneFrom",
            fields.clone_from.as_ref(),
            spec.cloned_from.as_ref(),
        ),
    ];
    let problems: Vec<_> = held
        .into_iter()
        .filter(|(_, wanted, held)| wanted.is_some() && wanted != held)
        .map(|(field, _, held)| {
            let held = held.map_or_else(|| "none".to_owned(), |held| format!("`{held}`"));
            Problem::new(
                "environment/fixed",
                format!("{place}.spec.{field}"),
                format!("the {field} of environment `{name}` is {held}, for as long as it lives"),
            )
            .remedy("leave the field as it is, or delete the environment and make it anew")
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::problems("the documents cannot be applied", problems))
}

/// Environments of protected roles do not end by themselves.
pub(in crate::service) fn refuse_protected_end(
    name: &str,
    role: &EnvironmentRoleSpec,
    expires: Option<Timestamp>,
) -> Result<()> {
    if !role.protected || expires.is_none() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "role `{name}` is protected from deletion: its environments cannot end by themselves"
    ))
    .remedy(
        "leave out the time to live (`towpath env extend NAME --forever` lifts one), or choose \
         another role",
    ))
}

/// The moment `seconds` from `now`.
pub(in crate::service) fn ends_in(now: Timestamp, seconds: u64) -> Result<Timestamp> {
    if seconds == 0 {
        return Err(Error::invalid(
            "an environment that lives 0 s makes no sense",
        ));
    }
    now.checked_add(Duration::from_secs(seconds))
        .map_err(|e| Error::invalid("the time to live is too long").caused_by(e))
}
